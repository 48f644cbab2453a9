//! The log window of the toolbar: lines that wait until they can be sent.

use std::collections::VecDeque;
use std::time::Duration;

use containerdump::safe_text::SafeText;

use super::message::ControlCommand;

/// Lines that wait; further ones are dropped and counted.
const MAX_PENDING_LINES: usize = 200;
/// Characters of a line.
const MAX_LINE_LEN: usize = 500;
/// Bytes of lines sent in one message, see [`super::message::encode`].
const MAX_BATCH_LEN: usize = 4000;
/// Bytes that the window holds before it is cleared.
const MAX_WINDOW_LEN: usize = 512 * 1024;

/// Lines for the log window.
#[derive(Debug, Default)]
pub(super) struct LogWindow {
    pending: VecDeque<String>,
    /// Lines dropped since the last notice about it.
    dropped: u64,
    /// Bytes in the window; `None` while it still shows the log of an earlier capture.
    window_len: Option<usize>,
}

impl LogWindow {
    /// Adds a line with its time since the start of the capture.
    pub(super) fn add(&mut self, elapsed: Duration, line: &str) {
        if self.pending.len() >= MAX_PENDING_LINES {
            self.dropped += 1;
            return;
        }
        if self.dropped > 0 {
            let dropped = std::mem::take(&mut self.dropped);
            self.pending.push_back(with_time(elapsed, &format!("{dropped} lines omitted")));
        }
        self.pending.push_back(with_time(elapsed, line));
    }

    /// Passes pending lines to `write` until it returns that it could not write. Whether all were written.
    pub(super) fn write(&mut self, mut write: impl FnMut(ControlCommand, &str) -> bool) -> bool {
        while !self.pending.is_empty() {
            let (mut text, mut lines) = (String::new(), 0);
            let window_len = self.window_len.filter(|len| *len < MAX_WINDOW_LEN);
            if self.window_len.is_some() && window_len.is_none() {
                text.push_str("… earlier lines were removed\n");
            }
            for line in &self.pending {
                if text.len() + line.len() > MAX_BATCH_LEN {
                    break;
                }
                text.push_str(line);
                lines += 1;
            }
            let command = if window_len.is_some() { ControlCommand::Add } else { ControlCommand::Set };
            if !write(command, &text) {
                return false;
            }
            self.pending.drain(..lines);
            self.window_len = Some(window_len.unwrap_or_default() + text.len());
        }
        true
    }
}

fn with_time(elapsed: Duration, line: &str) -> String {
    format!("{:10.3}  {}\n", elapsed.as_secs_f64(), SafeText::with_limit(line, MAX_LINE_LEN))
}

#[cfg(test)]
mod tests {
    use super::super::message;
    use super::*;

    const ELAPSED: Duration = Duration::from_millis(12_345);

    /// Every message that is written.
    fn written(log: &mut LogWindow) -> Vec<(ControlCommand, String)> {
        let mut messages = Vec::new();
        assert!(log.write(|command, text| {
            messages.push((command, text.to_owned()));
            true
        }));
        messages
    }

    #[test]
    fn first_line_replaces_the_log_of_an_earlier_capture() {
        let mut log = LogWindow::default();
        log.add(ELAPSED, "web added");
        log.add(ELAPSED, "a\nb");
        let first = "    12.345  web added\n    12.345  a b\n".to_owned();
        assert_eq!(written(&mut log), [(ControlCommand::Set, first)]);
        log.add(ELAPSED, "web removed");
        assert_eq!(written(&mut log), [(ControlCommand::Add, "    12.345  web removed\n".to_owned())]);
    }

    #[test]
    fn lines_that_cannot_be_sent_are_counted() {
        let mut log = LogWindow::default();
        (0..MAX_PENDING_LINES + 7).for_each(|_| log.add(ELAPSED, "x"));
        assert!(!log.write(|_, _| false));
        let lines: String = written(&mut log).into_iter().map(|(_, text)| text).collect();
        assert_eq!(lines.lines().count(), MAX_PENDING_LINES);
        log.add(ELAPSED, "y");
        let (_, last) = written(&mut log).remove(0);
        assert_eq!(last, "    12.345  7 lines omitted\n    12.345  y\n");
    }

    #[test]
    fn longest_lines_fit_into_a_message_and_the_window_stays_bounded() {
        let mut log = LogWindow::default();
        let (mut cleared, mut window_len, mut max_len) = (0, 0, 0);
        for _ in 0..2000 {
            log.add(ELAPSED, &"\u{202e}".repeat(1000));
            for (command, text) in written(&mut log) {
                assert!(message::encode(7, command, text.as_bytes()).is_some());
                cleared += usize::from(command == ControlCommand::Set);
                window_len = if command == ControlCommand::Set { 0 } else { window_len } + text.len();
                max_len = max_len.max(window_len);
            }
        }
        assert!(cleared > 2 && max_len < MAX_WINDOW_LEN + MAX_BATCH_LEN, "{cleared} {max_len}");
    }
}
