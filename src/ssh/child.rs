//! Child processes that end within a limit.

use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

pub(super) const CHILD_POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Waits for `child` to exit and kills it after `timeout`. Returns `None` if it had to be killed.
pub(super) fn wait_or_kill(child: &mut Child, timeout: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + timeout;
    loop {
        match child.try_wait() {
            Ok(None) if Instant::now() < deadline => std::thread::sleep(CHILD_POLL_INTERVAL),
            Ok(None) | Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
            Ok(status) => return status,
        }
    }
}
