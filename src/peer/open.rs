//! The begin of a stream: what stands before its packets.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::block::{self, Kind};
use super::read_buffer::Filled;
use super::{Defect, PeerStream, heartbeat, interface};
use crate::capture::PacketCounts;
use crate::error::Error;
use crate::pcapng::InterfaceDescription;
use crate::safe_text::SafeText;

/// Bytes that may come before the first packet.
const MOST_BEFORE_PACKETS: usize = 1024 * 1024;
/// Interfaces of one stream that tells them all at its begin.
const MOST_INTERFACES: usize = 256;

/// Opens the stream of `from`, which comes out of `stream`: waits until all its interfaces are
/// told, at most for `patience`.
///
/// Fails when they are not by then, or what comes is no stream of ours.
pub fn open_tap_stream(
    stream: UnixStream,
    from: &SafeText,
    patience: Duration,
) -> Result<(Vec<InterfaceDescription>, PeerStream), Error> {
    let mut remote = PeerStream::new(stream, from, false);
    let interfaces = remote.begin(patience).map_err(|defect| remote.trouble(&defect))?;
    Ok((interfaces, remote))
}

/// Opens the stream of the host `from`, packed or not, which tells its interfaces as they come: waits until it has begun,
/// at most for `patience`. `host_in_names` is set where the capture has several hosts.
///
/// Fails when it has not by then, or what comes is no stream of ours.
pub fn open_capture_stream(
    stream: UnixStream,
    from: &SafeText,
    host_in_names: bool,
    patience: Duration,
) -> Result<PeerStream, Error> {
    let mut remote = PeerStream::new(stream, from, true);
    remote.host_in_names = host_in_names;
    remote.told = Some(Vec::new());
    // Nothing is there that could be counted yet.
    remote.counted_up = true;
    remote.begin_growing(patience).map_err(|defect| remote.trouble(&defect))?;
    Ok(remote)
}

impl PeerStream {
    fn begin_growing(&mut self, patience: Duration) -> Result<(), Defect> {
        self.stream.set_nonblocking(true).map_err(|error| Defect::link(&error))?;
        let until = Instant::now() + patience;
        loop {
            if let Some(block) = self.window.block()? {
                if block::kind(block)? != Kind::Section {
                    return Err(Defect::new("it is no pcapng stream"));
                }
                block::section(block)?;
                let length = block.len();
                self.window.forget(length);
                self.heard = Instant::now();
                return Ok(());
            }
            match self.window.fill(&self.stream)? {
                Filled::Some => {}
                Filled::End => return Err(Defect::new("it ended before it began")),
                Filled::None(_) => self.wait(until, patience, "it did not begin")?,
            }
        }
    }

    fn begin(&mut self, patience: Duration) -> Result<Vec<InterfaceDescription>, Defect> {
        self.stream.set_nonblocking(true).map_err(|error| Defect::link(&error))?;
        let until = Instant::now() + patience;
        let (mut interfaces, mut bytes, mut begun) = (Vec::new(), 0, false);
        loop {
            if let Some(block) = self.window.block()? {
                bytes += block.len();
                match block::kind(block)? {
                    Kind::Section if !begun => begun = block::section(block).map(|()| true)?,
                    _ if !begun => return Err(Defect::new("it is no pcapng stream")),
                    Kind::Interface => interfaces.push(interface::read(block)?),
                    // The first of these says that all interfaces are told.
                    Kind::Statistics | Kind::Packet => break,
                    kind => kind.in_its_place()?,
                }
                if interfaces.len() > MOST_INTERFACES || bytes > MOST_BEFORE_PACKETS {
                    return Err(Defect::new("too much precedes its first packet"));
                }
                let length = block.len();
                self.window.forget(length);
            } else {
                match self.window.fill(&self.stream)? {
                    Filled::Some => {}
                    Filled::End => return Err(Defect::new("it ended before it told its interfaces")),
                    Filled::None(_) => self.wait(until, patience, "it did not tell its interfaces")?,
                }
            }
        }
        if interfaces.is_empty() {
            return Err(Defect::new("it has no interface"));
        }
        let known = interfaces.iter().map(|interface| (interface.snap_length, PacketCounts::default()));
        self.interfaces = known.collect();
        self.heard = Instant::now();
        Ok(interfaces)
    }

    /// Waits for more, and keeps the other end going meanwhile.
    fn wait(&self, until: Instant, patience: Duration, in_vain: &str) -> Result<(), Defect> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let seconds = patience.as_secs_f32();
            return Err(Defect(format!("{in_vain} within {seconds:.0} seconds")));
        }
        heartbeat::beat(&self.stream);
        let left = left.min(heartbeat::EVERY).as_millis().max(1);
        let mut readable = [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
        // An interrupted wait is a short wait.
        let _ = poll(&mut readable, PollTimeout::from(u16::try_from(left).unwrap_or(u16::MAX)));
        Ok(())
    }
}
