//! Wireshark's toolbar (View → Interface Toolbars): figures, a pause, another capture filter, a log.
//!
//! ```text
//! capture ── writes down ──> Panel ──> Operator, a thread ── control-out ──> toolbar
//!         <────────── Orders ────────── Operator <────────── control-in ────
//! ```
//!
//! The capture never waits for any of it: what it has to say is written down, and what is not read in time is
//! replaced by what is newer, or dropped and counted.

mod control;
mod control_in;
mod fields;
mod figures;
mod log;
mod message;
mod operator;
mod panel;
mod pipes;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use containerdump::capture::CaptureSettings;
use containerdump::privilege::Unprivileged;
use containerdump::safe_text::SafeText;
use containerdump::session::{Ordered, Totals, orders};

use control::Wish;
pub(crate) use control::{ALL, Control};
pub(crate) use control_in::ControlIn;
use operator::Operator;
pub(crate) use panel::Panel;
use pipes::Pipes;

/// Time between two looks at the figures.
pub(crate) const EVERY: Duration = Duration::from_secs(1);
/// How long the last words may take at the end: a name in a filter may be under way to its look-up.
const PATIENCE: Duration = Duration::from_millis(100);

/// A toolbar whose pipes are open.
#[derive(Debug)]
pub(crate) struct Toolbar {
    pipes: Pipes,
    panel: Arc<Panel>,
}

/// How a capture begins.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) settings: CaptureSettings,
    /// Kinds of packets that rings have.
    pub(crate) link_types: Vec<u32>,
    /// The interface whose toolbar controls this capture, too.
    pub(crate) leader: Option<SafeText>,
}

/// A toolbar in use.
#[derive(Debug)]
pub(crate) struct Used {
    panel: Arc<Panel>,
    thread: JoinHandle<()>,
}

impl Toolbar {
    /// Opens the pipe to Wireshark beside that from it, without waiting. None where there is no toolbar.
    pub(crate) fn open(control_in: Option<&ControlIn>, output: Option<&Path>) -> Option<Self> {
        let pipes = Pipes::open(control_in?, output).ok()?;
        Some(Self { pipes, panel: Arc::new(Panel::new().ok()?) })
    }

    /// Where the capture writes down what it has to say.
    pub(crate) fn panel(&self) -> Arc<Panel> {
        Arc::clone(&self.panel)
    }

    /// Begins to pass on what both sides say, on a thread that has no right.
    ///
    /// Fails when there are no threads or file descriptors left.
    pub(crate) fn begin(self, terms: Terms, _proof: &Unprivileged) -> io::Result<(Used, Ordered)> {
        let Self { pipes, panel } = self;
        let (orders, ordered) = orders()?;
        let operator = Operator::new(pipes, Arc::clone(&panel), orders, terms);
        let thread = std::thread::Builder::new().name("toolbar".to_owned()).spawn(|| operator.run())?;
        Ok((Used { panel, thread }, ordered))
    }
}

impl Used {
    /// Shows what the capture came to and why it ended, if that does not take long.
    pub(crate) fn end(self, totals: Option<&Totals>) {
        if let Some(totals) = totals {
            totals.notices().for_each(|line| self.panel.say(&line));
            totals.end_in_words().into_iter().for_each(|line| self.panel.say_in_window(line));
        }
        self.panel.end(totals);
        let until = Instant::now() + PATIENCE;
        while !self.thread.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
