//! What tcpdump writes, as a stream such as our own: libpcap's savefile format, read within bounds.
//!
//! Layout: draft-ietf-opsawg-pcap. Who writes it is not trusted; what is made of it is read by
//! [`crate::peer`], as any stream from elsewhere.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::lines::BROKE_OFF;
use crate::capture::{Direction, MAX_SNAP_LEN, now};
use crate::pcapng::{self, BlockWriter, InterfaceDescription, InterfaceStatistics};
use crate::peer::FINISH;

/// Starts the file. A login shell may print before it, with or without a line end, so many bytes at most.
const MARKER: &[u8] = b"containerdump-savefile\n";
const MAX_BEFORE_MARKER: usize = 64 * 1024;
/// Bytes of the header of a file, and of a packet.
const FILE_HEAD: usize = 24;
const PACKET_HEAD: usize = 16;
/// Bytes that are read at once.
const AT_ONCE: usize = 256 * 1024;
/// How often statistics are told, which are signs of life.
const EVERY: Duration = Duration::from_secs(1);

/// The numbers of a file: in which order their bytes are, and how many nanoseconds are one of its parts of a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Numbers {
    big_endian: bool,
    nanoseconds: u64,
}

impl Numbers {
    /// Of a file that begins so.
    fn of(head: &[u8; FILE_HEAD]) -> Option<Self> {
        match head[..4] {
            [0xd4, 0xc3, 0xb2, 0xa1] => Some(Self { big_endian: false, nanoseconds: 1000 }),
            [0x4d, 0x3c, 0xb2, 0xa1] => Some(Self { big_endian: false, nanoseconds: 1 }),
            [0xa1, 0xb2, 0xc3, 0xd4] => Some(Self { big_endian: true, nanoseconds: 1000 }),
            [0xa1, 0xb2, 0x3c, 0x4d] => Some(Self { big_endian: true, nanoseconds: 1 }),
            _ => None,
        }
    }

    fn word(self, bytes: &[u8], at: usize) -> u32 {
        let word = bytes.get(at..at + 4).and_then(|bytes| bytes.first_chunk()).copied().unwrap_or_default();
        if self.big_endian { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
    }
}

/// Begins to read `stream`, which must begin within `patience`; returns what `interface` would write itself.
///
/// Fails with why there is none.
pub(super) fn rewritten(
    stream: UnixStream,
    interface: InterfaceDescription,
    patience: Duration,
) -> Result<UnixStream, String> {
    let until = Instant::now() + patience;
    let mut source = Source { stream, kept: Vec::new(), taken: 0 };
    let mut has_marker = false;
    loop {
        has_marker = has_marker || source.skip_marker();
        if has_marker && source.rest().len() >= FILE_HEAD {
            break;
        }
        if !has_marker && source.rest().len() > MAX_BEFORE_MARKER {
            return Err(format!("unexpected output exceeds {} KiB", MAX_BEFORE_MARKER / 1024));
        }
        if Instant::now() > until {
            return Err("it does not begin".to_owned());
        }
        if source.fill().map_err(|error| error.to_string())? == Filled::End {
            return Err(BROKE_OFF.to_owned());
        }
    }
    let head = *source.rest().first_chunk::<FILE_HEAD>().ok_or("it does not begin")?;
    let numbers = Numbers::of(&head).ok_or("what comes is no savefile")?;
    source.taken += FILE_HEAD;
    let interface = InterfaceDescription { link_type: numbers.word(&head, 20) & 0x0fff_ffff, ..interface };
    let cannot = |error: io::Error| error.to_string();
    let (near, far) = UnixStream::pair().map_err(cannot)?;
    let (orders, to) = (far.try_clone().map_err(cannot)?, source.stream.try_clone().map_err(cannot)?);
    let spawn = |name: &str| std::thread::Builder::new().name(name.to_owned());
    spawn("orders").spawn(move || hand_on(orders, to)).map_err(cannot)?;
    spawn("savefile").spawn(move || write(source, numbers, &interface, far)).map_err(cannot)?;
    Ok(near)
}

/// Hands on that somebody is there; ends the writer when it is to end.
fn hand_on(mut orders: UnixStream, mut to: UnixStream) {
    let mut byte = [0];
    loop {
        match orders.read(&mut byte) {
            Ok(1) if byte[0] == FINISH => drop(to.shutdown(Shutdown::Write)),
            Ok(1) => drop(to.write_all(b".")),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => break,
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// Writes what comes, until it ends or makes no sense.
fn write(mut source: Source, numbers: Numbers, interface: &InterfaceDescription, mut to: UnixStream) {
    let (mut blocks, begin) = (BlockWriter::begin_section(), now());
    blocks.add_interface(interface);
    let (mut written, mut told, mut batch) = (0, Instant::now(), Vec::new());
    let mut count = |written| {
        blocks.add_statistics(
            0,
            InterfaceStatistics { written, ..InterfaceStatistics::default() },
            begin,
            now(),
        );
        blocks.take()
    };
    batch.extend(count(0));
    loop {
        while let Some(packet) = packet(source.rest(), numbers, interface.snap_length) {
            let Ok(packet) = packet else {
                // An end within a block is none that was meant.
                let _ = to.write_all(&[0; 4]).and_then(|()| to.shutdown(Shutdown::Both));
                return;
            };
            pcapng::append_packet(&mut batch, 0, Direction::Within, packet.time, packet.length, packet.data);
            written += 1;
            source.taken += PACKET_HEAD + packet.data.len();
        }
        if told.elapsed() > EVERY {
            batch.extend(count(written));
            told = Instant::now();
        }
        if to.write_all(&batch).is_err() {
            break;
        }
        batch.clear();
        if !matches!(source.fill(), Ok(Filled::Some | Filled::None)) {
            // What became of the program there tells how it ended.
            let _ = to.write_all(&count(written));
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

#[derive(Debug, PartialEq, Eq)]
struct Packet<'a> {
    time: u64,
    length: u32,
    data: &'a [u8],
}

/// The first packet in `bytes`, once all of it is there; an error where it is none.
fn packet(bytes: &[u8], numbers: Numbers, snap_length: u32) -> Option<Result<Packet<'_>, ()>> {
    let head = bytes.get(..PACKET_HEAD)?;
    let [seconds, part, captured, length] = [0, 4, 8, 12].map(|at| numbers.word(head, at));
    let part = u64::from(part).saturating_mul(numbers.nanoseconds);
    if captured > snap_length.min(MAX_SNAP_LEN) || captured > length || part >= 1_000_000_000 {
        return Some(Err(()));
    }
    let data = bytes.get(PACKET_HEAD..PACKET_HEAD + captured as usize)?;
    Some(Ok(Packet { time: u64::from(seconds) * 1_000_000_000 + part, length, data }))
}

/// Bytes that come: at most a packet that is not whole, and what is read at once.
struct Source {
    stream: UnixStream,
    kept: Vec<u8>,
    taken: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum Filled {
    Some,
    None,
    End,
}

impl Source {
    fn rest(&self) -> &[u8] {
        self.kept.get(self.taken..).unwrap_or_default()
    }

    /// Skips all up to the end of the marker; `false` where it has not come yet.
    fn skip_marker(&mut self) -> bool {
        let at = self.rest().windows(MARKER.len()).position(|bytes| bytes == MARKER);
        self.taken += at.map_or(0, |at| at + MARKER.len());
        at.is_some()
    }

    /// Reads more, or waits a while in vain.
    fn fill(&mut self) -> io::Result<Filled> {
        self.kept.drain(..self.taken.min(self.kept.len()));
        self.taken = 0;
        let before = self.kept.len();
        self.kept.resize(before + AT_ONCE, 0);
        let read = self
            .stream
            .set_read_timeout(Some(EVERY))
            .and_then(|()| self.stream.read(&mut self.kept[before..]));
        self.kept.truncate(before + read.as_ref().map_or(0, |count| *count));
        match read {
            Ok(0) => Ok(Filled::End),
            Ok(_) => Ok(Filled::Some),
            Err(error) => match error.kind() {
                // Who ends without having read all that was written resets the link.
                io::ErrorKind::ConnectionReset => Ok(Filled::End),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => {
                    Ok(Filled::None)
                }
                _ => Err(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(numbers: Numbers, words: [u32; 4]) -> Vec<u8> {
        let bytes = |word: u32| if numbers.big_endian { word.to_be_bytes() } else { word.to_le_bytes() };
        words.into_iter().flat_map(bytes).collect()
    }

    #[test]
    fn packets_are_read_in_both_orders_of_bytes() {
        for (big_endian, nanoseconds) in [(false, 1000), (true, 1000), (false, 1), (true, 1)] {
            let numbers = Numbers { big_endian, nanoseconds };
            let bytes = [head(numbers, [7, 9, 3, 60]), vec![1, 2, 3, 4]].concat();
            let expected = Packet { time: 7_000_000_000 + 9 * nanoseconds, length: 60, data: &[1, 2, 3] };
            assert_eq!(packet(&bytes, numbers, 100), Some(Ok(expected)));
            for cut in 0..19 {
                assert_eq!(packet(&bytes[..cut], numbers, 100), None, "{cut}");
            }
        }
    }

    #[test]
    fn what_is_no_packet_is_an_error_before_it_has_come() {
        let numbers = Numbers { big_endian: false, nanoseconds: 1000 };
        for words in [
            [1, 1, 101, 101],
            [1, 1, u32::MAX, u32::MAX],
            [1, 1, 9, 8],
            [1, 1_000_000, 1, 1],
            [1, u32::MAX, 1, 1],
        ] {
            assert_eq!(packet(&head(numbers, words), numbers, 100), Some(Err(())), "{words:?}");
        }
    }
}
