//! Readers of a FIFO.

use std::fmt;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::unistd::{Pid, gettid};

use crate::measure::cost;
use crate::measure::support::lab::eventually;

/// Bytes read at once.
const BLOCK: usize = 1024 * 1024;
/// Bytes kept of the end of the stream, with the last statistics of a few interfaces.
const TAIL: usize = 4096;
/// Bytes read from the end of a file, with those of many.
const TAIL_OF_FILE: u64 = 64 * 1024;

/// What becomes of the stream.
#[derive(Clone)]
pub(crate) enum ReaderKind {
    Discard,
    /// Written to a file.
    File(PathBuf),
    /// Read by Wireshark's dumpcap, which writes it to a file.
    Dumpcap(PathBuf),
}

/// Reads a FIFO to its end.
pub(crate) enum Reader {
    Thread { read: Arc<AtomicU64>, id: Arc<AtomicI32>, thread: JoinHandle<Vec<u8>>, file: Option<PathBuf> },
    Dumpcap { child: Child, file: PathBuf },
}

impl Reader {
    pub(crate) fn start(fifo: &Path, kind: &ReaderKind) -> Self {
        let file = match kind {
            ReaderKind::Discard => None,
            ReaderKind::File(path) => Some(path.clone()),
            ReaderKind::Dumpcap(path) => {
                let mut command = Command::new("dumpcap");
                command.arg("-i").arg(fifo).args(["-q", "-w"]).arg(path);
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                return Self::Dumpcap { child: command.spawn().expect("dumpcap"), file: path.clone() };
            }
        };
        let (read, id) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicI32::new(0)));
        let output = file.as_ref().map(|path| File::create(path).expect("a file"));
        let (path, counter, own_id) = (fifo.to_owned(), Arc::clone(&read), Arc::clone(&id));
        let thread = std::thread::spawn(move || {
            own_id.store(gettid().as_raw(), Ordering::Relaxed);
            read_all(&path, output, &counter)
        });
        eventually("the reader has started", || id.load(Ordering::Relaxed) != 0);
        Self::Thread { read, id, thread, file }
    }

    /// Bytes read so far.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Thread { read, .. } => read.load(Ordering::Relaxed),
            Self::Dumpcap { file, .. } => file.metadata().map_or(0, |about| about.len()),
        }
    }

    /// CPU time so far.
    pub(crate) fn cpu(&self) -> Duration {
        match self {
            Self::Thread { id, .. } => cost::of_thread(Pid::from_raw(id.load(Ordering::Relaxed))),
            Self::Dumpcap { child, .. } => cost::so_far(child),
        }
    }

    /// Waits until nothing was read for a while.
    pub(crate) fn wait_until_quiet(&self) {
        eventually("the stream is quiet", || {
            let before = self.bytes();
            std::thread::sleep(Duration::from_millis(300));
            self.bytes() == before
        });
    }

    /// Waits for the end of the stream and returns its last bytes.
    pub(crate) fn tail(self) -> Vec<u8> {
        match self {
            Self::Thread { thread, file, .. } => {
                let tail = thread.join().expect("a reader");
                file.map_or(tail, |file| tail_of(&file))
            }
            Self::Dumpcap { mut child, file } => {
                child.wait().expect("a child");
                tail_of(&file)
            }
        }
    }
}

fn tail_of(file: &Path) -> Vec<u8> {
    let mut file = File::open(file).expect("the file");
    let length = file.metadata().expect("its length").len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_OF_FILE))).expect("a file");
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).expect("its end");
    tail
}

fn read_all(fifo: &Path, mut file: Option<File>, counter: &AtomicU64) -> Vec<u8> {
    let mut stream = File::open(fifo).expect("the FIFO");
    let (mut block, mut tail) = (vec![0; BLOCK], Vec::new());
    while let Ok(count @ 1..) = stream.read(&mut block) {
        if let Some(file) = &mut file {
            file.write_all(&block[..count]).expect("room");
        }
        counter.fetch_add(count as u64, Ordering::Relaxed);
        tail.extend_from_slice(&block[count.saturating_sub(TAIL)..count]);
        tail.drain(..tail.len().saturating_sub(TAIL));
    }
    tail
}

impl fmt::Display for ReaderKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Discard => "discarded",
            Self::File(_) => "written to a file",
            Self::Dumpcap(_) => "dumpcap",
        })
    }
}

/// Packets written and dropped by the kernel, from the statistics at the end of a pcapng stream, for all interfaces.
pub(crate) fn statistics(tail: &[u8]) -> (u64, u64) {
    let (mut written, mut lost, mut end) = (0, 0, tail.len());
    // Blocks end with their length.
    while let Some(block) = last_block(&tail[..end]) {
        const INTERFACE_STATISTICS: u32 = 5;
        if word(block, 0) != Some(INTERFACE_STATISTICS) {
            break;
        }
        written += option(block, 8).unwrap_or_default(); // isb_usrdeliv
        lost += option(block, 7).unwrap_or_default(); // isb_osdrop
        end -= block.len();
    }
    (written, lost)
}

fn last_block(bytes: &[u8]) -> Option<&[u8]> {
    let length = word(bytes, bytes.len().checked_sub(4)?)? as usize;
    bytes.get(bytes.len().checked_sub(length.max(12))?..)
}

/// The value of a 64-bit option of an interface statistics block.
fn option(block: &[u8], wanted: u32) -> Option<u64> {
    let mut at = 20;
    loop {
        let head = word(block, at)?;
        let (code, length) = (head & 0xffff, head >> 16);
        if code == wanted {
            return Some(u64::from(word(block, at + 4)?) | u64::from(word(block, at + 8)?) << 32);
        }
        if code == 0 {
            return None;
        }
        at += 4 + length.next_multiple_of(4) as usize;
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
