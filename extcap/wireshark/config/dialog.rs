//! A dialog of options, and the options that all dialogs share.

use std::fmt;

use clap::ValueEnum;
use containerdump::capture::{ALL_RINGS_KIB, DEFAULT_RING_MIB, MAX_SNAP_LEN};
use containerdump::request::BUFFER_MIB;
use containerdump::session::Duplicates;
use containerdump::tap::TapChoice;

use super::networks::{self, ALL_NETWORKS};
use crate::log_file::LogLevel;
use crate::wireshark::last_options::LastOptions;
use crate::wireshark::line::ExtcapLine;

/// The placeholder of a field for a capture filter.
pub(super) const FILTER_PLACEHOLDER: &str = "Enter a capture filter, for example: tcp port 80";

/// A dialog of options.
pub(super) struct Dialog {
    /// The number of its first option.
    pub(super) first: usize,
    /// Whether Wireshark keeps the values in its preferences. Not for containers: Wireshark would keep those of removed
    /// containers for ever, and does not start when it dislikes one of their names.
    pub(super) is_saved: bool,
    /// The options of the last capture, which are the defaults.
    pub(super) last: LastOptions,
}

/// An option of a dialog.
#[derive(Clone, Copy)]
pub(super) struct DialogOption<'a> {
    /// Its number from [`Dialog::first`] on.
    pub(super) number: usize,
    pub(super) call: &'static str,
    pub(super) display: &'a str,
    pub(super) input: Input,
    pub(super) tab: Tab,
    pub(super) tooltip: &'a str,
}

/// How a value is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Text,
    Number,
    CheckBox,
    Selector,
    RadioButtons,
    File,
}

/// A tab of the dialog.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tab {
    Server,
    Authentication,
    Capture,
    Debug,
}

impl Dialog {
    pub(super) fn option(&self, option: DialogOption) -> ExtcapLine {
        let DialogOption { number, call, display, input, tab, tooltip } = option;
        let input_type = match input {
            Input::Text => "string",
            Input::Number => "unsigned",
            // Wireshark keeps the value of a `boolflag` only.
            Input::CheckBox if self.is_saved => "boolflag",
            Input::CheckBox => "boolean",
            Input::Selector => "selector",
            Input::RadioButtons => "radio",
            Input::File => "fileselect",
        };
        let line = ExtcapLine::new("arg")
            .with("number", self.first + number)
            .with("call", call)
            .with("display", display)
            .with("type", input_type)
            .with("tooltip", tooltip);
        let line = if self.is_saved { line } else { line.with("save", false) };
        let line = line.with("group", format_args!("{tab:?}"));
        // With this default, a check box that is unchecked is passed to the capture.
        if input == Input::CheckBox && self.last.value(call) == Some("true") {
            line.with("default", true)
        } else {
            line
        }
    }

    /// A value of a selector or of radio buttons.
    pub(super) fn value(&self, number: usize, value: &str, display: &str) -> ExtcapLine {
        ExtcapLine::new("value")
            .with("arg", self.first + number)
            .with("value", value)
            .with("display", display)
    }

    /// All values of a closed set.
    pub(super) fn values<T: ValueEnum + Default>(
        &self,
        number: usize,
        call: &str,
        display: impl Fn(&T) -> &'static str,
    ) -> Vec<ExtcapLine> {
        let name = |value: &T| value.to_possible_value().map(|value| value.get_name().to_owned());
        let default = self.default_value(call, name(&T::default()).unwrap_or_default());
        let line = |value: &T| {
            let name = name(value)?;
            Some(self.value(number, &name, display(value)).with("default", name == default))
        };
        T::value_variants().iter().filter_map(line).collect()
    }

    /// The default of an option: its value in the last capture, otherwise `default`.
    fn default_value(&self, call: &str, default: impl fmt::Display) -> String {
        self.last.value(call).map_or_else(|| default.to_string(), str::to_owned)
    }

    /// The networks to capture. Wireshark reloads the values.
    pub(super) fn network(&self) -> Vec<ExtcapLine> {
        let option = self.option(DialogOption {
            number: networks::OPTION_NUMBER,
            call: "--network",
            display: "Network",
            input: Input::Selector,
            tab: Tab::Capture,
            tooltip: "Capture the attachments to one network only; Load networks lists them",
        });
        let option = option.with("reload", true).with("placeholder", "Load networks");
        let last = self.last.value("--network");
        let value = |value, display| self.value(networks::OPTION_NUMBER, value, display);
        let all = value(ALL_NETWORKS, "All networks").with("default", last.is_none());
        let last = last.map(|name| value(name, name).with("default", true));
        [option, all].into_iter().chain(last).collect()
    }

    pub(super) fn snap_length(&self) -> ExtcapLine {
        let option = self.option(DialogOption {
            number: 2,
            call: "--snap-length",
            display: "Snapshot length (bytes)",
            input: Input::Number,
            tab: Tab::Capture,
            tooltip: &format!("Bytes captured of each packet: 1 to {MAX_SNAP_LEN}"),
        });
        option
            .with("default", self.default_value("--snap-length", MAX_SNAP_LEN))
            .with("range", format_args!("1,{MAX_SNAP_LEN}"))
    }

    pub(super) fn buffer_size(&self) -> ExtcapLine {
        let (min, max) = (BUFFER_MIB.start(), BUFFER_MIB.end());
        let option = self.option(DialogOption {
            number: 3,
            call: "--buffer-size",
            display: "Kernel buffer size (MiB)",
            input: Input::Number,
            tab: Tab::Capture,
            tooltip: &format!(
                "Kernel buffer of each attachment: {min} to {max} MiB; 0: {DEFAULT_RING_MIB} MiB, or a share of {} MiB for more than one",
                ALL_RINGS_KIB / 1024
            ),
        });
        option.with("range", format_args!("0,{max}")).with("default", self.default_value("--buffer-size", 0))
    }

    pub(super) fn stop_with_container(&self) -> ExtcapLine {
        self.option(DialogOption {
            number: 8,
            call: "--stop-with-container",
            display: "Stop when the container stops",
            input: Input::CheckBox,
            tab: Tab::Capture,
            tooltip: "Otherwise, the capture continues when the container is restarted or recreated",
        })
    }

    /// The options at the end of every dialog.
    pub(super) fn common_options(&self) -> Vec<ExtcapLine> {
        let options = [
            DialogOption {
                number: 5,
                call: "--tap",
                display: "Where to capture",
                input: Input::Selector,
                tab: Tab::Capture,
                tooltip: "Automatic uses the first available of the following; \
                    containerdump list -v shows which are available",
            },
            DialogOption {
                number: 9,
                call: "--duplicates",
                display: "Packets between captured containers",
                input: Input::Selector,
                tab: Tab::Capture,
                tooltip: "What to do with the second copy of a packet that one captured container sends to another",
            },
            DialogOption {
                number: 10,
                call: "--own-traffic",
                display: "Include containerdump's own traffic",
                input: Input::CheckBox,
                tab: Tab::Capture,
                tooltip: "Connections to container engines over TCP, and the SSH session that containerdump runs in",
            },
            DialogOption {
                number: 6,
                call: "--log-level",
                display: "Log level",
                input: Input::Selector,
                tab: Tab::Debug,
                tooltip: "Set the log level",
            },
        ];
        let mut lines: Vec<ExtcapLine> = options.into_iter().map(|option| self.option(option)).collect();
        let log_file = self.option(DialogOption {
            number: 7,
            call: "--log-file",
            display: "Use a file for logging",
            input: Input::File,
            tab: Tab::Debug,
            tooltip: "Set a file where log messages are written; without a file, nothing is logged",
        });
        lines.push(log_file.with("mustexist", false));
        lines.extend(self.values(5, "--tap", |tap| match tap {
            TapChoice::Auto => "Automatic",
            TapChoice::Host => "At the host veth",
            TapChoice::Inside => "Inside the container",
            TapChoice::Engine => "Through the engine",
        }));
        lines.extend(self.values(9, "--duplicates", |duplicates| match duplicates {
            Duplicates::Drop => "Drop the receiver's copy",
            Duplicates::Keep => "Keep both copies",
        }));
        lines.extend(self.values(6, "--log-level", |level| match level {
            LogLevel::Message => "Message",
            LogLevel::Info => "Info",
            LogLevel::Debug => "Debug",
            LogLevel::Noisy => "Noisy",
        }));
        lines
    }
}
