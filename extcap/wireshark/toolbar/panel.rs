//! What a capture tells its toolbar: written down in no time, by whoever captures, and passed on by a thread
//! that does nothing else.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use containerdump::safe_text::SafeText;
use containerdump::session::{Answer, Totals};
use containerdump::waker::Waker;

use super::figures::Snapshot;
use super::log::Log;

/// Characters that the status bar has room for.
const MAX_STATUS_LEN: usize = 400;

/// Where it is written down.
#[derive(Debug)]
pub(crate) struct Panel {
    begun: Instant,
    news: Mutex<News>,
    bell: Waker,
}

/// What is new.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) log: Log,
    /// A text for the status bar.
    pub(super) status: Option<String>,
    /// The figures of now; those before are of no use any more.
    pub(super) snapshot: Option<Snapshot>,
    /// What came of filters.
    pub(super) answers: Vec<(Option<String>, Answer)>,
    /// The capture has ended.
    pub(super) over: bool,
}

impl Panel {
    /// Fails when the process has no file descriptors left.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { begun: Instant::now(), news: Mutex::default(), bell: Waker::new()? })
    }

    /// A line for the log.
    pub(crate) fn say(&self, line: &str) {
        self.news().log.add(self.begun.elapsed(), line);
        self.bell.wake();
    }

    /// A line for the log and for the status bar of Wireshark's window.
    pub(crate) fn say_in_window(&self, line: &str) {
        let mut news = self.news();
        let status = news.status.take().map_or_else(|| line.to_owned(), |before| format!("{before}; {line}"));
        news.status = Some(SafeText::with_limit(&status, MAX_STATUS_LEN).to_string());
        drop(news);
        self.say(line);
    }

    /// How the capture goes.
    pub(crate) fn show(&self, totals: &Totals) {
        let mut news = self.news();
        for share in &totals.parted {
            let line = format!("{} has left: {} packets, {} dropped", share.name, share.packets, share.drops);
            news.log.add(self.begun.elapsed(), &line);
        }
        for trouble in &totals.broken {
            news.log.add(self.begun.elapsed(), trouble.message().as_str());
        }
        news.snapshot = Some(Snapshot { at: Instant::now(), totals: totals.clone() });
        drop(news);
        self.bell.wake();
    }

    /// What came of the filter that was asked for.
    pub(super) fn answer(&self, filter: Option<String>, answer: Answer) {
        self.news().answers.push((filter, answer));
        self.bell.wake();
    }

    /// The capture has ended; with what it came to, where it did not fail.
    pub(super) fn end(&self, totals: Option<&Totals>) {
        if let Some(totals) = totals {
            self.show(totals);
        }
        self.news().over = true;
        self.bell.wake();
    }

    pub(super) fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes it readable by what is new from now on only.
    pub(super) fn hush(&self) {
        self.bell.clear();
    }
}

/// Readable when there is something new.
impl AsFd for Panel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
