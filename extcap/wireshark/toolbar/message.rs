//! Messages between Wireshark's toolbar and a capture: `T`, a length in three bytes that counts what comes after,
//! the number of a control, a command, a payload (ui/qt/interface_toolbar.cpp, `controlSend`).

/// Bytes of a payload; Wireshark sends no more, and a longer one is passed over.
pub(super) const LONGEST_PAYLOAD: usize = 65_535;
/// Bytes that the kernel takes into a pipe all at once or not at all (`PIPE_BUF`, linux/limits.h):
/// Wireshark turns round and round while half a message is there.
const WHOLE: usize = 4096;
/// What a message begins with.
const BEGIN: u8 = b'T';
/// Bytes before the payload; of these, the length counts two.
const HEAD: usize = 6;

/// What is to be done with a control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Wireshark has told all it had to.
    Initialized = 0,
    /// The control has this value. A button was pressed; has this text. A log consists of this text.
    Set = 1,
    /// A selector has this value, too. A log goes on with this text.
    Add = 2,
    /// A selector does not have this value any more; without a payload, none at all.
    Remove = 3,
    /// A message in the status bar, for some seconds.
    Status = 6,
    /// A dialog that tells what is wrong.
    Warn = 8,
}

/// What Wireshark says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) control: u8,
    pub(super) command: u8,
    pub(super) payload: Vec<u8>,
}

/// The bytes of a message to Wireshark; `None` where they are too many to be written at once.
pub(super) fn bytes(control: u8, command: Command, payload: &[u8]) -> Option<Vec<u8>> {
    if HEAD + payload.len() > WHOLE {
        return None;
    }
    let length = u32::try_from(payload.len() + 2).ok()?.to_be_bytes();
    let mut bytes = vec![BEGIN, length[1], length[2], length[3], control, command as u8];
    bytes.extend_from_slice(payload);
    Some(bytes)
}

/// Messages out of pieces of what comes, however they were cut.
#[derive(Debug, Default)]
pub(super) struct Reader {
    bytes: Vec<u8>,
    /// Bytes that still belong to a message that is passed over.
    over: usize,
}

impl Reader {
    /// Takes the next piece. All messages must be asked for before the next one is given.
    pub(super) fn take(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
    }

    /// The next message, if all of it is here.
    pub(super) fn next(&mut self) -> Option<Message> {
        loop {
            let over = self.over.min(self.bytes.len());
            self.forget(over);
            self.over -= over;
            // Whoever is out of step finds it again at the next that could be a begin.
            let astray = self.bytes.iter().position(|byte| *byte == BEGIN).unwrap_or(self.bytes.len());
            self.forget(astray);
            let [_, high, middle, low, control, command] = *self.bytes.first_chunk::<HEAD>()?;
            let length = u32::from_be_bytes([0, high, middle, low]) as usize;
            if length < 2 {
                self.forget(1);
            } else if length - 2 > LONGEST_PAYLOAD {
                self.over = length + HEAD - 2;
            } else {
                let end = length + HEAD - 2;
                let payload = self.bytes.get(HEAD..end)?.to_vec();
                self.forget(end);
                return Some(Message { control, command, payload });
            }
        }
    }

    fn forget(&mut self, count: usize) {
        self.bytes.drain(..count);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(control: u8, command: u8, payload: &[u8]) -> Message {
        Message { control, command, payload: payload.to_vec() }
    }

    /// All messages in `bytes`, which come in pieces of `size`.
    fn read(bytes: &[u8], size: usize) -> Vec<Message> {
        let mut reader = Reader::default();
        let mut messages = Vec::new();
        for piece in bytes.chunks(size.max(1)) {
            reader.take(piece);
            messages.extend(std::iter::from_fn(|| reader.next()));
            assert!(reader.bytes.len() <= HEAD + LONGEST_PAYLOAD + size, "it grows");
        }
        messages
    }

    #[test]
    fn what_wireshark_was_seen_to_send_is_read() {
        assert_eq!(read(b"T\0\0\x02\0\0", 9), [message(0, 0, b"")]);
        assert_eq!(
            read(b"T\0\0\x05\x05\x01tcpT\0\0\x02\x06\x01", 1),
            [message(5, 1, b"tcp"), message(6, 1, b"")]
        );
    }

    #[test]
    fn half_a_message_is_none() {
        for end in 0..9 {
            assert_eq!(read(&b"T\0\0\x05\x05\x01tcp"[..end], 4), []);
        }
    }

    #[test]
    fn what_is_too_long_or_none_is_passed_over() {
        let next = b"T\0\0\x02\x06\x01";
        let mut bytes = vec![b'T', 0xff, 0xff, 0xff, 5, 1];
        bytes.resize(4 + 0xff_ffff, b'T');
        bytes.extend(next);
        assert_eq!(read(&bytes, 4096), [message(6, 1, b"")]);
        assert_eq!(read(&[b"X\0T\0\0\x01\x05T\0\0\0\0", &next[..]].concat(), 3), [message(6, 1, b"")]);
    }

    #[test]
    fn nothing_is_written_in_two_parts() {
        assert_eq!(bytes(7, Command::Add, &[0; WHOLE - HEAD]).map(|bytes| bytes.len()), Some(WHOLE));
        assert_eq!(bytes(7, Command::Add, &[0; WHOLE - HEAD + 1]), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_read_however_it_is_cut(
            written in proptest::collection::vec(
                (any::<u8>(), proptest::collection::vec(any::<u8>(), 0..100)), 0..10),
            size in 1_usize..600,
        ) {
            let all: Vec<u8> = written
                .iter()
                .flat_map(|(control, payload)| bytes(*control, Command::Set, payload).expect("it is short"))
                .collect();
            let expected: Vec<Message> =
                written.iter().map(|(control, payload)| message(*control, 1, payload)).collect();
            prop_assert_eq!(read(&all, size), expected);
        }

        #[test]
        fn whatever_comes_the_reader_stays_small(
            noise in proptest::collection::vec(
                prop_oneof![Just(b'T'), Just(0_u8), Just(1), any::<u8>()], 0..1000),
            size in 1_usize..600,
        ) {
            for message in read(&noise, size) {
                prop_assert!(message.payload.len() <= LONGEST_PAYLOAD);
            }
        }
    }
}
