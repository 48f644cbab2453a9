//! The `control` lines that declare the toolbar. Wireshark reads them with the list of interfaces.

use super::control::{ALL_ATTACHMENTS, Control};
use crate::wireshark::line::ExtcapLine;

/// The lines for all controls; the toolbar is the same for every interface.
pub(in crate::wireshark) fn lines() -> Vec<ExtcapLine> {
    let control = |control: Control, kind: &str, display: &str, tooltip: &str| {
        ExtcapLine::new("control")
            .with("number", control as u8)
            .with("type", kind)
            .with("display", display)
            .with("tooltip", tooltip)
    };
    vec![
        control(Control::Attachment, "selector", "Attachment", "Attachment whose statistics are shown"),
        ExtcapLine::new("value")
            .with("control", Control::Attachment as u8)
            .with("value", ALL_ATTACHMENTS)
            .with("display", "All")
            .with("default", true),
        control(
            Control::Statistics,
            "string",
            "Statistics",
            "Packets and bytes per second, and packets dropped since the capture started",
        ),
        control(
            Control::Filter,
            "string",
            "Filter",
            "Capture filter for packets from now on; press Enter to apply, leave empty to capture all packets",
        )
        .with("placeholder", "No capture filter"),
        control(Control::Pause, "button", "Pause", "Discard packets until the capture is resumed"),
        control(
            Control::Log,
            "button",
            "Log",
            "Show a log of containers added and removed, and of dropped packets",
        )
        .with("role", "logger"),
    ]
}
