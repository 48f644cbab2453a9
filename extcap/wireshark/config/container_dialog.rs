//! The options of a container or of a group of containers.

use containerdump::safe_text::SafeText;

use super::dialog::{Dialog, DialogOption, FILTER_PLACEHOLDER, Input, Tab};
use crate::wireshark::last_options::LastOptions;
use crate::wireshark::line::ExtcapLine;
use crate::wireshark::options::{LAST_FILTER, RESET_OPTIONS};

/// Characters of a capture filter that is offered as a value.
const MAX_SHOWN_FILTER_LEN: usize = 400;
const LAST_FILTER_NUMBER: usize = 11;

/// The lines of the dialog, with the `last` options as defaults.
pub(super) fn lines(is_group: bool, last: LastOptions) -> Vec<ExtcapLine> {
    let dialog = Dialog { first: 0, is_saved: false, last };
    let filter = dialog.option(DialogOption {
        number: 1,
        call: "--filter",
        display: "Capture filter",
        input: Input::Text,
        tab: Tab::Capture,
        tooltip: "In addition to the capture filter above the list",
    });
    let mut lines = dialog.network();
    lines.extend([
        filter.with("placeholder", FILTER_PLACEHOLDER),
        dialog.snap_length(),
        dialog.buffer_size(),
        dialog.option(DialogOption {
            number: 4,
            call: "--no-promiscuous",
            display: "No promiscuous mode",
            input: Input::CheckBox,
            tab: Tab::Capture,
            tooltip: "Do not put the host veths into promiscuous mode",
        }),
    ]);
    // A group does not end with one of its containers.
    lines.push(if is_group { containers(&dialog) } else { dialog.stop_with_container() });
    lines.extend(dialog.common_options());
    lines.extend(last_filter(&dialog));
    if !dialog.last.is_empty() {
        lines.push(dialog.option(DialogOption {
            number: 12,
            call: RESET_OPTIONS,
            display: "Reset to default options",
            input: Input::CheckBox,
            tab: Tab::Capture,
            tooltip: "Start the capture with the default options; all other values in this dialog are ignored",
        }));
    }
    lines
}

/// The filter of the last capture as a value that can be deselected: Wireshark does not pass an empty text, so that it
/// could not be cleared as a default.
fn last_filter(dialog: &Dialog) -> Vec<ExtcapLine> {
    let Some(filter) = dialog.last.value("--filter") else { return Vec::new() };
    // A filter that the extcap grammar cannot hold is not offered.
    if SafeText::with_limit(filter, MAX_SHOWN_FILTER_LEN).as_str() != filter {
        return Vec::new();
    }
    let option = dialog.option(DialogOption {
        number: LAST_FILTER_NUMBER,
        call: LAST_FILTER,
        display: "Last capture filter",
        input: Input::Selector,
        tab: Tab::Capture,
        tooltip: "The filter of the last capture; a filter entered above replaces it",
    });
    vec![
        option,
        dialog.value(LAST_FILTER_NUMBER, filter, filter).with("default", true),
        dialog.value(LAST_FILTER_NUMBER, "", "No capture filter"),
    ]
}

/// The containers of a group. Those of the last capture are only shown: a default could not be cleared.
fn containers(dialog: &Dialog) -> ExtcapLine {
    let option = dialog.option(DialogOption {
        number: 13,
        call: "--containers",
        display: "Containers",
        input: Input::Text,
        tab: Tab::Capture,
        tooltip: "Container names, separated by commas; empty for all. Packets between them are captured once",
    });
    let placeholder = match dialog.last.value("--containers") {
        None => "All; or names, for example: web, db".to_owned(),
        Some(last) => format!("All; in the last capture: {last}"),
    };
    option.with("placeholder", placeholder)
}
