//! The counter on a terminal, and the closing line.

use std::cmp::Reverse;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use containerdump::session::Totals;

use crate::capture::OutputTarget;
use crate::units::format_bytes;
use crate::wireshark::toolbar::{self, ToolbarHandle};

/// Interfaces that are named where many lost packets.
const MOST_NAMED: usize = 8;
/// Time between two counts.
pub(super) const EVERY: Duration = Duration::from_millis(250);

/// Shows how a capture goes: on a terminal all the time, elsewhere only what is missing or lost.
pub(super) struct Progress {
    live: bool,
    quiet: bool,
    /// Wireshark's toolbar, which tells instead.
    toolbar: Option<Arc<ToolbarHandle>>,
    /// Whether Wireshark or tshark asked for the capture.
    is_of_window: bool,
}

impl Progress {
    pub(super) fn new(quiet: bool) -> Self {
        let live = !quiet && io::stderr().is_terminal();
        Self { live, quiet, toolbar: None, is_of_window: false }
    }

    /// Shown in Wireshark's toolbar, where there is one, and nowhere else: what is said on stderr becomes a
    /// dialog.
    pub(super) fn in_toolbar(toolbar: Option<Arc<ToolbarHandle>>) -> Self {
        Self { live: false, quiet: true, toolbar, is_of_window: true }
    }

    /// Time between two counts.
    pub(super) fn every(&self) -> Duration {
        if self.toolbar.is_some() { toolbar::UPDATE_INTERVAL } else { EVERY }
    }

    /// Says, before the counting begins, which file is written.
    pub(super) fn say_where(&self, target: &OutputTarget) {
        if let (true, OutputTarget::Files(files)) = (self.live, target) {
            let _ = writeln!(io::stderr(), "writing to {}, Ctrl-C to stop", files.path().display());
        }
    }

    /// Says that something is missing.
    pub(super) fn warn(&self, line: &str) {
        if let Some(toolbar) = &self.toolbar {
            toolbar.log(line);
        } else if !self.quiet {
            let _ = writeln!(io::stderr(), "{line}");
        }
    }

    pub(super) fn show(&self, totals: &Totals) {
        // Ends the line of the counter.
        let clear = if self.live { "\r\x1b[K" } else { "" };
        for line in totals.notices() {
            self.warn(&format!("{clear}{line}"));
        }
        if let Some(toolbar) = &self.toolbar {
            return toolbar.update(totals);
        }
        for trouble in &totals.errors {
            // The rest of the capture goes on.
            self.warn(&format!("{clear}{trouble}"));
        }
        if self.live {
            // To the line's beginning, and what was there is cleared to its end.
            let _ = write!(io::stderr(), "\r{}\x1b[K", line(totals));
        }
    }

    pub(super) fn end(&self, totals: &Totals) {
        self.show(totals);
        if self.toolbar.is_some() {
            return;
        }
        if self.is_of_window {
            return tell_losses(totals);
        }
        if self.live {
            let _ = writeln!(io::stderr(), "\r{}\x1b[K", line(totals));
        } else if totals.drops > 0 && !self.quiet {
            let _ = writeln!(io::stderr(), "{}", line(totals));
        }
        if totals.drops > 0 {
            let hint =
                "For longer bursts give each attachment more memory, -B MIB; for fewer bytes use -f or -s.";
            self.warn(&format!("{}. {hint}", losses(totals)));
        }
    }
}

/// Whose packets were lost, those with the most first.
fn losses(totals: &Totals) -> String {
    let mut losses: Vec<_> = totals.drops_by_interface.iter().collect();
    losses.sort_by_key(|(_, lost)| Reverse(*lost));
    let (named, others) = losses.split_at(losses.len().min(MOST_NAMED));
    let mut told: Vec<String> = named.iter().map(|(name, lost)| format!("{lost} of {name}")).collect();
    if !others.is_empty() {
        let lost: u64 = others.iter().map(|(_, lost)| lost).sum();
        told.push(format!("{lost} of {} others", others.len()));
    }
    format!("dropped: {}", told.join(", "))
}

/// Reports drops to tshark, which has no toolbar, and which closes the pipe before the statistics can be written.
pub(crate) fn tell_losses(totals: &Totals) {
    if totals.drops > 0 {
        let _ = writeln!(io::stderr(), "{}. A capture filter (-f) lets fewer packets pass.", losses(totals));
    }
}

fn line(totals: &Totals) -> String {
    let files = if totals.files > 1 { format!(", {} files", totals.files) } else { String::new() };
    format!("{} packets, {}, {} dropped{files}", totals.packets, format_bytes(totals.bytes), totals.drops)
}

#[cfg(test)]
mod tests {
    use super::losses;
    use containerdump::safe_text::SafeText;
    use containerdump::session::Totals;

    #[test]
    fn who_lost_most_is_named_first() {
        let lost =
            |count: u64| (1..=count).map(|one| (SafeText::new(&format!("c{one}:eth0")), one)).collect();
        let told = losses(&Totals { drops_by_interface: lost(2), ..Totals::default() });
        assert!(told.starts_with("dropped: 2 of c2:eth0, 1 of c1:eth0"), "{told}");
        let told = losses(&Totals { drops_by_interface: lost(10), ..Totals::default() });
        assert!(told.contains("3 of c3:eth0, 3 of 2 others"), "{told}");
    }
}
