//! Elapsed time and CPU time of a process.

use std::fs;
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
    of_process(child.id())
}

/// CPU time of a running process so far, with all its threads.
pub(crate) fn of_process(pid: u32) -> Duration {
    let pid = Pid::from_raw(pid.cast_signed());
    clock_getcpuclockid(pid).and_then(ClockId::now).expect("it runs").into()
}

/// CPU time of a running thread of this process.
pub(crate) fn of_thread(thread: Pid) -> Duration {
    // CPUCLOCK_SCHED and CPUCLOCK_PERTHREAD_MASK of include/linux/posix-timers_types.h.
    ClockId::from_raw((!thread.as_raw() << 3) | 6).now().expect("it runs").into()
}

/// The most memory that the running `child` had resident, with mapped rings, in bytes.
pub(crate) fn peak_memory(child: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
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
