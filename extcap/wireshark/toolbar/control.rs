//! The controls of the toolbar, and what the user does with them.

use containerdump::capture::MAX_FILTER_LEN;

use super::message::{ControlCommand, ControlMessage};

/// The value of [`Control::Attachment`] that selects every attachment of the capture.
pub(super) const ALL_ATTACHMENTS: &str = "all";

/// A control, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Control {
    /// Selects the attachment whose statistics are shown.
    Attachment = 1,
    Statistics = 2,
    Filter = 3,
    Pause = 4,
    Log = 5,
}

/// What the user, or Wireshark at the start of a capture, does in the toolbar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum UserAction {
    /// Wireshark has sent the initial value of every control, and expects ours.
    Initialize,
    /// Show the statistics of this attachment, or of [`ALL_ATTACHMENTS`].
    SelectAttachment(String),
    /// Apply another capture filter; `None` captures every packet.
    SetFilter(Option<String>),
    /// A text that cannot be a capture filter, with the reason.
    RejectedFilter(&'static str),
    TogglePause,
    /// Text typed into the statistics field, which is read-only by intent.
    EditStatistics,
}

impl UserAction {
    /// Decodes `message`; `None` where a later Wireshark sends something unknown.
    pub(super) fn decode(message: ControlMessage) -> Option<Self> {
        let ControlMessage { control, command, payload } = message;
        if command == ControlCommand::Initialized as u8 {
            return Some(Self::Initialize);
        }
        if command != ControlCommand::Set as u8 {
            return None;
        }
        let is = |wanted: Control| control == wanted as u8;
        if is(Control::Pause) {
            Some(Self::TogglePause)
        } else if is(Control::Attachment) {
            String::from_utf8(payload).ok().map(Self::SelectAttachment)
        } else if is(Control::Filter) {
            Some(decode_filter(payload))
        } else {
            is(Control::Statistics).then_some(Self::EditStatistics)
        }
    }
}

fn decode_filter(payload: Vec<u8>) -> UserAction {
    match String::from_utf8(payload) {
        Err(_) => UserAction::RejectedFilter("not valid UTF-8"),
        Ok(text) if text.len() > MAX_FILTER_LEN => UserAction::RejectedFilter("longer than 4000 bytes"),
        Ok(text) => {
            let text = text.replace(char::is_control, " ");
            let text = text.trim();
            UserAction::SetFilter(Some(text.to_owned()).filter(|text| !text.is_empty()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(control: u8, command: u8, payload: &[u8]) -> Option<UserAction> {
        UserAction::decode(ControlMessage { control, command, payload: payload.to_vec() })
    }

    #[test]
    fn known_messages_are_decoded_and_others_ignored() {
        assert_eq!(decode(0, 0, b""), Some(UserAction::Initialize));
        assert_eq!(decode(4, 1, b""), Some(UserAction::TogglePause));
        let filter = Some("tcp port 80".to_owned());
        assert_eq!(decode(3, 1, b" tcp\nport 80 "), Some(UserAction::SetFilter(filter)));
        assert_eq!(decode(3, 1, b" "), Some(UserAction::SetFilter(None)));
        assert_eq!(decode(1, 1, b"web:eth0"), Some(UserAction::SelectAttachment("web:eth0".to_owned())));
        for (control, command) in [(5, 1), (0, 1), (255, 1), (4, 2), (3, 81), (4, 255)] {
            assert_eq!(decode(control, command, b"x"), None);
        }
    }

    #[test]
    fn text_that_cannot_be_a_filter_is_rejected() {
        assert!(matches!(decode(3, 1, b"tcp \xff"), Some(UserAction::RejectedFilter(_))));
        assert!(matches!(decode(3, 1, &[b'x'; 4001]), Some(UserAction::RejectedFilter(_))));
        assert_eq!(decode(1, 1, b"\xff"), None);
    }
}
