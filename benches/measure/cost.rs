//! What a process cost: time until its end, and time of processors.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;

/// What one process cost, the processes it waited for included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) elapsed: Duration,
    /// In its own code and in the kernel on its behalf.
    pub(crate) processor: Duration,
}

/// Runs `command`, reads what it prints through a pipe as Wireshark does, and waits for its end,
/// which must be a good one.
pub(crate) fn of_run(command: &mut Command) -> Cost {
    command.stdin(Stdio::null()).stderr(Stdio::null());
    let (before, begin) = (of_children(), Instant::now());
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let cost = Cost { elapsed: begin.elapsed(), processor: of_children().saturating_sub(before) };
    assert!(output.status.success(), "{command:?}: {}", output.status);
    cost
}

/// Time of processors that running `child` has taken so far, with all its threads.
pub(crate) fn so_far(child: &Child) -> Duration {
    let pid = Pid::from_raw(child.id().cast_signed());
    clock_getcpuclockid(pid).and_then(ClockId::now).expect("it runs").into()
}

/// Of all children waited for so far.
fn of_children() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the kernel counts");
    let part = |seconds: i64, microseconds: i64| {
        Duration::from_secs(seconds.unsigned_abs()) + Duration::from_micros(microseconds.unsigned_abs())
    };
    let (user, system) = (usage.user_time(), usage.system_time());
    part(user.tv_sec(), user.tv_usec()) + part(system.tv_sec(), system.tv_usec())
}
