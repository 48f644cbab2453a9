//! The start of a stream: everything before its first packet.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::block::{self, BlockKind};
use super::read_buffer::FillOutcome;
use super::{PeerStream, ProtocolError, heartbeat, interface};
use crate::capture::PacketCounts;
use crate::error::Error;
use crate::pcapng::InterfaceDescription;
use crate::safe_text::SafeText;

/// Most bytes before the first packet.
const MAX_PREAMBLE_LEN: usize = 1024 * 1024;
/// Most interfaces of a stream that has them all at its start.
const MAX_INITIAL_INTERFACES: usize = 256;

/// Opens the stream of a tap of `origin` and waits for its interfaces.
///
/// Fails after `timeout`, when the input is invalid, and when memory is short.
pub fn open_tap_stream(
    stream: UnixStream,
    origin: &SafeText,
    timeout: Duration,
) -> Result<(Vec<InterfaceDescription>, PeerStream), Error> {
    let mut peer = PeerStream::new(stream, origin, false)?;
    let interfaces = peer.read_preamble(timeout).map_err(|error| peer.error(&error))?;
    Ok((interfaces, peer))
}

/// Opens the stream of another host, compressed or not, which adds interfaces as it goes, and waits for its start.
/// `host_in_names` adds the host to names, for a capture of several hosts.
///
/// Fails after `timeout`, when the input is invalid, and when memory is short.
pub fn open_capture_stream(
    stream: UnixStream,
    origin: &SafeText,
    host_in_names: bool,
    timeout: Duration,
) -> Result<PeerStream, Error> {
    let mut peer = PeerStream::new(stream, origin, true)?;
    peer.host_in_names = host_in_names;
    peer.new_interfaces = Some(Vec::new());
    // Without interfaces there are no statistics yet.
    peer.ends_with_statistics = true;
    peer.read_section_header(timeout).map_err(|error| peer.error(&error))?;
    Ok(peer)
}

impl PeerStream {
    fn read_section_header(&mut self, timeout: Duration) -> Result<(), ProtocolError> {
        self.stream.set_nonblocking(true).map_err(|error| ProtocolError::connection(&error))?;
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(block) = self.buffer.block()? {
                if block::kind(block)? != BlockKind::Section {
                    return Err(ProtocolError::new("not a pcapng stream"));
                }
                block::check_section(block)?;
                let length = block.len();
                self.buffer.consume(length);
                self.last_data = Instant::now();
                return Ok(());
            }
            match self.buffer.fill(&self.stream)? {
                FillOutcome::Filled => {}
                FillOutcome::End => return Err(ProtocolError::new("the stream ended before it began")),
                FillOutcome::Pending { .. } => self.wait(deadline, timeout, "no stream")?,
            }
        }
    }

    fn read_preamble(&mut self, timeout: Duration) -> Result<Vec<InterfaceDescription>, ProtocolError> {
        self.stream.set_nonblocking(true).map_err(|error| ProtocolError::connection(&error))?;
        let deadline = Instant::now() + timeout;
        let (mut interfaces, mut bytes, mut has_section) = (Vec::new(), 0, false);
        loop {
            if let Some(block) = self.buffer.block()? {
                bytes += block.len();
                match block::kind(block)? {
                    BlockKind::Section if !has_section => {
                        block::check_section(block)?;
                        has_section = true;
                    }
                    _ if !has_section => return Err(ProtocolError::new("not a pcapng stream")),
                    BlockKind::Interface => interfaces.push(interface::parse(block)?),
                    // All interfaces precede the first of these.
                    BlockKind::Statistics | BlockKind::Packet => break,
                    kind => kind.ensure_allowed_between_packets()?,
                }
                if interfaces.len() > MAX_INITIAL_INTERFACES || bytes > MAX_PREAMBLE_LEN {
                    return Err(ProtocolError::new("too much data before the first packet"));
                }
                let length = block.len();
                self.buffer.consume(length);
            } else {
                match self.buffer.fill(&self.stream)? {
                    FillOutcome::Filled => {}
                    FillOutcome::End => {
                        return Err(ProtocolError::new("the stream ended before its interfaces"));
                    }
                    FillOutcome::Pending { .. } => self.wait(deadline, timeout, "no interfaces")?,
                }
            }
        }
        if interfaces.is_empty() {
            return Err(ProtocolError::new("no interfaces"));
        }
        let known = interfaces.iter().map(|interface| (interface.snap_length, PacketCounts::default()));
        self.interfaces = known.collect();
        self.last_data = Instant::now();
        Ok(interfaces)
    }

    /// Waits for more input, and sends heartbeats meanwhile.
    fn wait(&self, deadline: Instant, timeout: Duration, missing: &str) -> Result<(), ProtocolError> {
        let remaining = deadline.saturating_duration_since(Instant::now());
        if remaining.is_zero() {
            let seconds = timeout.as_secs_f32();
            return Err(ProtocolError(format!("{missing} within {seconds:.0} seconds")));
        }
        heartbeat::send(&self.stream);
        let remaining = remaining.min(heartbeat::INTERVAL).as_millis().max(1);
        let mut readable = [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
        // An interrupted wait is a short one.
        let _ = poll(&mut readable, PollTimeout::from(u16::try_from(remaining).unwrap_or(u16::MAX)));
        Ok(())
    }
}
