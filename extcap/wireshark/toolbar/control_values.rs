//! The values of the controls, and which of them Wireshark already has.

use std::collections::BTreeMap;

use containerdump::safe_text::SafeText;

use super::control::{ALL_ATTACHMENTS, Control};
use super::control_pipes::ControlPipes;
use super::message::ControlCommand;

/// Bytes of all entries of the attachment selector; further attachments are only counted.
const MAX_SELECTOR_LEN: usize = 24 * 1024;
/// Reports between two updates of the selector in which only drops differ.
const LIST_UPDATE_REPORTS: u8 = 3;

/// The values of all controls.
#[derive(Debug)]
pub(super) struct ControlValues {
    wanted: BTreeMap<Control, String>,
    sent: BTreeMap<Control, String>,
    /// The attachments of the selector with their drops.
    listed: BTreeMap<SafeText, u64>,
    selected: String,
    list_was_sent: bool,
    /// Reports since the list was sent in which only drops differed.
    skipped_reports: u8,
}

impl ControlValues {
    pub(super) fn new() -> Self {
        Self {
            wanted: BTreeMap::new(),
            sent: BTreeMap::new(),
            listed: BTreeMap::new(),
            selected: ALL_ATTACHMENTS.to_owned(),
            list_was_sent: false,
            skipped_reports: 0,
        }
    }

    /// Sends every value again, to a toolbar that has none of them.
    pub(super) fn reset(&mut self) {
        self.sent.clear();
        self.list_was_sent = false;
    }

    /// Sets the text of a control.
    pub(super) fn set(&mut self, control: Control, text: &str) {
        self.wanted.insert(control, text.to_owned());
    }

    /// Sends the value of a control again, since the user has changed it.
    pub(super) fn resend(&mut self, control: Control) {
        self.sent.remove(&control);
    }

    /// Sets the entries of the selector, each with its drops, and the selected one.
    pub(super) fn set_attachments(&mut self, drops: BTreeMap<SafeText, u64>, selected: &str) {
        let is_same_list = drops.keys().eq(self.listed.keys()) && selected == self.selected;
        if is_same_list && drops == self.listed {
            return;
        }
        self.skipped_reports += 1;
        // An open drop-down list closes whenever it is sent.
        if !is_same_list || self.skipped_reports >= LIST_UPDATE_REPORTS {
            (self.listed, self.list_was_sent, self.skipped_reports) = (drops, false, 0);
            selected.clone_into(&mut self.selected);
        }
    }

    /// Writes the values that Wireshark does not have. Whether all of them fitted into the pipe.
    pub(super) fn write(&mut self, pipes: &mut ControlPipes) -> bool {
        if !self.list_was_sent {
            self.list_was_sent = self.write_list(pipes);
        }
        let mut is_complete = self.list_was_sent;
        for (control, text) in &self.wanted {
            if self.sent.get(control) == Some(text) {
                continue;
            }
            // Wireshark gives the next capture the text that the user typed last, unless we have set a different one
            // since (ui/qt/interface_toolbar.cpp, `setInterfaceValue`).
            let different = if text.is_empty() { " " } else { "" };
            let is_typed = *control == Control::Filter;
            let is_written = (!is_typed || pipes.write(*control, ControlCommand::Set, different.as_bytes()))
                && pipes.write(*control, ControlCommand::Set, text.as_bytes());
            if is_written {
                self.sent.insert(*control, text.clone());
            }
            is_complete &= is_written;
        }
        is_complete
    }

    fn write_list(&self, pipes: &mut ControlPipes) -> bool {
        let entries = self.list_entries();
        let mut is_written = pipes.write(Control::Attachment, ControlCommand::Remove, b"");
        for (value, display) in &entries {
            let entry = format!("{value}\0{display}");
            is_written &= pipes.write(Control::Attachment, ControlCommand::Add, entry.as_bytes());
        }
        is_written && pipes.write(Control::Attachment, ControlCommand::Set, self.selected.as_bytes())
    }

    /// Values of the selector, each with its display text.
    fn list_entries(&self) -> Vec<(String, String)> {
        let count = self.listed.len();
        let mut entries = vec![(ALL_ATTACHMENTS.to_owned(), format!("All ({count})"))];
        let mut bytes = 0;
        for (index, (name, drops)) in self.listed.iter().enumerate() {
            let dropped = if *drops > 0 { format!(" · {drops} dropped") } else { String::new() };
            let display = format!("{name}{dropped}");
            bytes += name.as_str().len() + display.len() + 7;
            if bytes > MAX_SELECTOR_LEN {
                entries[0].1 = format!("All ({count}, {} not listed)", count - index);
                break;
            }
            entries.push((name.to_string(), display));
        }
        if !entries.iter().any(|(value, _)| *value == self.selected) {
            let display = format!("{} (not in this capture)", SafeText::new(&self.selected));
            entries.push((self.selected.clone(), display));
        }
        entries
    }
}
