//! The toolbar of a capture (View → Interface Toolbars): statistics, pause, capture filter and log.
//!
//! ```text
//! capture ── updates ──> ToolbarHandle ──> ToolbarController (a thread) ── control-out ──> Wireshark
//!         <──────────── commands ───────── ToolbarController <──────────── control-in ────
//! ```
//!
//! The capture never waits for the toolbar: an update that is not read in time is replaced by a later one, or dropped
//! and counted.

mod control;
mod control_in;
mod control_pipes;
mod control_values;
mod controller;
mod declaration;
mod fifo;
mod handle;
mod log_window;
mod message;
mod statistics;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use containerdump::capture::CaptureSettings;
use containerdump::privilege::Unprivileged;
use containerdump::safe_text::SafeText;
use containerdump::session::{CommandReceiver, Totals, command_channel};

pub(crate) use control_in::ControlIn;
use control_pipes::ControlPipes;
use controller::ToolbarController;
pub(super) use declaration::lines;
pub(crate) use handle::ToolbarHandle;

/// Time between two updates of the statistics.
pub(crate) const UPDATE_INTERVAL: Duration = Duration::from_secs(1);
/// How long the process waits at its end until the last updates are written.
const END_TIMEOUT: Duration = Duration::from_millis(100);

/// A toolbar whose pipes are open.
#[derive(Debug)]
pub(crate) struct Toolbar {
    pipes: ControlPipes,
    handle: Arc<ToolbarHandle>,
}

/// What the toolbar has to know of a capture.
#[derive(Clone, Debug)]
pub(crate) struct ToolbarConfig {
    pub(crate) settings: CaptureSettings,
    /// Link types of the captured interfaces.
    pub(crate) link_types: Vec<u32>,
    /// The interface whose toolbar controls this capture, where it is another.
    pub(crate) leader: Option<SafeText>,
}

/// A toolbar with its thread.
#[derive(Debug)]
pub(crate) struct RunningToolbar {
    handle: Arc<ToolbarHandle>,
    thread: JoinHandle<()>,
}

impl Toolbar {
    /// Opens the pipe to Wireshark without waiting for its reader. `None` where Wireshark shows no toolbar.
    pub(crate) fn open(control_in: Option<&ControlIn>, control_out: Option<&Path>) -> Option<Self> {
        let pipes = ControlPipes::open(control_in?, control_out).ok()?;
        Some(Self { pipes, handle: Arc::new(ToolbarHandle::new().ok()?) })
    }

    /// The end for the capture.
    pub(crate) fn handle(&self) -> Arc<ToolbarHandle> {
        Arc::clone(&self.handle)
    }

    /// Starts the thread of the toolbar.
    ///
    /// # Errors
    ///
    /// If the process has no threads or file descriptors left.
    pub(crate) fn start(
        self,
        config: ToolbarConfig,
        _proof: &Unprivileged,
    ) -> io::Result<(RunningToolbar, CommandReceiver)> {
        let Self { pipes, handle } = self;
        let (commands, receiver) = command_channel()?;
        let controller = ToolbarController::new(pipes, Arc::clone(&handle), commands, config);
        let thread = std::thread::Builder::new().name("toolbar".to_owned()).spawn(|| controller.run())?;
        Ok((RunningToolbar { handle, thread }, receiver))
    }
}

impl RunningToolbar {
    /// Shows the totals of the capture and why it ended, unless Wireshark takes longer than [`END_TIMEOUT`].
    pub(crate) fn end(self, totals: Option<&Totals>) {
        if let Some(totals) = totals {
            totals.notices().for_each(|line| self.handle.log(&line));
            totals.end_message().into_iter().for_each(|line| self.handle.log_and_show(line));
        }
        self.handle.end(totals);
        let until = Instant::now() + END_TIMEOUT;
        while !self.thread.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
