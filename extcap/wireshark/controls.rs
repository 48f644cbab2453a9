//! The controls of the toolbar, told with the list of interfaces, for all of them.

use super::sentence::Sentence;
use crate::wireshark::toolbar::{ALL, Control};

pub(super) fn sentences() -> Vec<Sentence> {
    let control = |control: Control, kind: &str, display: &str, tooltip: &str| {
        Sentence::new("control")
            .with("number", control as u8)
            .with("type", kind)
            .with("display", display)
            .with("tooltip", tooltip)
    };
    vec![
        control(Control::Shown, "selector", "Show", "Interface of the capture whose figures are shown"),
        Sentence::new("value")
            .with("control", Control::Shown as u8)
            .with("value", ALL)
            .with("display", ALL)
            .with("default", true),
        control(
            Control::Now,
            "string",
            "Now",
            "Packets and bytes written in the last second; packets dropped since the capture started",
        ),
        control(
            Control::Filter,
            "string",
            "Filter",
            "Capture filter for packets from now on; press Enter to apply, empty for all packets",
        )
        .with("placeholder", "No capture filter"),
        control(Control::Pause, "button", "Pause", "Discard packets until the button is pressed again"),
        control(Control::Log, "button", "Log", "Containers added and removed, and dropped packets")
            .with("role", "logger"),
    ]
}
