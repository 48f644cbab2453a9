//! Waits for packets, changes and the end of a capture.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};

use super::input::{Drain, Load, SourceReader};
use super::output::OutputEnd;
use super::run::CaptureLoop;
use crate::stop::{Stop, poll_for_reader_end};

/// Longest wait of an idle capture.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);
/// The same with remote sources, which fail when they send nothing for a while.
const REMOTE_IDLE_TIMEOUT: Duration = Duration::from_secs(3);
/// How often to read rings and remote streams after the request to end.
const DRAIN_POLL_INTERVAL: Duration = Duration::from_millis(1);
const REMOTE_DRAIN_POLL_INTERVAL: Duration = Duration::from_millis(5);
/// How often to look whether an interface that went down is gone.
const DOWN_POLL_INTERVAL: Duration = Duration::from_millis(50);

impl CaptureLoop {
    /// Waits for something to do: packets, as far as the load requires, changes and commands, the end of a container, or
    /// statistics and the report due at `report_at`. Begins to drain if the capture is to end.
    pub(super) fn wait(&mut self, stop: &Stop, report_at: Option<Instant>) -> Result<(), OutputEnd> {
        let has_remote_sources = self.merger.has_remote_sources();
        let idle_timeout = if has_remote_sources { REMOTE_IDLE_TIMEOUT } else { IDLE_TIMEOUT };
        let deadlines = [self.statistics_at, report_at].into_iter().flatten();
        let idle_until = deadlines.fold(Instant::now() + idle_timeout, Instant::min);
        let timeout = self.load.wait_time(idle_until.saturating_duration_since(Instant::now()));
        if let Some(drain) = &self.drain {
            wait_while_draining(drain, timeout, has_remote_sources);
            return Ok(());
        }
        if self.wait_for_event(stop, timeout) { self.begin_drain(stop) } else { Ok(()) }
    }

    /// Waits for an event or `timeout`. Returns whether the capture is to end.
    fn wait_for_event(&mut self, stop: &Stop, timeout: Duration) -> bool {
        let drains_in = self.merger.drains_at().map(|at| at.saturating_duration_since(Instant::now()));
        let (capture_usage, file_usage) = (&self.stream.capture_usage, &self.stream.file_usage);
        let down = self.merger.has_down_ring().then_some(DOWN_POLL_INTERVAL);
        let limits = [capture_usage.time_left(), file_usage.time_left(), drains_in, down];
        let timeout = limits.into_iter().flatten().fold(timeout, Duration::min);

        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut polled: Vec<PollFd> = self.members.descriptors().map(readable).collect();
        let holders = 0..polled.len();
        polled.extend(self.stream.output.pipe().map(poll_for_reader_end));
        let reader = holders.end..polled.len();
        polled.extend(self.changes.iter().map(|changes| readable(changes.as_fd())));
        let changes = reader.end..polled.len();
        polled.extend(self.commands.iter().map(|commands| readable(commands.as_fd())));
        let commands = changes.end..polled.len();
        let readiness = self.merger.readiness();
        let is_polled = |source: &&SourceReader| {
            self.load.wakes_on(source) && (readiness.is_none() || source.ready_number.is_none())
        };
        polled.extend(self.merger.sources().iter().filter(is_polled).map(|source| readable(source.as_fd())));
        polled.extend(readiness.filter(|_| self.load == Load::Idle).map(readable));

        let woken = stop.wait(polled, timeout);
        if let Some(receiver) = self.changes.as_ref().filter(|_| woken.ready[changes].contains(&true)) {
            receiver.clear_wake();
        }
        if let Some(receiver) = self.commands.as_ref().filter(|_| woken.ready[commands].contains(&true)) {
            receiver.clear_wake();
        }
        let is_over = capture_usage.is_over();
        self.members.remove_ended(&woken.ready[holders], &mut self.merger, self.kernel_delay);
        woken.stop || woken.ready[reader].contains(&true) || is_over
    }
}

/// Waits before the next read of a capture that is to end.
fn wait_while_draining(drain: &Drain, timeout: Duration, has_remote_sources: bool) {
    let settles_in = drain.settled_at.saturating_duration_since(Instant::now());
    let interval = if has_remote_sources { REMOTE_DRAIN_POLL_INTERVAL } else { DRAIN_POLL_INTERVAL };
    std::thread::sleep(timeout.min(settles_in.max(interval)));
}
