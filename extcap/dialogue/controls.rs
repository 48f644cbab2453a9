//! The controls of the toolbar, told with the list of interfaces, for all of them.

use super::sentence::Sentence;
use crate::toolbar::{ALL, Control};

pub(super) fn sentences() -> Vec<Sentence> {
    let control = |control: Control, kind: &str, display: &str, tooltip: &str| {
        Sentence::new("control")
            .with("number", control as u8)
            .with("type", kind)
            .with("display", display)
            .with("tooltip", tooltip)
    };
    vec![
        control(
            Control::Shown,
            "selector",
            "Show",
            "Who is in the capture; figures are of the one that is chosen",
        ),
        Sentence::new("value")
            .with("control", Control::Shown as u8)
            .with("value", ALL)
            .with("display", ALL)
            .with("default", true),
        control(
            Control::Now,
            "string",
            "Now",
            "Packets and bytes written in the last second; packets dropped since the capture began",
        ),
        control(
            Control::Filter,
            "string",
            "Filter",
            "Capture filter for packets from now on, as soon as Enter is pressed; empty for every packet",
        )
        .with("placeholder", "no capture filter"),
        control(
            Control::Pause,
            "button",
            "Pause",
            "Leave packets out until it is pressed again; they are not kept",
        ),
        control(Control::Log, "button", "Log", "Who joins and leaves, and what was dropped")
            .with("role", "logger"),
    ]
}
