//! What the capture reports to its toolbar: stored without blocking, and sent by the thread of the toolbar.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use containerdump::safe_text::SafeText;
use containerdump::session::{FilterOutcome, Totals};
use containerdump::waker::Waker;

use super::log_window::LogWindow;
use super::statistics::StatisticsSnapshot;

/// Characters of a message in the status bar.
const MAX_STATUS_LEN: usize = 400;

/// The capture's end of the toolbar.
#[derive(Debug)]
pub(crate) struct ToolbarHandle {
    started: Instant,
    pending: Mutex<PendingUpdates>,
    waker: Waker,
}

/// Updates that the thread of the toolbar has not taken yet.
#[derive(Debug, Default)]
pub(super) struct PendingUpdates {
    pub(super) log: LogWindow,
    pub(super) status_bar: Option<String>,
    /// The latest statistics; earlier ones are obsolete.
    pub(super) snapshot: Option<StatisticsSnapshot>,
    /// Results of capture filters that the user has set.
    pub(super) filter_results: Vec<(Option<String>, FilterOutcome)>,
    pub(super) capture_has_ended: bool,
}

impl ToolbarHandle {
    /// A handle without updates.
    ///
    /// # Errors
    ///
    /// If the process has no file descriptors left.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { started: Instant::now(), pending: Mutex::default(), waker: Waker::new()? })
    }

    /// Adds a line to the log.
    pub(crate) fn log(&self, line: &str) {
        self.pending().log.add(self.started.elapsed(), line);
        self.waker.wake();
    }

    /// Adds a line to the log and shows it in the status bar of Wireshark's window.
    pub(crate) fn log_and_show(&self, line: &str) {
        let mut pending = self.pending();
        let status =
            pending.status_bar.take().map_or_else(|| line.to_owned(), |before| format!("{before}; {line}"));
        pending.status_bar = Some(SafeText::with_limit(&status, MAX_STATUS_LEN).to_string());
        drop(pending);
        self.log(line);
    }

    /// Updates the statistics, and logs attachments that were removed or have failed.
    pub(crate) fn update(&self, totals: &Totals) {
        let mut pending = self.pending();
        for share in &totals.ended_interfaces {
            let line = format!("{} removed: {} packets, {} dropped", share.name, share.packets, share.drops);
            pending.log.add(self.started.elapsed(), &line);
        }
        for error in &totals.errors {
            pending.log.add(self.started.elapsed(), error.message().as_str());
        }
        pending.snapshot = Some(StatisticsSnapshot { time: Instant::now(), totals: totals.clone() });
        drop(pending);
        self.waker.wake();
    }

    /// Reports the result of a capture filter that the user has set.
    pub(super) fn add_filter_result(&self, filter: Option<String>, result: FilterOutcome) {
        self.pending().filter_results.push((filter, result));
        self.waker.wake();
    }

    /// Ends the toolbar, with the totals of a capture that has not failed.
    pub(super) fn end(&self, totals: Option<&Totals>) {
        if let Some(totals) = totals {
            self.update(totals);
        }
        self.pending().capture_has_ended = true;
        self.waker.wake();
    }

    pub(super) fn pending(&self) -> MutexGuard<'_, PendingUpdates> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the handle unreadable until the next update.
    pub(super) fn clear_waker(&self) {
        self.waker.clear();
    }
}

/// Readable when there are updates.
impl AsFd for ToolbarHandle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }
}
