//! Converts the output of tcpdump, in libpcap's savefile format, to a pcapng stream such as that of a peer.
//!
//! Layout: draft-ietf-opsawg-pcap. Like every stream of another host, it is hostile: it is parsed here within bounds,
//! and once more by [`crate::peer`].

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::capture::{Direction, MAX_SNAP_LEN, now};
use crate::pcapng::{self, BlockWriter, InterfaceDescription, InterfaceStatistics};
use crate::peer::FINISH;
use crate::ssh::lines::OUTPUT_ENDED;

/// Precedes the file. A login shell may print before it.
const SAVEFILE_MARKER: &[u8] = b"containerdump-savefile\n";
const MAX_BEFORE_SAVEFILE: usize = 64 * 1024;
const SAVEFILE_HEADER_LEN: usize = 24;
const SAVEFILE_PACKET_HEADER_LEN: usize = 16;
const SAVEFILE_READ_LEN: usize = 256 * 1024;
/// InterfaceStatistics are written regularly, since they show that the capture is alive.
const SAVEFILE_STATISTICS_INTERVAL: Duration = Duration::from_secs(1);

/// Byte order and time resolution of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SavefileFormat {
    is_big_endian: bool,
    /// Nanoseconds per unit of the fraction of a second.
    resolution: u64,
}

impl SavefileFormat {
    fn from_header(header: &[u8; SAVEFILE_HEADER_LEN]) -> Option<Self> {
        match header[..4] {
            [0xd4, 0xc3, 0xb2, 0xa1] => Some(Self { is_big_endian: false, resolution: 1000 }),
            [0x4d, 0x3c, 0xb2, 0xa1] => Some(Self { is_big_endian: false, resolution: 1 }),
            [0xa1, 0xb2, 0xc3, 0xd4] => Some(Self { is_big_endian: true, resolution: 1000 }),
            [0xa1, 0xb2, 0x3c, 0x4d] => Some(Self { is_big_endian: true, resolution: 1 }),
            _ => None,
        }
    }

    fn read_u32(self, bytes: &[u8], at: usize) -> u32 {
        let word = bytes.get(at..at + 4).and_then(|bytes| bytes.first_chunk()).copied().unwrap_or_default();
        if self.is_big_endian { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
    }
}

/// Converts `stream`, whose file must begin within `timeout`, to a stream of the interface `description`.
///
/// # Errors
/// Why there is no file.
pub(super) fn convert(
    stream: UnixStream,
    description: InterfaceDescription,
    timeout: Duration,
) -> Result<UnixStream, String> {
    let (reader, format, link_type) = begin(stream, timeout)?;
    let description = InterfaceDescription { link_type, ..description };
    let cause = |error: io::Error| error.to_string();
    let (local, remote) = UnixStream::pair().map_err(cause)?;
    let requests = remote.try_clone().map_err(cause)?;
    let tcpdump = reader.stream.try_clone().map_err(cause)?;
    let spawn = |name: &str| std::thread::Builder::new().name(name.to_owned());
    spawn("requests").spawn(move || forward_requests(requests, tcpdump)).map_err(cause)?;
    spawn("savefile").spawn(move || write(reader, format, &description, remote)).map_err(cause)?;
    Ok(local)
}

/// Reads up to the first packet. Returns the rest, and the format and link type of the file.
pub(crate) fn begin(
    stream: UnixStream,
    timeout: Duration,
) -> Result<(SavefileReader, SavefileFormat, u32), String> {
    let deadline = Instant::now() + timeout;
    let mut reader = SavefileReader { stream, buffer: Vec::new(), consumed: 0 };
    let mut has_marker = false;
    loop {
        has_marker = has_marker || reader.skip_marker();
        if has_marker && reader.rest().len() >= SAVEFILE_HEADER_LEN {
            break;
        }
        if !has_marker && reader.rest().len() > MAX_BEFORE_SAVEFILE {
            return Err(format!("unexpected output exceeds {} KiB", MAX_BEFORE_SAVEFILE / 1024));
        }
        if Instant::now() > deadline {
            return Err("timed out waiting for the first packets".to_owned());
        }
        if reader.fill().map_err(|error| error.to_string())? == ReadOutcome::End {
            return Err(OUTPUT_ENDED.to_owned());
        }
    }
    let header = *reader.rest().first_chunk::<SAVEFILE_HEADER_LEN>().ok_or(OUTPUT_ENDED)?;
    let format = SavefileFormat::from_header(&header).ok_or("the output is not a pcap file")?;
    reader.consumed += SAVEFILE_HEADER_LEN;
    Ok((reader, format, format.read_u32(&header, 20) & 0x0fff_ffff))
}

/// Forwards the heartbeat to the capture script, and ends its input after a request to finish.
fn forward_requests(mut requests: UnixStream, mut tcpdump: UnixStream) {
    let mut byte = [0];
    loop {
        match requests.read(&mut byte) {
            Ok(1) if byte[0] == FINISH => drop(tcpdump.shutdown(Shutdown::Write)),
            Ok(1) => drop(tcpdump.write_all(b".")),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => break,
        }
    }
    let _ = tcpdump.shutdown(Shutdown::Both);
}

/// Writes packets until the file ends or is invalid.
pub(crate) fn write(
    mut reader: SavefileReader,
    format: SavefileFormat,
    description: &InterfaceDescription,
    mut output: UnixStream,
) {
    let (mut blocks, start) = (BlockWriter::begin_section(), now());
    blocks.add_interface(description);
    let (mut written, mut reported, mut batch) = (0, Instant::now(), Vec::new());
    let mut statistics = |written| {
        blocks.add_statistics(
            0,
            InterfaceStatistics { written, ..InterfaceStatistics::default() },
            start,
            now(),
        );
        blocks.take()
    };
    batch.extend(statistics(0));
    loop {
        while let Some(packet) = parse_packet(reader.rest(), format, description.snap_length) {
            let Ok(packet) = packet else {
                // The end within a block tells the reader of the stream that this is not a normal end.
                let _ = output.write_all(&[0; 4]).and_then(|()| output.shutdown(Shutdown::Both));
                return;
            };
            pcapng::append_packet(&mut batch, 0, Direction::Within, packet.time, packet.length, packet.data);
            written += 1;
            reader.consumed += SAVEFILE_PACKET_HEADER_LEN + packet.data.len();
        }
        if reported.elapsed() > SAVEFILE_STATISTICS_INTERVAL {
            batch.extend(statistics(written));
            reported = Instant::now();
        }
        if output.write_all(&batch).is_err() {
            break;
        }
        batch.clear();
        if !matches!(reader.fill(), Ok(ReadOutcome::Data | ReadOutcome::Idle)) {
            // The exit status of the remote program shows whether this is a normal end.
            let _ = output.write_all(&statistics(written));
            break;
        }
    }
    let _ = output.shutdown(Shutdown::Both);
}

#[derive(Debug, PartialEq, Eq)]
struct SavefilePacket<'a> {
    /// In nanoseconds since 1970.
    time: u64,
    length: u32,
    data: &'a [u8],
}

/// Parses the first packet in `bytes`. `None` if it is incomplete, an error if it is invalid.
fn parse_packet(
    bytes: &[u8],
    format: SavefileFormat,
    snap_length: u32,
) -> Option<Result<SavefilePacket<'_>, ()>> {
    let header = bytes.get(..SAVEFILE_PACKET_HEADER_LEN)?;
    let [seconds, fraction, captured, length] = [0, 4, 8, 12].map(|at| format.read_u32(header, at));
    let fraction = u64::from(fraction).saturating_mul(format.resolution);
    if captured > snap_length.min(MAX_SNAP_LEN) || captured > length || fraction >= 1_000_000_000 {
        return Some(Err(()));
    }
    let data = bytes.get(SAVEFILE_PACKET_HEADER_LEN..SAVEFILE_PACKET_HEADER_LEN + captured as usize)?;
    let time = u64::from(seconds) * 1_000_000_000 + fraction;
    Some(Ok(SavefilePacket { time, length, data }))
}

/// Buffers at most one incomplete packet and one read.
pub(crate) struct SavefileReader {
    stream: UnixStream,
    buffer: Vec<u8>,
    consumed: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum ReadOutcome {
    Data,
    /// Nothing was received within [`SAVEFILE_STATISTICS_INTERVAL`].
    Idle,
    End,
}

impl SavefileReader {
    fn rest(&self) -> &[u8] {
        self.buffer.get(self.consumed..).unwrap_or_default()
    }

    /// Skips everything up to the end of the marker; `false` if it was not received yet.
    fn skip_marker(&mut self) -> bool {
        let at = self.rest().windows(SAVEFILE_MARKER.len()).position(|bytes| bytes == SAVEFILE_MARKER);
        self.consumed += at.map_or(0, |at| at + SAVEFILE_MARKER.len());
        at.is_some()
    }

    fn fill(&mut self) -> io::Result<ReadOutcome> {
        self.buffer.drain(..self.consumed.min(self.buffer.len()));
        self.consumed = 0;
        let before = self.buffer.len();
        self.buffer.resize(before + SAVEFILE_READ_LEN, 0);
        let read = self
            .stream
            .set_read_timeout(Some(SAVEFILE_STATISTICS_INTERVAL))
            .and_then(|()| self.stream.read(&mut self.buffer[before..]));
        self.buffer.truncate(before + read.as_ref().map_or(0, |count| *count));
        match read {
            Ok(0) => Ok(ReadOutcome::End),
            Ok(_) => Ok(ReadOutcome::Data),
            Err(error) => match error.kind() {
                // A peer that exits with unread input resets the socket.
                io::ErrorKind::ConnectionReset => Ok(ReadOutcome::End),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => {
                    Ok(ReadOutcome::Idle)
                }
                _ => Err(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet_header(format: SavefileFormat, words: [u32; 4]) -> Vec<u8> {
        let bytes = |word: u32| if format.is_big_endian { word.to_be_bytes() } else { word.to_le_bytes() };
        words.into_iter().flat_map(bytes).collect()
    }

    #[test]
    fn packets_are_parsed_in_both_byte_orders() {
        for (is_big_endian, resolution) in [(false, 1000), (true, 1000), (false, 1), (true, 1)] {
            let format = SavefileFormat { is_big_endian, resolution };
            let bytes = [packet_header(format, [7, 9, 3, 60]), vec![1, 2, 3, 4]].concat();
            let expected =
                SavefilePacket { time: 7_000_000_000 + 9 * resolution, length: 60, data: &[1, 2, 3] };
            assert_eq!(parse_packet(&bytes, format, 100), Some(Ok(expected)));
            for cut in 0..19 {
                assert_eq!(parse_packet(&bytes[..cut], format, 100), None, "{cut}");
            }
        }
    }

    #[test]
    fn invalid_packet_headers_are_refused_before_their_data() {
        let format = SavefileFormat { is_big_endian: false, resolution: 1000 };
        for words in [
            [1, 1, 101, 101],
            [1, 1, u32::MAX, u32::MAX],
            [1, 1, 9, 8],
            [1, 1_000_000, 1, 1],
            [1, u32::MAX, 1, 1],
        ] {
            assert_eq!(parse_packet(&packet_header(format, words), format, 100), Some(Err(())), "{words:?}");
        }
    }
}
