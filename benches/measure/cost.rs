//! Elapsed time and CPU time of a process.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;

/// Times of a process, with the children it waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) elapsed: Duration,
    /// User and system time.
    pub(crate) processor: Duration,
}

/// Runs `command`, reads its output through a pipe as Wireshark does, and requires success.
pub(crate) fn measure_run(command: &mut Command) -> Cost {
    command.stdin(Stdio::null()).stderr(Stdio::null());
    let (before, begin) = (children_cpu_time(), Instant::now());
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let cost = Cost { elapsed: begin.elapsed(), processor: children_cpu_time().saturating_sub(before) };
    assert!(output.status.success(), "{command:?}: {}", output.status);
    cost
}

/// CPU time of the running `child` so far, with all its threads.
pub(crate) fn so_far(child: &Child) -> Duration {
    let pid = Pid::from_raw(child.id().cast_signed());
    clock_getcpuclockid(pid).and_then(ClockId::now).expect("it runs").into()
}

/// CPU time of all children waited for so far.
fn children_cpu_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the kernel counts");
    let part = |seconds: i64, microseconds: i64| {
        Duration::from_secs(seconds.unsigned_abs()) + Duration::from_micros(microseconds.unsigned_abs())
    };
    let (user, system) = (usage.user_time(), usage.system_time());
    part(user.tv_sec(), user.tv_usec()) + part(system.tv_sec(), system.tv_usec())
}
