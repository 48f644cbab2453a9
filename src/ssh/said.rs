//! What is said on the other end's standard error: bounded, made harmless, and never waited for.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::safe_text::SafeText;

/// Longest line, in characters.
const LONGEST: usize = 400;
/// Lines that are handed on.
const MOST_LINES: usize = 100;
/// Bytes after which it is a flood.
const MOST_BYTES: usize = 256 * 1024;
/// The last of the lines, which tell why something failed.
const LAST_LINES: usize = 20;
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// What a line of our own program begins with that says why it failed.
const OURS: &str = "containerdump: ";

/// Reads it, beside.
#[derive(Debug)]
pub struct Said {
    kept: Arc<Mutex<Kept>>,
    thread: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Kept {
    /// To be handed on.
    lines: VecDeque<SafeText>,
    told: usize,
    last: VecDeque<String>,
    /// Why our own program there failed, in its words.
    reason: Option<String>,
    is_flood: bool,
}

impl Said {
    /// Reads `source` until its end, or until it is a flood: `end` is called then.
    ///
    /// Fails when there are no threads left.
    pub(super) fn read(
        source: impl Read + Send + 'static,
        end: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let kept = Arc::new(Mutex::new(Kept::default()));
        let keep = Arc::clone(&kept);
        let thread = std::thread::Builder::new().name("standard error".to_owned()).spawn(move || {
            if read_all(source, &keep) {
                end();
            }
        })?;
        Ok(Self { kept, thread })
    }

    /// Lines that are not why it failed, each once.
    pub fn lines(&self) -> Vec<SafeText> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).lines.drain(..).collect()
    }

    /// Waits for its end, at most for `patience`: a master whose link is dead keeps it open.
    pub(super) fn wait(&mut self, patience: Duration) {
        let until = Instant::now() + patience;
        while !self.thread.is_finished() && Instant::now() < until {
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Why our own program failed, where it said so.
    pub(super) fn reason(&self) -> Option<String> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).reason.clone()
    }

    /// The last that was said beside that.
    pub(super) fn last(&self) -> String {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.last.iter().cloned().collect::<Vec<_>>().join("\n")
    }

    /// Whether it said more than anybody would read.
    pub(super) fn is_flood(&self) -> bool {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).is_flood
    }
}

/// Reads to the end. True where there was too much to read on.
fn read_all(mut source: impl Read, kept: &Mutex<Kept>) -> bool {
    let (mut bytes, mut line, mut total) = ([0; 4096], Vec::new(), 0);
    loop {
        let count = match source.read(&mut bytes) {
            Ok(count) if count > 0 => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(_) | Err(_) => break,
        };
        total += count;
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        for byte in &bytes[..count] {
            if *byte == b'\n' {
                kept.add(&line);
                line.clear();
            } else if line.len() < LONGEST * 4 {
                line.push(*byte);
            }
        }
        if total > MOST_BYTES {
            kept.is_flood = true;
            return true;
        }
    }
    kept.lock().unwrap_or_else(PoisonError::into_inner).add(&line);
    false
}

impl Kept {
    fn add(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        if let Some(reason) = text.strip_prefix(OURS) {
            // Longer than a line: it has two parts.
            self.reason = Some(SafeText::with_limit(reason, 2 * LONGEST).to_string());
            return;
        }
        let label = SafeText::with_limit(&text, LONGEST);
        if label.is_empty() {
            return;
        }
        if self.last.len() == LAST_LINES {
            self.last.pop_front();
        }
        self.last.push_back(label.to_string());
        if self.told < MOST_LINES {
            self.told += 1;
            self.lines.push_back(label);
        }
    }
}
