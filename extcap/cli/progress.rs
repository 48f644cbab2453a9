//! The progress of a capture on the terminal.

use std::cmp::Reverse;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use containerdump::session::Totals;

use crate::capture::OutputTarget;
use crate::units::format_bytes;
use crate::wireshark::toolbar::{self, ToolbarHandle};

/// Interfaces that are named when packets were dropped.
const MAX_NAMED: usize = 8;
/// Time between two packet counts.
pub(super) const REPORT_INTERVAL: Duration = Duration::from_millis(250);

/// Shows packet counts on a terminal; elsewhere, only what is missing or dropped.
pub(super) struct Progress {
    live: bool,
    quiet: bool,
    /// Wireshark's toolbar, which shows it instead.
    toolbar: Option<Arc<ToolbarHandle>>,
    /// Whether Wireshark or tshark has started the capture.
    from_wireshark: bool,
}

impl Progress {
    pub(super) fn new(quiet: bool) -> Self {
        let live = !quiet && io::stderr().is_terminal();
        Self { live, quiet, toolbar: None, from_wireshark: false }
    }

    /// Shown in Wireshark's toolbar only: Wireshark shows stderr in a dialog.
    pub(super) fn in_toolbar(toolbar: Option<Arc<ToolbarHandle>>) -> Self {
        Self { live: false, quiet: true, toolbar, from_wireshark: true }
    }

    pub(super) fn report_interval(&self) -> Duration {
        if self.toolbar.is_some() { toolbar::UPDATE_INTERVAL } else { REPORT_INTERVAL }
    }

    /// Shows which file is written.
    pub(super) fn show_target(&self, target: &OutputTarget) {
        if let (true, OutputTarget::Files(files)) = (self.live, target) {
            let _ = writeln!(io::stderr(), "writing to {}, Ctrl-C to stop", files.path().display());
        }
    }

    pub(super) fn warn(&self, line: &str) {
        if let Some(toolbar) = &self.toolbar {
            toolbar.log(line);
        } else if !self.quiet {
            let _ = writeln!(io::stderr(), "{line}");
        }
    }

    pub(super) fn show(&self, totals: &Totals) {
        // Notices replace the line of counts.
        let clear = if self.live { "\r\x1b[K" } else { "" };
        for line in totals.notices() {
            self.warn(&format!("{clear}{line}"));
        }
        if let Some(toolbar) = &self.toolbar {
            return toolbar.update(totals);
        }
        for error in &totals.errors {
            // The rest of the capture continues.
            self.warn(&format!("{clear}{error}"));
        }
        if self.live {
            let _ = write!(io::stderr(), "\r{}\x1b[K", counts(totals));
        }
    }

    pub(super) fn end(&self, totals: &Totals) {
        self.show(totals);
        if self.toolbar.is_some() {
            return;
        }
        if self.from_wireshark {
            return report_drops(totals);
        }
        if self.live {
            let _ = writeln!(io::stderr(), "\r{}\x1b[K", counts(totals));
        } else if totals.drops > 0 && !self.quiet {
            let _ = writeln!(io::stderr(), "{}", counts(totals));
        }
        if totals.drops > 0 {
            let hint =
                "For longer bursts give each attachment more memory, -B MIB; for fewer bytes use -f or -s.";
            self.warn(&format!("{}. {hint}", describe_drops(totals)));
        }
    }
}

/// The interfaces with dropped packets, those with the most first.
fn describe_drops(totals: &Totals) -> String {
    let mut drops: Vec<_> = totals.drops_by_interface.iter().collect();
    drops.sort_by_key(|(_, count)| Reverse(*count));
    let (named, others) = drops.split_at(drops.len().min(MAX_NAMED));
    let mut parts: Vec<String> = named.iter().map(|(name, count)| format!("{count} of {name}")).collect();
    if !others.is_empty() {
        let count: u64 = others.iter().map(|(_, count)| count).sum();
        parts.push(format!("{count} of {} others", others.len()));
    }
    format!("dropped: {}", parts.join(", "))
}

/// Reports drops to tshark, which has no toolbar and closes the pipe before the last statistics are written.
pub(crate) fn report_drops(totals: &Totals) {
    if totals.drops > 0 {
        let _ = writeln!(
            io::stderr(),
            "{}. A capture filter (-f) lets fewer packets pass.",
            describe_drops(totals)
        );
    }
}

fn counts(totals: &Totals) -> String {
    let files = if totals.files > 1 { format!(", {} files", totals.files) } else { String::new() };
    format!("{} packets, {}, {} dropped{files}", totals.packets, format_bytes(totals.bytes), totals.drops)
}

#[cfg(test)]
mod tests {
    use super::describe_drops;
    use containerdump::safe_text::SafeText;
    use containerdump::session::Totals;

    #[test]
    fn interfaces_with_the_most_drops_are_named_first() {
        let drops =
            |count: u64| (1..=count).map(|one| (SafeText::new(&format!("c{one}:eth0")), one)).collect();
        let text = describe_drops(&Totals { drops_by_interface: drops(2), ..Totals::default() });
        assert!(text.starts_with("dropped: 2 of c2:eth0, 1 of c1:eth0"), "{text}");
        let text = describe_drops(&Totals { drops_by_interface: drops(10), ..Totals::default() });
        assert!(text.contains("3 of c3:eth0, 3 of 2 others"), "{text}");
    }
}
