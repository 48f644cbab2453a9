//! The log window: lines on their way there, none of which is waited for.

use std::collections::VecDeque;
use std::time::Duration;

use containerdump::safe_text::SafeText;

use super::message::Command;

/// Lines that wait for a window that takes none.
const MOST_WAITING: usize = 200;
/// Characters of a line.
const LONGEST_LINE: usize = 500;
/// Bytes of lines handed over at once: what a message holds, see [`super::message::bytes`].
const MOST_AT_ONCE: usize = 4000;
/// Bytes that Wireshark keeps of the log until it begins anew.
const MOST_KEPT: usize = 512 * 1024;

/// Lines for the log window.
#[derive(Debug, Default)]
pub(super) struct Log {
    waiting: VecDeque<String>,
    /// Lines that were let go since one was told of last.
    lost: u64,
    /// Bytes that the window has; none where it is still to be begun.
    kept: Option<usize>,
}

impl Log {
    /// Adds a line, which was said so long after the capture began.
    pub(super) fn add(&mut self, after: Duration, line: &str) {
        if self.waiting.len() >= MOST_WAITING {
            self.lost += 1;
            return;
        }
        if self.lost > 0 {
            let lost = std::mem::take(&mut self.lost);
            self.waiting.push_back(stamped(after, &format!("{lost} lines were dropped here")));
        }
        self.waiting.push_back(stamped(after, line));
    }

    /// Hands the next lines to `write`, which tells whether it could, until there is none.
    /// Whether all were written.
    pub(super) fn write(&mut self, mut write: impl FnMut(Command, &str) -> bool) -> bool {
        while !self.waiting.is_empty() {
            let (mut text, mut lines) = (String::new(), 0);
            let kept = self.kept.filter(|kept| *kept < MOST_KEPT);
            if self.kept.is_some() && kept.is_none() {
                text.push_str("… the log was long, and begins anew\n");
            }
            for line in &self.waiting {
                if text.len() + line.len() > MOST_AT_ONCE {
                    break;
                }
                text.push_str(line);
                lines += 1;
            }
            let command = if kept.is_some() { Command::Add } else { Command::Set };
            if !write(command, &text) {
                return false;
            }
            self.waiting.drain(..lines);
            self.kept = Some(kept.unwrap_or_default() + text.len());
        }
        true
    }
}

fn stamped(after: Duration, line: &str) -> String {
    format!("{:10.3}  {}\n", after.as_secs_f64(), SafeText::with_limit(line, LONGEST_LINE))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_millis(12_345);

    /// Everything that is written, each message on its own.
    fn written(log: &mut Log) -> Vec<(Command, String)> {
        let mut all = Vec::new();
        assert!(log.write(|command, text| {
            all.push((command, text.to_owned()));
            true
        }));
        all
    }

    #[test]
    fn the_first_line_takes_the_place_of_what_another_capture_left() {
        let mut log = Log::default();
        log.add(NOW, "web has joined");
        log.add(NOW, "a\nb");
        let first = "    12.345  web has joined\n    12.345  a b\n".to_owned();
        assert_eq!(written(&mut log), [(Command::Set, first)]);
        log.add(NOW, "web has ended");
        assert_eq!(written(&mut log), [(Command::Add, "    12.345  web has ended\n".to_owned())]);
    }

    #[test]
    fn lines_that_nobody_takes_are_counted() {
        let mut log = Log::default();
        assert!((0..MOST_WAITING + 7).map(|_| log.add(NOW, "x")).count() > MOST_WAITING);
        assert!(!log.write(|_, _| false));
        let lines: String = written(&mut log).into_iter().map(|(_, text)| text).collect();
        assert_eq!(lines.lines().count(), MOST_WAITING);
        log.add(NOW, "y");
        let (_, last) = written(&mut log).remove(0);
        assert_eq!(last, "    12.345  7 lines were dropped here\n    12.345  y\n");
    }

    #[test]
    fn the_longest_lines_fit_into_a_message_and_wireshark_keeps_a_bounded_log() {
        let mut log = Log::default();
        let (mut begun, mut kept, mut most) = (0, 0, 0);
        for _ in 0..2000 {
            log.add(NOW, &"\u{202e}".repeat(1000));
            for (command, text) in written(&mut log) {
                assert!(super::super::message::bytes(7, command, text.as_bytes()).is_some());
                begun += usize::from(command == Command::Set);
                kept = if command == Command::Set { 0 } else { kept } + text.len();
                most = most.max(kept);
            }
        }
        assert!(begun > 2 && most < MOST_KEPT + MOST_AT_ONCE, "{begun} {most}");
    }
}
