//! Files of `/proc`, of which a list reads several per process of the host.

use std::fs::File;
use std::io::Read as _;

/// Larger than most files of `/proc`.
const INITIAL_CAPACITY: usize = 4096;

/// Reads at most `max_len` bytes with few system calls: `fs::read` relies on the file size, which is 0 here, and starts
/// with 32 bytes. `None` where the process has exited.
pub(crate) fn read(path: &str, max_len: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(INITIAL_CAPACITY);
    File::open(path).ok()?.take(max_len).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
