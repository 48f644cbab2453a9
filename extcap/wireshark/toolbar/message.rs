//! The messages of Wireshark's control pipes: `T`, a length of three bytes that counts what follows it, the number of a
//! control, a command, a payload (ui/qt/interface_toolbar.cpp, `controlSend`).

/// Bytes of a payload; Wireshark sends at most this many, and a longer payload is skipped.
pub(super) const MAX_PAYLOAD_LEN: usize = 65_535;
/// Bytes that the kernel writes into a pipe as a whole or not at all (`PIPE_BUF`, linux/limits.h): Wireshark
/// busy-waits for the rest of a partial message.
const MAX_MESSAGE_LEN: usize = 4096;
/// The first byte of a message.
const SYNC: u8 = b'T';
/// Bytes before the payload, two of which the length counts.
const HEADER_LEN: usize = 6;

/// What to do with a control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ControlCommand {
    /// Wireshark has sent all its initial messages.
    Initialized = 0,
    /// Sets a value; presses or labels a button; replaces a log.
    Set = 1,
    /// Adds a value to a selector; appends to a log.
    Add = 2,
    /// Removes a value of a selector; without a payload, all of them.
    Remove = 3,
    /// Shows a message in the status bar for some seconds.
    StatusBar = 6,
    /// Shows a warning dialog.
    Warning = 8,
}

/// A message from Wireshark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ControlMessage {
    pub(super) control: u8,
    pub(super) command: u8,
    pub(super) payload: Vec<u8>,
}

/// The bytes of a message to Wireshark; `None` where they cannot be written at once.
pub(super) fn encode(control: u8, command: ControlCommand, payload: &[u8]) -> Option<Vec<u8>> {
    if HEADER_LEN + payload.len() > MAX_MESSAGE_LEN {
        return None;
    }
    let length = u32::try_from(payload.len() + 2).ok()?.to_be_bytes();
    let mut bytes = vec![SYNC, length[1], length[2], length[3], control, command as u8];
    bytes.extend_from_slice(payload);
    Some(bytes)
}

/// Splits a stream of bytes into messages.
#[derive(Debug, Default)]
pub(super) struct MessageReader {
    bytes: Vec<u8>,
    /// Bytes still to skip of a message that is too long.
    skip: usize,
}

impl MessageReader {
    /// Adds bytes. Every message must be taken before more bytes are added.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next complete message.
    pub(super) fn next(&mut self) -> Option<ControlMessage> {
        loop {
            let skip = self.skip.min(self.bytes.len());
            self.discard(skip);
            self.skip -= skip;
            // Out of step, the stream is read on from the next byte that can start a message.
            let garbage = self.bytes.iter().position(|byte| *byte == SYNC).unwrap_or(self.bytes.len());
            self.discard(garbage);
            let [_, high, middle, low, control, command] = *self.bytes.first_chunk::<HEADER_LEN>()?;
            let length = u32::from_be_bytes([0, high, middle, low]) as usize;
            if length < 2 {
                self.discard(1);
            } else if length - 2 > MAX_PAYLOAD_LEN {
                self.skip = length + HEADER_LEN - 2;
            } else {
                let end = length + HEADER_LEN - 2;
                let payload = self.bytes.get(HEADER_LEN..end)?.to_vec();
                self.discard(end);
                return Some(ControlMessage { control, command, payload });
            }
        }
    }

    fn discard(&mut self, count: usize) {
        self.bytes.drain(..count);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(control: u8, command: u8, payload: &[u8]) -> ControlMessage {
        ControlMessage { control, command, payload: payload.to_vec() }
    }

    /// All messages in `bytes`, read in chunks of `size`.
    fn read(bytes: &[u8], size: usize) -> Vec<ControlMessage> {
        let mut reader = MessageReader::default();
        let mut messages = Vec::new();
        for chunk in bytes.chunks(size.max(1)) {
            reader.push(chunk);
            messages.extend(std::iter::from_fn(|| reader.next()));
            assert!(reader.bytes.len() <= HEADER_LEN + MAX_PAYLOAD_LEN + size, "the buffer is bounded");
        }
        messages
    }

    #[test]
    fn messages_of_wireshark_are_read() {
        assert_eq!(read(b"T\0\0\x02\0\0", 9), [message(0, 0, b"")]);
        assert_eq!(
            read(b"T\0\0\x05\x05\x01tcpT\0\0\x02\x06\x01", 1),
            [message(5, 1, b"tcp"), message(6, 1, b"")]
        );
    }

    #[test]
    fn incomplete_message_is_not_returned() {
        for end in 0..9 {
            assert_eq!(read(&b"T\0\0\x05\x05\x01tcp"[..end], 4), []);
        }
    }

    #[test]
    fn messages_that_are_too_long_or_malformed_are_skipped() {
        let next = b"T\0\0\x02\x06\x01";
        let mut bytes = vec![b'T', 0xff, 0xff, 0xff, 5, 1];
        bytes.resize(4 + 0xff_ffff, b'T');
        bytes.extend(next);
        assert_eq!(read(&bytes, 4096), [message(6, 1, b"")]);
        assert_eq!(read(&[b"X\0T\0\0\x01\x05T\0\0\0\0", &next[..]].concat(), 3), [message(6, 1, b"")]);
    }

    #[test]
    fn message_that_cannot_be_written_at_once_is_not_encoded() {
        let payload = [0; MAX_MESSAGE_LEN - HEADER_LEN + 1];
        let bytes = encode(7, ControlCommand::Add, &payload[1..]).expect("the longest message");
        assert_eq!(bytes.len(), MAX_MESSAGE_LEN);
        assert_eq!(encode(7, ControlCommand::Add, &payload), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn encoded_messages_are_read_in_chunks_of_any_size(
            written in proptest::collection::vec(
                (any::<u8>(), proptest::collection::vec(any::<u8>(), 0..100)), 0..10),
            size in 1_usize..600,
        ) {
            let all: Vec<u8> = written
                .iter()
                .flat_map(|(control, payload)| {
                    encode(*control, ControlCommand::Set, payload).expect("a short message")
                })
                .collect();
            let expected: Vec<ControlMessage> =
                written.iter().map(|(control, payload)| message(*control, 1, payload)).collect();
            prop_assert_eq!(read(&all, size), expected);
        }

        #[test]
        fn buffer_stays_bounded_on_any_input(
            noise in proptest::collection::vec(
                prop_oneof![Just(b'T'), Just(0_u8), Just(1), any::<u8>()], 0..1000),
            size in 1_usize..600,
        ) {
            for message in read(&noise, size) {
                prop_assert!(message.payload.len() <= MAX_PAYLOAD_LEN);
            }
        }
    }
}
