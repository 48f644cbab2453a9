//! What the controls of the toolbar show, and what they are to show.

use std::collections::BTreeMap;

use containerdump::safe_text::SafeText;

use super::Control;
use super::control::ALL;
use super::message::Command;
use super::pipes::Pipes;

/// Bytes of all that the selector lists; more interfaces are counted only.
const MOST_LISTED: usize = 24 * 1024;

/// Reports from one change of drops in the selector to the next.
const LIST_EVERY: u8 = 3;

/// The controls that show something.
#[derive(Debug)]
pub(super) struct Fields {
    wanted: BTreeMap<Control, String>,
    /// What Wireshark was told.
    told: BTreeMap<Control, String>,
    /// The interfaces of the selector with their drops, and which of them is shown.
    listed: BTreeMap<SafeText, u64>,
    shown: String,
    /// Whether Wireshark was told of them, and how many times they were the same but for drops since.
    lists: bool,
    repeated: u8,
}

impl Fields {
    pub(super) fn new() -> Self {
        Self {
            wanted: BTreeMap::new(),
            told: BTreeMap::new(),
            listed: BTreeMap::new(),
            shown: ALL.to_owned(),
            lists: false,
            repeated: 0,
        }
    }

    /// Nothing was told yet.
    pub(super) fn begin_anew(&mut self) {
        self.told.clear();
        self.lists = false;
    }

    /// Has a control show `text`.
    pub(super) fn show(&mut self, control: Control, text: &str) {
        self.wanted.insert(control, text.to_owned());
    }

    /// Somebody changed a control: it has to be told anew what it shows.
    pub(super) fn was_changed(&mut self, control: Control) {
        self.told.remove(&control);
    }

    /// Has the selector list these interfaces with their drops, and show one of them, or [`ALL`].
    pub(super) fn list(&mut self, drops: BTreeMap<SafeText, u64>, shown: &str) {
        let same = drops.keys().eq(self.listed.keys()) && shown == self.shown;
        if same && drops == self.listed {
            return;
        }
        self.repeated += 1;
        // Who has opened the list is not to see it made anew all the time.
        if !same || self.repeated >= LIST_EVERY {
            (self.listed, self.lists, self.repeated) = (drops, false, 0);
            shown.clone_into(&mut self.shown);
        }
    }

    /// Tells Wireshark what it does not know. Whether all of it could be told.
    pub(super) fn write(&mut self, pipes: &mut Pipes) -> bool {
        if !self.lists {
            self.lists = self.write_list(pipes);
        }
        let mut all = self.lists;
        for (control, text) in &self.wanted {
            if self.told.get(control) == Some(text) {
                continue;
            }
            // Wireshark tells the next capture what was last written by somebody, unless another text came
            // from here since (ui/qt/interface_toolbar.cpp, `setInterfaceValue`).
            let another = if text.is_empty() { " " } else { "" };
            let is_field = *control == Control::Filter;
            let written = (!is_field || pipes.write(*control, Command::Set, another.as_bytes()))
                && pipes.write(*control, Command::Set, text.as_bytes());
            if written {
                self.told.insert(*control, text.clone());
            }
            all &= written;
        }
        all
    }

    fn write_list(&self, pipes: &mut Pipes) -> bool {
        let count = self.listed.len();
        let listed = |(number, (name, drops)): (usize, (&SafeText, &u64))| {
            let dropped = if *drops > 0 { format!(" · {drops} dropped") } else { String::new() };
            (number, name.to_string(), format!("{name}{dropped}"))
        };
        let mut entries = vec![(ALL.to_owned(), format!("all ({count})"))];
        let mut bytes = 0;
        for (number, name, display) in self.listed.iter().enumerate().map(listed) {
            bytes += name.len() + display.len() + 7;
            if bytes > MOST_LISTED {
                entries[0].1 = format!("all ({count}, {} of them not listed)", count - number);
                break;
            }
            entries.push((name, display));
        }
        if !entries.iter().any(|(value, _)| *value == self.shown) {
            let display = format!("{} (not there)", SafeText::new(&self.shown));
            entries.push((self.shown.clone(), display));
        }
        let mut written = pipes.write(Control::Shown, Command::Remove, b"");
        for (value, display) in &entries {
            written &= pipes.write(Control::Shown, Command::Add, format!("{value}\0{display}").as_bytes());
        }
        written && pipes.write(Control::Shown, Command::Set, self.shown.as_bytes())
    }
}
