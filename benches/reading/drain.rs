//! The reader of a FIFO, which discards what it reads.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::measure::support::lab::eventually;

/// Bytes read at once.
const BLOCK: usize = 1024 * 1024;
/// Bytes kept of the end of the stream, with the last statistics.
const TAIL: usize = 4096;

/// Reads a FIFO to its end on a separate thread.
pub(crate) struct Drain {
    read: Arc<AtomicU64>,
    thread: JoinHandle<Vec<u8>>,
}

impl Drain {
    pub(crate) fn start(fifo: &Path) -> Self {
        let (path, read) = (fifo.to_owned(), Arc::new(AtomicU64::new(0)));
        let counter = Arc::clone(&read);
        let thread = std::thread::spawn(move || {
            let mut stream = File::open(path).expect("the FIFO");
            let (mut block, mut tail) = (vec![0; BLOCK], Vec::new());
            while let Ok(count @ 1..) = stream.read(&mut block) {
                counter.fetch_add(count as u64, Ordering::Relaxed);
                tail.extend_from_slice(&block[count.saturating_sub(TAIL)..count]);
                tail.drain(..tail.len().saturating_sub(TAIL));
            }
            tail
        });
        Self { read, thread }
    }

    /// Bytes read so far.
    pub(crate) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Waits until nothing was read for a while.
    pub(crate) fn wait_until_quiet(&self) {
        eventually("the stream is quiet", || {
            let before = self.read();
            std::thread::sleep(Duration::from_millis(300));
            self.read() == before
        });
    }

    /// Waits for the end of the stream and returns its last bytes.
    pub(crate) fn tail(self) -> Vec<u8> {
        self.thread.join().expect("a reader")
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
