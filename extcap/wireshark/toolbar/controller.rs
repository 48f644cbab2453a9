//! The thread of the toolbar: passes user actions to the capture, and updates of the capture to Wireshark.

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use containerdump::capture::{self, CaptureSettings, CompiledFilter};
use containerdump::error::Error;
use containerdump::session::{CaptureCommand, CommandSender, FilterOutcome};
use log::info;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::control::{ALL_ATTACHMENTS, Control, UserAction};
use super::control_pipes::ControlPipes;
use super::control_values::ControlValues;
use super::handle::ToolbarHandle;
use super::message::ControlCommand;
use super::statistics::{DropReporter, StatisticsSnapshot};
use super::{END_TIMEOUT, ToolbarConfig};

/// Time between two checks whether Wireshark has read what was written, in milliseconds.
const POLL_INTERVAL: u16 = 200;
/// The same at the end of the capture, when the process waits for it.
const END_POLL_INTERVAL: Duration = Duration::from_millis(2);
/// Reports after the end of a pause until every packet discarded in it is counted.
const REPORTS_UNTIL_COUNTED: u8 = 2;

/// Labels of the pause button.
const PAUSE: &str = "Pause";
const RESUME: &str = "Resume";

/// Connects Wireshark's control pipes with the capture.
pub(super) struct ToolbarController {
    pipes: ControlPipes,
    handle: Arc<ToolbarHandle>,
    commands: CommandSender,
    config: ToolbarConfig,
    /// Whether Wireshark has opened its pipes and expects values.
    is_initialized: bool,
    values: ControlValues,
    selected_attachment: String,
    is_paused: bool,
    last: Option<StatisticsSnapshot>,
    discarded: Option<DiscardCount>,
    /// Text of a warning dialog.
    warning: Option<String>,
    drop_reporter: DropReporter,
}

/// Counts the packets discarded in a pause.
struct DiscardCount {
    /// Packets discarded before the pause.
    before: u64,
    /// Reports left until the count is complete.
    reports_left: u8,
}

impl ToolbarController {
    pub(super) fn new(
        pipes: ControlPipes,
        handle: Arc<ToolbarHandle>,
        commands: CommandSender,
        config: ToolbarConfig,
    ) -> Self {
        let mut values = ControlValues::new();
        values.set(Control::Filter, config.settings.filter.as_deref().unwrap_or_default());
        values.set(Control::Pause, PAUSE);
        Self {
            pipes,
            handle,
            commands,
            config,
            is_initialized: false,
            values,
            selected_attachment: ALL_ATTACHMENTS.to_owned(),
            is_paused: false,
            last: None,
            discarded: None,
            warning: None,
            drop_reporter: DropReporter::default(),
        }
    }

    /// Runs until the capture has ended.
    pub(super) fn run(mut self) {
        loop {
            if self.take_updates() {
                self.end();
                break;
            }
            let is_complete = self.write_if_drained();
            let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
            let mut watched = vec![readable(self.handle.as_fd())];
            watched.extend(self.pipes.input().map(readable));
            let timeout = if is_complete { PollTimeout::NONE } else { PollTimeout::from(POLL_INTERVAL) };
            // An interrupted wait is a short wait.
            let _ = poll(&mut watched, timeout);
            let has_input = watched.get(1).is_some_and(|input| input.any() == Some(true));
            if watched[0].any() == Some(true) {
                self.handle.clear_waker();
            }
            let actions = if has_input { self.pipes.read() } else { Vec::new() };
            for action in actions {
                self.handle_action(action);
            }
        }
    }

    /// Shows the totals of the capture.
    fn end(&mut self) {
        if let Some(last) = &self.last {
            self.values.set(Control::Statistics, &last.final_statistics(&self.selected_attachment));
        }
        let until = Instant::now() + END_TIMEOUT;
        while self.is_initialized && !self.write() && Instant::now() < until {
            std::thread::sleep(END_POLL_INTERVAL);
        }
    }

    fn handle_action(&mut self, action: UserAction) {
        match action {
            UserAction::Initialize => {
                info!("toolbar opened");
                self.is_initialized = true;
                self.values.reset();
            }
            UserAction::SelectAttachment(name) if self.is_initialized => {
                self.selected_attachment = name;
                self.show_statistics(None);
            }
            // An initial value: the attachment of an earlier capture.
            UserAction::SelectAttachment(_) => {}
            UserAction::EditStatistics => self.values.resend(Control::Statistics),
            UserAction::TogglePause | UserAction::SetFilter(_) if self.config.leader.is_some() => {
                self.refer_to_leader();
            }
            UserAction::TogglePause => self.toggle_pause(),
            UserAction::SetFilter(text) => self.set_filter(text),
            UserAction::RejectedFilter(reason) => self.warn(&Error::new(
                format!("cannot use this text as a capture filter: {reason}"),
                "see the syntax of capture filters: man pcap-filter",
            )),
        }
    }

    fn set_filter(&mut self, text: Option<String>) {
        let settings = CaptureSettings { filter: text.clone(), ..self.config.settings.clone() };
        match CompiledFilter::compile(&settings, &self.config.link_types) {
            Ok(filter) => {
                let handle = Arc::clone(&self.handle);
                let report = Box::new(move |result| handle.add_filter_result(text.clone(), result));
                // A capture that has ended needs no filter.
                let _ = self.commands.send(CaptureCommand::SetFilter(filter, report));
            }
            Err(error) => self.reject_filter(text, &error),
        }
    }

    /// Names the interface whose toolbar controls this capture.
    fn refer_to_leader(&mut self) {
        let Some(leader) = &self.config.leader else { return };
        let error = Error::new(
            format!("this interface is captured together with {leader}"),
            format!("select {leader} in the toolbar; it controls the whole capture"),
        );
        self.handle.log(error.message().as_str());
        self.warning = Some(error.to_string());
    }

    fn toggle_pause(&mut self) {
        let now = capture::now();
        self.is_paused = !self.is_paused;
        let (command, label, line) = if self.is_paused {
            let before = self.last.as_ref().map(|last| last.totals.paused).unwrap_or_default();
            self.discarded = Some(DiscardCount { before, reports_left: u8::MAX });
            (CaptureCommand::Pause(now), RESUME, "capture paused")
        } else {
            if let Some(discarded) = &mut self.discarded {
                discarded.reports_left = REPORTS_UNTIL_COUNTED;
            }
            (CaptureCommand::Resume(now), PAUSE, "capture resumed")
        };
        let _ = self.commands.send(command);
        self.values.set(Control::Pause, label);
        self.handle.log(line);
    }

    /// Keeps the active filter. The rejected text stays in the field, to be corrected; since it is sent once more by
    /// this program, Wireshark does not apply it to the next capture.
    fn reject_filter(&mut self, text: Option<String>, error: &Error) {
        self.values.resend(Control::Filter);
        self.values.set(Control::Filter, &text.unwrap_or_default());
        self.warn(error);
    }

    fn warn(&mut self, error: &Error) {
        self.handle.log(&format!("capture filter not changed: {}", error.message()));
        self.warning = Some(error.clone().for_wireshark().to_string());
    }

    /// Takes the updates of the capture. Whether it has ended.
    fn take_updates(&mut self) -> bool {
        let (snapshot, filter_results, has_ended) = {
            let mut pending = self.handle.pending();
            (pending.snapshot.take(), std::mem::take(&mut pending.filter_results), pending.capture_has_ended)
        };
        for (text, result) in filter_results {
            self.report_filter(text, result);
        }
        if let Some(snapshot) = snapshot {
            self.take_snapshot(snapshot);
        }
        has_ended
    }

    fn report_filter(&mut self, text: Option<String>, result: FilterOutcome) {
        match result {
            FilterOutcome::Applied => {
                self.handle.log(&match &text {
                    Some(text) => format!("capture filter set: {text}"),
                    None => "capture filter removed".to_owned(),
                });
                self.values.resend(Control::Filter);
                self.values.set(Control::Filter, text.as_deref().unwrap_or_default());
            }
            FilterOutcome::AppliedEverywhere => self.handle.log("capture filter active at all taps"),
            FilterOutcome::Refused(error) => self.reject_filter(text, &error),
            FilterOutcome::RemoteRefused(name, reason) => {
                self.handle.log(&format!("{name} keeps its previous capture filter: {reason}"));
            }
        }
    }

    fn take_snapshot(&mut self, snapshot: StatisticsSnapshot) {
        if self.last.is_none() {
            self.handle.log(&snapshot.attachments_line());
        }
        if let Some(line) = self.last.as_ref().and_then(|last| snapshot.drops_since(last)) {
            self.handle.log(&line);
        }
        if let Some(text) = self.drop_reporter.report(&snapshot) {
            self.handle.pending().status_bar = Some(text);
        }
        if let Some(discarded) = &mut self.discarded
            && !self.is_paused
        {
            discarded.reports_left = discarded.reports_left.saturating_sub(1);
            if discarded.reports_left == 0 {
                let count = snapshot.totals.paused - discarded.before;
                self.handle.log(&format!("{count} packets discarded while paused"));
                self.discarded = None;
            }
        }
        self.show_statistics(Some(&snapshot));
        self.last = Some(snapshot);
    }

    /// Shows the statistics of `now`; with `None`, the list of attachments only.
    fn show_statistics(&mut self, now: Option<&StatisticsSnapshot>) {
        let Some(latest) = now.or(self.last.as_ref()) else { return };
        self.values.set_attachments(latest.drops(), &self.selected_attachment);
        if let (Some(now), Some(last)) = (now, &self.last) {
            let text = now.statistics(last, &self.selected_attachment, self.is_paused);
            self.values.set(Control::Statistics, &text);
        }
    }

    /// Writes new values once Wireshark has read the earlier ones. Whether nothing is left to write.
    fn write_if_drained(&mut self) -> bool {
        if !self.is_initialized {
            return true;
        }
        self.pipes.is_drained() && self.write()
    }

    /// Writes new values. Whether nothing is left to write.
    fn write(&mut self) -> bool {
        let pipes = &mut self.pipes;
        if let Some(text) = self.warning.take() {
            pipes.write(Control::Filter, ControlCommand::Warning, text.as_bytes());
        }
        if let Some(text) = self.handle.pending().status_bar.take() {
            pipes.write(Control::Log, ControlCommand::StatusBar, text.as_bytes());
        }
        let values_written = self.values.write(pipes);
        let mut pending = self.handle.pending();
        let log_written =
            pending.log.write(|command, text| pipes.write(Control::Log, command, text.as_bytes()));
        values_written && log_written
    }
}
