//! Where the stream goes: a pipe or socket, whose reader may leave or stall, or files.

mod file_beginning;
mod files;
mod interface_state;
mod lender;
mod limits;
mod name_repetition;
mod names;
mod open;
mod reading_rate;
mod report;
mod resolved_path;
mod stream;
mod totals;
mod unwritten_file;

use std::fs::File;
use std::io::{self, IoSlice, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use log::info;
use nix::fcntl::SpliceFFlags;
use nix::libc::{MSG_DONTWAIT, MSG_NOSIGNAL};
use nix::poll::{PollFd, PollFlags};
use socket2::SockRef;

pub use files::{OutputFiles, timestamp};
use lender::Lender;
pub use limits::{Limit, Limits};
use reading_rate::ReadingRate;
pub use resolved_path::ResolvedPath;
pub(super) use stream::{StreamOptions, StreamWriter};
pub use totals::{InterfaceTotals, Totals};
use unwritten_file::UnwrittenFile;

use super::input::DRAIN_TIMEOUT;
use super::pending::{GatherBuffer, MAX_SLICES, TakenMemory};
use crate::error::Error;
use crate::peer::PeerBuffer;
use crate::peer::compression::{CompressionMode, StreamCompressor};
use crate::stop::Stop;

/// How long to wait for a stalled session that reads the stream, at the end of the capture; it has a limit of its own.
const SESSION_DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// A slow reader that takes something now and then is waited for up to this many timeouts, so that the stream does not
/// break off within a block.
const SLOW_READER_TIMEOUTS: u32 = 4;

/// Takes the bytes of a stream.
pub struct Output {
    kind: OutputKind,
    unwritten: UnwrittenFile,
    /// Compresses the stream for another containerdump.
    compressor: Option<StreamCompressor>,
    /// For a pipe whose reader copies what it reads.
    lender: Option<Lender>,
    reading_rate: ReadingRate,
    drain_timeout: Duration,
    /// Set once the capture is stopped while the reader stalls: when to give up if it takes nothing, and in any case.
    give_up_at: Option<(Instant, Instant)>,
}

enum OutputKind {
    Pipe(File),
    /// Standard output of a program started by sshd.
    Socket(File),
    File {
        file: File,
        path: PathBuf,
    },
}

/// How bytes get into a pipe.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Delivery {
    Copied,
    Lent,
}

/// Why nothing more can be written.
#[derive(Debug)]
pub enum OutputEnd {
    /// The reader closed the pipe, a normal end.
    ReaderGone,
    /// The capture was stopped while the reader stalled, a normal end.
    Stalled,
    /// Writing failed, for example on a full disk.
    Failed(Error),
}

impl Output {
    fn new(kind: OutputKind) -> Self {
        Self {
            kind,
            unwritten: UnwrittenFile::default(),
            compressor: None,
            lender: None,
            reading_rate: ReadingRate::default(),
            drain_timeout: DRAIN_TIMEOUT,
            give_up_at: None,
        }
    }

    /// Compresses the stream, for another containerdump, which recognizes a compressed stream.
    #[must_use]
    pub fn compressed(self, compress: CompressionMode) -> Self {
        let compressor = (compress != CompressionMode::Off).then(|| StreamCompressor::new(compress));
        // If there is no memory for it, the stream is not compressed.
        Self { compressor: compressor.and_then(Result::ok), ..self }
    }

    /// Prepares for another session as the reader.
    pub(super) fn feed_session(&mut self) {
        self.drain_timeout = SESSION_DRAIN_TIMEOUT;
    }

    /// The path of the file, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match &self.kind {
            OutputKind::File { path, .. } => Some(path),
            OutputKind::Pipe(_) | OutputKind::Socket(_) => None,
        }
    }

    /// The pipe or socket, if it is one, to be watched for its reader leaving.
    pub fn pipe(&self) -> Option<BorrowedFd<'_>> {
        match &self.kind {
            OutputKind::Pipe(file) | OutputKind::Socket(file) => Some(file.as_fd()),
            OutputKind::File { .. } => None,
        }
    }

    /// Writes all of `slices`, waiting for the reader until the capture is stopped.
    ///
    /// Fails if nothing more can be written.
    pub fn write(&mut self, slices: &mut [IoSlice<'_>], stop: &Stop) -> Result<(), OutputEnd> {
        let Some(mut compressor) = self.compressor.take() else {
            return self.write_all(slices, Delivery::Copied, stop);
        };
        let outcome = self.write_compressed(slices, &mut compressor, stop);
        self.compressor = Some(compressor);
        outcome
    }

    fn write_compressed(
        &mut self,
        mut slices: &mut [IoSlice<'_>],
        compressor: &mut StreamCompressor,
        stop: &Stop,
    ) -> Result<(), OutputEnd> {
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            let chunk = compressor.next_chunk(slices);
            let bytes = chunk.bytes;
            let mut output = chunk.slices(slices);
            self.write_all(&mut output, Delivery::Copied, stop)?;
            drop(output);
            IoSlice::advance_slices(&mut slices, bytes);
        }
        Ok(())
    }

    /// Whether memory can be lent to the output.
    pub(super) fn lends(&self) -> bool {
        self.lender.as_ref().is_some_and(Lender::lends)
    }

    /// Lends all of `slices` to the pipe, whose reader then reads them from there. They must not change before that, see
    /// [`Output::release`] and [`Output::renew`].
    ///
    /// Fails if nothing more can be written.
    pub(super) fn lend(&mut self, slices: &mut [IoSlice<'_>], stop: &Stop) -> Result<(), OutputEnd> {
        self.write_all(slices, Delivery::Lent, stop)
    }

    /// Gives a block back to the kernel, at once or when what has been lent of it has been read. Keeps lent memory of a peer
    /// until then, see [`Output::read_peer_buffers`].
    pub(super) fn release(&mut self, memory: TakenMemory) {
        match (&mut self.lender, memory) {
            (Some(lender), TakenMemory::Ring(block)) if block.is_lent() => lender.keep_block(block),
            (Some(lender), TakenMemory::Peer(buffer)) => lender.keep_peer_buffer(buffer),
            (Some(_) | None, memory) => drop(memory),
        }
    }

    /// Memory of peers that was lent and has been read.
    pub(super) fn read_peer_buffers(&mut self) -> Vec<PeerBuffer> {
        if !self.lender.as_ref().is_some_and(Lender::has_peer_buffers) {
            return Vec::new();
        }
        self.has_lent();
        self.lender.as_mut().map_or_else(Vec::new, Lender::take_read_peer_buffers)
    }

    /// Makes room in `buffer`, by another one if what has been lent of it has not been read.
    ///
    /// Fails when memory is short.
    pub(super) fn renew(&mut self, buffer: &mut GatherBuffer) -> Result<(), OutputEnd> {
        if !buffer.is_lent {
            return Ok(());
        }
        if !self.has_lent() {
            buffer.reset();
        } else if let Some(lender) = self.lender.as_mut().filter(|_| buffer.is_full()) {
            lender.exchange(buffer).map_err(|error| OutputEnd::Failed(Error::no_memory(&error)))?;
        }
        Ok(())
    }

    /// Whether some of what has been lent has not been read. Gives back what has been.
    fn has_lent(&mut self) -> bool {
        match (&mut self.lender, &self.kind) {
            (Some(lender), OutputKind::Pipe(pipe)) => !lender.reclaim(pipe),
            _ => false,
        }
    }

    /// Whether blocks have been lent and not been read. Gives back what has been.
    pub(super) fn has_lent_blocks(&mut self) -> bool {
        self.has_lent() && self.lender.as_ref().is_some_and(Lender::has_blocks)
    }

    /// Writes all of `slices` uncompressed.
    fn write_all(
        &mut self,
        mut slices: &mut [IoSlice<'_>],
        mut delivery: Delivery,
        stop: &Stop,
    ) -> Result<(), OutputEnd> {
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            let some = &slices[..slices.len().min(MAX_SLICES)];
            let written = match &mut self.kind {
                OutputKind::Pipe(file) if delivery == Delivery::Lent => {
                    nix::fcntl::vmsplice(&*file, some, SpliceFFlags::SPLICE_F_NONBLOCK)
                        .map_err(io::Error::from)
                }
                OutputKind::Pipe(file) | OutputKind::File { file, .. } => file.write_vectored(some),
                // Does not wait, without O_NONBLOCK for others who share the socket.
                OutputKind::Socket(socket) => {
                    SockRef::from(&*socket).send_vectored_with_flags(some, MSG_DONTWAIT | MSG_NOSIGNAL)
                }
            };
            match written {
                Ok(0) => return Err(self.failed(&io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    self.unwritten.keep().map_err(|error| self.failed(&error))?;
                    if let Some(lender) = &mut self.lender {
                        lender.record(count, delivery == Delivery::Lent);
                    }
                    self.reading_rate.count(count);
                    IoSlice::advance_slices(&mut slices, count);
                    if let Some((at, latest)) = &mut self.give_up_at {
                        *at = (Instant::now() + self.drain_timeout).min(*latest);
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                        return Err(OutputEnd::ReaderGone);
                    }
                    io::ErrorKind::WouldBlock => self.wait_for_reader(stop)?,
                    _ if delivery == Delivery::Lent => {
                        info!("this kernel does not lend memory to a pipe, packets are copied: {error}");
                        if let Some(lender) = &mut self.lender {
                            lender.refuse();
                        }
                        delivery = Delivery::Copied;
                    }
                    _ => return Err(self.failed(&error)),
                },
            }
        }
        Ok(())
    }

    fn wait_for_reader(&mut self, stop: &Stop) -> Result<(), OutputEnd> {
        let (OutputKind::Pipe(file) | OutputKind::Socket(file) | OutputKind::File { file, .. }) = &self.kind;
        let writable = PollFd::new(file.as_fd(), PollFlags::POLLOUT);
        match self.give_up_at {
            None => {
                if stop.wait(vec![writable], Duration::from_secs(1)).stop {
                    let now = Instant::now();
                    let latest = now + self.drain_timeout * SLOW_READER_TIMEOUTS;
                    self.give_up_at = Some((now + self.drain_timeout, latest));
                } else if let OutputKind::Pipe(pipe) = &self.kind {
                    std::thread::sleep(self.reading_rate.time_until_half_read(pipe));
                }
            }
            Some((at, _)) => {
                let left = at.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(OutputEnd::Stalled);
                }
                let _ = nix::poll::poll(&mut [writable], u16::try_from(left.as_millis()).unwrap_or(u16::MAX));
            }
        }
        Ok(())
    }

    fn failed(&self, error: &io::Error) -> OutputEnd {
        let output = self.path().map_or("the pipe".to_owned(), |path| path.display().to_string());
        OutputEnd::Failed(Error::new(
            format!("cannot write to {output}: {error}"),
            "check the free space of the disk; limit a capture with -b filesize:KB -b files:N",
        ))
    }
}
