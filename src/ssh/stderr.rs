//! The standard error of a remote program or of `ssh`: bounded, made safe, and collected in the background.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::child::CHILD_POLL_INTERVAL;
use crate::safe_text::SafeText;

/// In characters.
const MAX_STDERR_LINE_LEN: usize = 400;
/// Lines that are passed on to the user.
const MAX_STDERR_LINES: usize = 100;
/// Bytes after which the program is ended.
const MAX_REMOTE_STDERR_LEN: usize = 256 * 1024;
/// The last lines, which contain the reason of a failure.
const LAST_LINES: usize = 20;
/// Begins a line in which containerdump reports its failure.
const ERROR_PREFIX: &str = "containerdump: ";

/// Collects standard error in a thread.
#[derive(Debug)]
pub struct RemoteStderr {
    collected: Arc<Mutex<Collected>>,
    thread: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Collected {
    /// Not yet passed on.
    lines: VecDeque<SafeText>,
    line_count: usize,
    last: VecDeque<String>,
    /// The error that containerdump on the host reported.
    reported_error: Option<String>,
    is_over_limit: bool,
}

impl RemoteStderr {
    /// Collects `source` to its end or to the limit; `on_limit` is called in the second case.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn collect(
        source: impl Read + Send + 'static,
        on_limit: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let collected = Arc::new(Mutex::new(Collected::default()));
        let shared = Arc::clone(&collected);
        let thread = std::thread::Builder::new().name("standard error".to_owned()).spawn(move || {
            if reaches_limit(source, &shared) {
                on_limit();
            }
        })?;
        Ok(Self { collected, thread })
    }

    /// Takes the new lines, except the reported error.
    pub fn take_lines(&self) -> Vec<SafeText> {
        self.collected().lines.drain(..).collect()
    }

    /// Waits for the end, at most `timeout`: a master whose link is dead keeps it open.
    pub(super) fn wait(&mut self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        while !self.thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(CHILD_POLL_INTERVAL);
        }
    }

    /// The error that containerdump on the host reported.
    pub(super) fn reported_error(&self) -> Option<String> {
        self.collected().reported_error.clone()
    }

    /// The last lines, except the reported error.
    pub(super) fn last_lines(&self) -> String {
        self.collected().last.iter().cloned().collect::<Vec<_>>().join("\n")
    }

    pub(super) fn is_over_limit(&self) -> bool {
        self.collected().is_over_limit
    }

    fn collected(&self) -> MutexGuard<'_, Collected> {
        self.collected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads to the end; `true` if the limit was reached before.
fn reaches_limit(mut source: impl Read, collected: &Mutex<Collected>) -> bool {
    let (mut bytes, mut line, mut total) = ([0; 4096], Vec::new(), 0);
    loop {
        let count = match source.read(&mut bytes) {
            Ok(count) if count > 0 => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(_) | Err(_) => break,
        };
        total += count;
        let mut collected = collected.lock().unwrap_or_else(PoisonError::into_inner);
        for byte in &bytes[..count] {
            if *byte == b'\n' {
                collected.add(&line);
                line.clear();
            } else if line.len() < MAX_STDERR_LINE_LEN * 4 {
                line.push(*byte);
            }
        }
        if total > MAX_REMOTE_STDERR_LEN {
            collected.is_over_limit = true;
            return true;
        }
    }
    collected.lock().unwrap_or_else(PoisonError::into_inner).add(&line);
    false
}

impl Collected {
    fn add(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        if let Some(error) = text.strip_prefix(ERROR_PREFIX) {
            // It has two parts, cause and remedy.
            self.reported_error = Some(SafeText::with_limit(error, 2 * MAX_STDERR_LINE_LEN).to_string());
            return;
        }
        let line = SafeText::with_limit(&text, MAX_STDERR_LINE_LEN);
        if line.is_empty() {
            return;
        }
        if self.last.len() == LAST_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line.to_string());
        if self.line_count < MAX_STDERR_LINES {
            self.line_count += 1;
            self.lines.push_back(line);
        }
    }
}
