//! What is on the toolbar, and what Wireshark says about it.

use containerdump::peer::MAX_FILTER_LEN;

use super::message::{Command, Message};

/// The value of [`Control::Shown`] that means every interface of the capture.
pub(crate) const ALL: &str = "all";

/// A control by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Control {
    /// Who is in the capture; whom figures are of.
    Shown = 1,
    /// Packets and bytes a second, and drops.
    Now = 2,
    Filter = 3,
    Pause = 4,
    Log = 5,
}

/// What somebody at the toolbar wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// The toolbar is there, and shall be told how things are.
    Begin,
    /// Figures of this interface, or of [`ALL`].
    Show(String),
    /// Another capture filter; every packet without one.
    Filter(Option<String>),
    /// A filter that cannot be one, for this reason.
    NoFilter(&'static str),
    PauseOrGoOn,
    /// Nothing: somebody wrote something where figures stand.
    Scribble,
}

impl Wish {
    /// What is wanted by `message`; nothing where that is unknown here, of a later Wireshark.
    pub(super) fn of(message: Message) -> Option<Self> {
        let Message { control, command, payload } = message;
        if command == Command::Initialized as u8 {
            return Some(Self::Begin);
        }
        if command != Command::Set as u8 {
            return None;
        }
        let is = |wanted: Control| control == wanted as u8;
        if is(Control::Pause) {
            Some(Self::PauseOrGoOn)
        } else if is(Control::Shown) {
            String::from_utf8(payload).ok().map(Self::Show)
        } else if is(Control::Filter) {
            Some(filter(payload))
        } else {
            is(Control::Now).then_some(Self::Scribble)
        }
    }
}

fn filter(payload: Vec<u8>) -> Wish {
    match String::from_utf8(payload) {
        Err(_) => Wish::NoFilter("it is no text"),
        Ok(text) if text.len() > MAX_FILTER_LEN => Wish::NoFilter("it is longer than 4000 bytes"),
        Ok(text) => {
            let text = text.replace(char::is_control, " ");
            let text = text.trim();
            Wish::Filter(Some(text.to_owned()).filter(|text| !text.is_empty()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(control: u8, command: u8, payload: &[u8]) -> Option<Wish> {
        Wish::of(Message { control, command, payload: payload.to_vec() })
    }

    #[test]
    fn what_wireshark_says_is_understood_and_the_rest_passed_over() {
        assert_eq!(wish(0, 0, b""), Some(Wish::Begin));
        assert_eq!(wish(4, 1, b""), Some(Wish::PauseOrGoOn));
        assert_eq!(wish(3, 1, b" tcp\nport 80 "), Some(Wish::Filter(Some("tcp port 80".to_owned()))));
        assert_eq!(wish(3, 1, b" "), Some(Wish::Filter(None)));
        assert_eq!(wish(1, 1, b"web:eth0"), Some(Wish::Show("web:eth0".to_owned())));
        for (control, command) in [(5, 1), (0, 1), (255, 1), (4, 2), (3, 81), (4, 255)] {
            assert_eq!(wish(control, command, b"x"), None);
        }
    }

    #[test]
    fn what_cannot_be_a_filter_is_refused() {
        assert!(matches!(wish(3, 1, b"tcp \xff"), Some(Wish::NoFilter(_))));
        assert!(matches!(wish(3, 1, &[b'x'; 4001]), Some(Wish::NoFilter(_))));
        assert_eq!(wish(1, 1, b"\xff"), None);
    }
}
