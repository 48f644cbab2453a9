//! The protocol between two processes of the program: a session reads from a tap on the same host, or from
//! `containerdump serve` on another host.
//!
//! ```text
//! reader: session                             writer: tap, or serve on another host
//!         <── hello: protocol and version ──                         (ssh only)
//!         ── request: a line of JSON ──>                             (ssh only)
//!         <── stream: pcapng, possibly compressed ──
//!         ── heartbeat: a byte every 2 seconds ──>                   the writer ends without it
//!         ── control: a new capture filter, or finish ──>
//! ```
//!
//! All input is hostile: lengths, numbers and text are checked before use, memory does not grow with the input, and the
//! first error ends the stream. How the other process was started is unknown here.

mod block;
pub mod compression;
mod control;
mod heartbeat;
mod hello;
mod interface;
mod keepalive;
mod names;
mod open;
mod read_buffer;

use std::io::{self, Write as _};
use std::net::{IpAddr, Shutdown};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use block::PeerPacket;
pub use control::{ControlEvents, ControlParser, filter_reply};
pub use heartbeat::{FINISH, HEARTBEAT, Heartbeat, HeartbeatHandle};
pub(crate) use hello::parse_hello;
pub use hello::{HELLO, PROTOCOL, hello};
pub(crate) use keepalive::Keepalive;
pub use names::PeerNames;
pub use open::{open_capture_stream, open_tap_stream};

use crate::capture::{MAX_FILTER_LEN, PacketCounts};
use crate::error::Error;
use crate::pcapng::{self, InterfaceDescription};
use crate::safe_text::SafeText;
use block::BlockKind;
use interface::InterfaceTexts;
use read_buffer::{FillOutcome, ReadBuffer};
pub use read_buffer::{PeerBuffer, new_buffer};

/// How long either end waits for a sign of life: heartbeats come every 2 seconds, statistics every 3 at least.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most interfaces of a stream that adds them as it goes.
const MAX_INTERFACES: usize = 4096;

/// A stream of packets from another process. Dropping it ends that process.
#[derive(Debug)]
pub struct PeerStream {
    /// The container or host that it comes from.
    origin: SafeText,
    /// Whether names of interfaces and addresses include the host: `web@build1`.
    host_in_names: bool,
    stream: Arc<UnixStream>,
    buffer: ReadBuffer,
    /// Snap length and counts of each interface.
    interfaces: Vec<(u32, PacketCounts)>,
    last_data: Instant,
    /// Whether statistics came last, as they do before a proper end.
    ends_with_statistics: bool,
    finish_requested: bool,
    /// The last reply to a new capture filter.
    filter_reply: Option<(u32, Result<(), SafeText>)>,
    interface_texts: InterfaceTexts,
    /// Interfaces not taken yet; `None` for a stream that may not add interfaces.
    new_interfaces: Option<Vec<InterfaceDescription>>,
    /// Names of addresses not taken yet, of a stream that may add interfaces.
    new_names: Vec<(IpAddr, SafeText)>,
}

/// Why a stream has ended.
#[derive(Debug, PartialEq, Eq)]
pub enum PeerStreamEnd {
    /// The writer ended it.
    Finished,
    /// The connection was lost, or the input was invalid.
    Failed(Error),
}

/// How much was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlocksRead {
    /// Blocks of the stream; 0 if none is available.
    pub blocks: usize,
    /// Their bytes.
    pub bytes: usize,
}

/// Why a stream is invalid.
#[derive(Debug, PartialEq, Eq)]
struct ProtocolError(String);

impl PeerStream {
    fn new(stream: UnixStream, origin: &SafeText, may_be_compressed: bool) -> Result<Self, Error> {
        let buffer = ReadBuffer::new(may_be_compressed).map_err(|error| Error::no_memory(&error))?;
        Ok(Self {
            origin: origin.clone(),
            host_in_names: false,
            stream: Arc::new(stream),
            buffer,
            interfaces: Vec::new(),
            last_data: Instant::now(),
            ends_with_statistics: false,
            finish_requested: false,
            filter_reply: None,
            interface_texts: InterfaceTexts::default(),
            new_interfaces: None,
            new_names: Vec::new(),
        })
    }

    /// Reads the blocks that have come, and calls `on_packet` with each packet and the offset of its block in
    /// [`PeerStream::blocks`]. It returns the number of the interface, which replaces that in the block.
    ///
    /// Fails at the end of the stream, proper or not.
    pub fn read(
        &mut self,
        on_packet: impl FnMut(PeerPacket<'_>, usize) -> u32,
    ) -> Result<BlocksRead, PeerStreamEnd> {
        self.read_blocks(on_packet).map_err(|ended| {
            // The writer must not go on without a reader.
            let _ = self.stream.shutdown(Shutdown::Both);
            ended.map_or(PeerStreamEnd::Finished, |error| PeerStreamEnd::Failed(self.error(&error)))
        })
    }

    /// The same; fails with `None` at a proper end.
    fn read_blocks(
        &mut self,
        mut on_packet: impl FnMut(PeerPacket<'_>, usize) -> u32,
    ) -> Result<BlocksRead, Option<ProtocolError>> {
        let mut count = BlocksRead::default();
        loop {
            loop {
                let has_new_interfaces = self.new_interfaces.as_ref().is_some_and(|new| !new.is_empty());
                if has_new_interfaces || !self.new_names.is_empty() {
                    // Both are written before the packets that follow them.
                    return Ok(count);
                }
                let Some(block) = self.buffer.block()? else { break };
                let length = block.len();
                match block::kind(block)? {
                    BlockKind::Interface if let Some(new_interfaces) = &mut self.new_interfaces => {
                        let mut interface = interface::parse(block)?;
                        self.interface_texts.add(&mut interface)?;
                        let interface = interface.on_host(&self.origin, self.host_in_names);
                        self.interfaces.push((interface.snap_length, PacketCounts::default()));
                        new_interfaces.push(interface);
                        if self.interfaces.len() > MAX_INTERFACES {
                            return Err(Some(ProtocolError(format!(
                                "more than {MAX_INTERFACES} interfaces"
                            ))));
                        }
                    }
                    BlockKind::Names if self.new_interfaces.is_some() => {
                        self.new_names.extend(names::parse(block)?);
                    }
                    BlockKind::Packet => {
                        let packet = block::parse_packet(block, &self.interfaces)?;
                        self.interfaces[packet.interface].1.delivered += 1;
                        self.ends_with_statistics = false;
                        let captured = packet.data.len();
                        let number = on_packet(packet, self.buffer.offset());
                        self.buffer.renumber_packet(number, captured);
                    }
                    BlockKind::Statistics => {
                        let (interface, counts) = block::parse_statistics(block, &self.interfaces)?;
                        let known = &mut self.interfaces[interface].1;
                        *known = PacketCounts { delivered: known.delivered, ..counts };
                        self.ends_with_statistics = true;
                        let reply = block::comment(block).and_then(control::parse_filter_reply);
                        self.filter_reply = reply.or(self.filter_reply.take());
                    }
                    kind => kind.ensure_allowed_between_packets()?,
                }
                count.blocks += 1;
                count.bytes += length;
                self.buffer.consume(length);
            }
            if count.blocks > 0 {
                return Ok(count);
            }
            match self.buffer.fill(&self.stream)? {
                FillOutcome::Filled => self.last_data = Instant::now(),
                // A part of a large chunk is a sign of life.
                FillOutcome::Pending { received: true } => {
                    self.last_data = Instant::now();
                    return Ok(count);
                }
                FillOutcome::Pending { .. } if self.last_data.elapsed() > SILENCE_TIMEOUT => {
                    let seconds = SILENCE_TIMEOUT.as_secs();
                    return Err(Some(ProtocolError(format!("no data for {seconds} seconds"))));
                }
                FillOutcome::Pending { .. } => return Ok(count),
                FillOutcome::End => return Err(self.end_error()),
            }
        }
    }

    /// The memory of the blocks of the last [`PeerStream::read`].
    pub fn blocks(&self) -> &[u8] {
        self.buffer.removed()
    }

    /// The same, to be kept, in exchange for `spare`.
    pub fn take_blocks(&mut self, spare: PeerBuffer) -> PeerBuffer {
        self.buffer.exchange(spare)
    }

    /// The error if the stream may not end here.
    fn end_error(&self) -> Option<ProtocolError> {
        let is_complete = self.buffer.is_empty() && self.ends_with_statistics;
        let is_proper = is_complete || self.finish_requested;
        (!is_proper).then(|| ProtocolError::new("the stream ended unexpectedly"))
    }

    /// Asks the writer to write what is pending, and to end.
    pub fn request_finish(&mut self) {
        self.finish_requested = true;
        if (&*self.stream).write_all(&[FINISH]).is_err() {
            let _ = self.stream.shutdown(Shutdown::Write);
        }
    }

    /// Asks the writer to change the capture filter; `None` for all packets. The reply has the same number.
    ///
    /// Fails when the request cannot be sent.
    pub fn request_filter(&self, number: u32, filter: Option<&str>) -> Result<(), SafeText> {
        if filter.is_some_and(|filter| filter.len() > MAX_FILTER_LEN) {
            return Err(SafeText::new("the filter is too long"));
        }
        // Small enough to be written whole or not at all.
        let written = (&*self.stream).write_all(&control::filter_request(number, filter));
        written.map_err(|error| SafeText::new(&format!("the request cannot be sent: {error}")))
    }

    /// The last reply to a filter request, once: its number, and the error.
    pub fn take_filter_reply(&mut self) -> Option<(u32, Result<(), SafeText>)> {
        self.filter_reply.take()
    }

    /// Interfaces added since the last call; no packet is read until they are taken.
    pub fn take_new_interfaces(&mut self) -> Vec<InterfaceDescription> {
        self.new_interfaces.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The host, and names of its addresses added since the last call; no packet is read until they are taken.
    pub fn take_new_names(&mut self) -> Option<(SafeText, Vec<(IpAddr, SafeText)>)> {
        let mut names = std::mem::take(&mut self.new_names);
        if self.host_in_names {
            for (_, name) in &mut names {
                *name =
                    SafeText::with_limit(&format!("{name}@{}", self.origin), pcapng::MAX_QUALIFIED_NAME_LEN);
            }
        }
        (!names.is_empty()).then(|| (self.origin.clone(), names))
    }

    /// The counts of each interface, as last reported by the writer.
    pub fn counts(&self) -> impl Iterator<Item = PacketCounts> {
        self.interfaces.iter().map(|(_, counts)| *counts)
    }

    fn error(&self, ProtocolError(why): &ProtocolError) -> Error {
        Error::new(
            format!("cannot read packets of {}: {why}", self.origin),
            "check that it is running and reachable, and that both ends have the same version of containerdump",
        )
    }
}

impl AsFd for PeerStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl ProtocolError {
    fn new(why: &str) -> Self {
        Self(why.to_owned())
    }

    fn connection(error: &io::Error) -> Self {
        Self(format!("connection failed: {error}"))
    }
}
