//! The same program elsewhere: the stream it writes is one more source of a session.
//!
//! ```text
//! containerdump tap, there ── its standard output: pcapng ──> [`Remote`] ──> session, written anew
//!                          <── its standard input: a byte every 2 seconds ── [`Heartbeat`]
//! ```
//!
//! How it was started is not known here: one end of a socket is all there is. Whoever is at the
//! other end may lie: every length, number and text is looked at before it is used, memory does
//! not grow with what comes, and the first thing that is wrong ends the stream.

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
pub use control::{ControlEvents, ControlParser, MAX_FILTER_LEN, filter_reply};
pub use heartbeat::{FINISH, HEARTBEAT, Heartbeat, HeartbeatHandle};
pub(crate) use hello::parse_hello;
pub use hello::{HELLO, PROTOCOL, hello};
pub(crate) use keepalive::Keepalive;
pub use names::PeerNames;
pub use open::{open_capture_stream, open_tap_stream};

use crate::capture::PacketCounts;
use crate::error::Error;
use crate::pcapng::{self, InterfaceDescription};
use crate::safe_text::SafeText;
use block::Kind;
use read_buffer::{Filled, Window};

/// How long the other end may say nothing: it writes statistics every 3 seconds at least.
const LONGEST_SILENCE: Duration = Duration::from_secs(10);
/// Interfaces of one stream that goes on telling them.
const MOST_INTERFACES_EVER: usize = 4096;

/// A stream of packets from elsewhere. Dropping it ends the program there.
#[derive(Debug)]
pub struct PeerStream {
    from: SafeText,
    /// Whether names of interfaces and addresses have the host, as one of several: `web@build1`.
    host_in_names: bool,
    stream: Arc<UnixStream>,
    window: Window,
    /// For each interface: bytes kept of a packet, and what became of all of them.
    interfaces: Vec<(u32, PacketCounts)>,
    heard: Instant,
    /// Whether statistics were the last thing told, as they are before a proper end.
    counted_up: bool,
    asked_to_finish: bool,
    /// What it said last to a new capture filter.
    answer: Option<(u32, Result<(), SafeText>)>,
    /// Interfaces that were told after the begin and are not taken yet; `None` where that may not be.
    told: Option<Vec<InterfaceDescription>>,
    /// Names that were told and are not taken yet; always none where interfaces may not be.
    named: Vec<(IpAddr, SafeText)>,
}

/// Why a stream gives nothing more.
#[derive(Debug, PartialEq, Eq)]
pub enum PeerStreamEnd {
    /// The program at the other end has ended as it should.
    Finished,
    /// The link broke, or what came was no stream of ours.
    Broken(Error),
}

/// What came of looking for packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlocksRead {
    /// Blocks of the stream; 0 when there is none for now.
    pub blocks: usize,
    /// Their bytes.
    pub bytes: usize,
}

/// What is wrong with a stream, to come after its name.
#[derive(Debug, PartialEq, Eq)]
struct Defect(String);

impl PeerStream {
    fn new(stream: UnixStream, from: &SafeText, may_be_packed: bool) -> Self {
        Self {
            from: from.clone(),
            host_in_names: false,
            stream: Arc::new(stream),
            window: Window::new(may_be_packed),
            interfaces: Vec::new(),
            heard: Instant::now(),
            counted_up: false,
            asked_to_finish: false,
            answer: None,
            told: None,
            named: Vec::new(),
        }
    }

    /// Hands packets to `take`, of at most `most` blocks.
    ///
    /// Fails when there will be no more, for whatever reason.
    pub fn read(
        &mut self,
        most: usize,
        take: impl FnMut(PeerPacket<'_>),
    ) -> Result<BlocksRead, PeerStreamEnd> {
        self.look(most, take).map_err(|ended| {
            // A program that is not listened to must not go on.
            let _ = self.stream.shutdown(Shutdown::Both);
            ended.map_or(PeerStreamEnd::Finished, |defect| PeerStreamEnd::Broken(self.trouble(&defect)))
        })
    }

    /// The same; fails with a defect, or with none at a proper end.
    fn look(
        &mut self,
        most: usize,
        mut take: impl FnMut(PeerPacket<'_>),
    ) -> Result<BlocksRead, Option<Defect>> {
        let mut looked = BlocksRead::default();
        loop {
            while looked.blocks < most {
                if self.told.as_ref().is_some_and(|told| !told.is_empty()) || !self.named.is_empty() {
                    // Its packets have no number until it is taken, and names stand before packets.
                    return Ok(looked);
                }
                let Some(block) = self.window.block()? else { break };
                match block::kind(block)? {
                    Kind::Interface if let Some(told) = &mut self.told => {
                        let interface = interface::read(block)?.on_host(&self.from, self.host_in_names);
                        self.interfaces.push((interface.snap_length, PacketCounts::default()));
                        told.push(interface);
                        if self.interfaces.len() > MOST_INTERFACES_EVER {
                            return Err(Some(Defect::new("it tells more and more interfaces")));
                        }
                    }
                    Kind::Names if self.told.is_some() => self.named.extend(names::read(block)?),
                    Kind::Packet => {
                        let packet = block::packet(block, &self.interfaces)?;
                        self.interfaces[packet.interface].1.delivered += 1;
                        self.counted_up = false;
                        take(packet);
                    }
                    Kind::Statistics => {
                        let (interface, counts) = block::statistics(block, &self.interfaces)?;
                        let before = &mut self.interfaces[interface].1;
                        *before = PacketCounts { delivered: before.delivered, ..counts };
                        self.counted_up = true;
                        self.answer =
                            block::comment(block).and_then(control::answered).or(self.answer.take());
                    }
                    kind => kind.in_its_place()?,
                }
                let length = block.len();
                looked = BlocksRead { blocks: looked.blocks + 1, bytes: looked.bytes + length };
                self.window.forget(length);
            }
            if looked.blocks > 0 {
                return Ok(looked);
            }
            match self.window.fill(&self.stream)? {
                Filled::Some => self.heard = Instant::now(),
                // A large chunk may take long.
                Filled::None(true) => {
                    self.heard = Instant::now();
                    return Ok(looked);
                }
                Filled::None(_) if self.heard.elapsed() > LONGEST_SILENCE => {
                    return Err(Some(Defect::new("nothing came from it for 10 seconds")));
                }
                Filled::None(_) => return Ok(looked),
                Filled::End => return Err(self.how_it_ended()),
            }
        }
    }

    /// What is wrong about an end right here, if anything.
    fn how_it_ended(&self) -> Option<Defect> {
        let whole = self.window.is_empty() && self.counted_up;
        (!whole && !self.asked_to_finish).then(|| Defect::new("it broke off"))
    }

    /// Asks the other end to write what it has, and to end.
    pub fn request_finish(&mut self) {
        self.asked_to_finish = true;
        if (&*self.stream).write_all(&[FINISH]).is_err() {
            let _ = self.stream.shutdown(Shutdown::Write);
        }
    }

    /// Asks the other end to take those packets only that pass `filter`, all without one; what comes of it
    /// is told as the answer of that number.
    ///
    /// Fails when it cannot be asked.
    pub fn request_filter(&self, number: u32, filter: Option<&str>) -> Result<(), SafeText> {
        if filter.is_some_and(|filter| filter.len() > MAX_FILTER_LEN) {
            return Err(SafeText::new("it is too long"));
        }
        // Small enough to be taken all at once or not at all.
        let written = (&*self.stream).write_all(&control::asked(number, filter));
        written.map_err(|error| SafeText::new(&format!("it does not listen: {error}")))
    }

    /// What the other end said last to a new filter, once: its number, and why not.
    pub fn take_filter_reply(&mut self) -> Option<(u32, Result<(), SafeText>)> {
        self.answer.take()
    }

    /// The interfaces that were told since this was asked last; no packet is read until they are taken.
    pub fn take_new_interfaces(&mut self) -> Vec<InterfaceDescription> {
        self.told.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The host, and the names of addresses received since the last call, with the host where it is one of several; no packet is
    /// read until they are taken.
    pub fn take_new_names(&mut self) -> Option<(SafeText, Vec<(IpAddr, SafeText)>)> {
        let mut named = std::mem::take(&mut self.named);
        if self.host_in_names {
            for (_, name) in &mut named {
                *name =
                    SafeText::with_limit(&format!("{name}@{}", self.from), pcapng::MAX_QUALIFIED_NAME_LEN);
            }
        }
        (!named.is_empty()).then(|| (self.from.clone(), named))
    }

    /// What became of the packets of each interface, as far as the other end told.
    pub fn counts(&self) -> impl Iterator<Item = PacketCounts> {
        self.interfaces.iter().map(|(_, counts)| *counts)
    }

    fn trouble(&self, Defect(why): &Defect) -> Error {
        Error::new(
            format!("cannot read packets of {}: {why}", self.from),
            "see that it still runs and can be reached, and that containerdump is of the same version at both ends",
        )
    }
}

impl AsFd for PeerStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Defect {
    fn new(why: &str) -> Self {
        Self(why.to_owned())
    }

    fn link(error: &io::Error) -> Self {
        Self(format!("the link to it failed: {error}"))
    }
}
