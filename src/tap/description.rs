//! The interface description (`if_description`) of a target's attachment.

use super::Target;
use super::remote_engine::remote_exclusion;
use crate::capture::CaptureSettings;
use crate::link::Attachment;
use crate::pcapng::InterfaceDescription;
use crate::safe_text::SafeText;

/// The description of the interface block of `attachment`, whose packets begin as `link_type` says.
pub(super) fn describe(
    target: &Target,
    attachment: &Attachment,
    settings: &CaptureSettings,
    link_type: u32,
) -> InterfaceDescription {
    let container = &target.container;
    let network = match attachment.network.as_str() {
        // Part of the tap's description.
        _ if attachment.tap.is_host_interface() => String::new(),
        "" => String::new(),
        network => format!(", network {}", SafeText::new(network)),
    };
    let shared = match target.shared_with.iter().map(SafeText::as_str).collect::<Vec<_>>().as_slice() {
        [] => String::new(),
        names => format!("; shared with {}", names.join(", ")),
    };
    let missed = match target.left_out.as_slice() {
        [] => String::new(),
        left_out => {
            let networks: Vec<&str> = left_out.iter().map(|left_out| left_out.network.as_str()).collect();
            format!("; not captured: {}", networks.join(", "))
        }
    };
    let without = match (&settings.exclusion, remote_exclusion(container, settings)) {
        (Some(_), _) | (_, Some(_)) if container.uses_host_network() => {
            "; without containerdump's own traffic"
        }
        _ => "",
    };
    let back = match target.back_after {
        None => String::new(),
        Some(away) => format!("; back after {:.1} s", away.as_secs_f32()),
    };
    InterfaceDescription {
        name: attachment.name(),
        description: SafeText::with_limit(
            &format!(
                "{} container {} ({}){network}, {}{back}{missed}{without}{shared}",
                container.engine.as_str(),
                container.name.shortened(),
                container.image,
                attachment.tap
            ),
            250,
        ),
        hardware_address: None,
        filter: settings.filter.as_deref().map(Into::into),
        snap_length: settings.snap_length,
        link_type,
    }
}
