//! Files of settings, which other programs and people write: no device, no pipe that never ends.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::fcntl::OFlag;

/// Bytes that are read: 200 saved hosts with the longest paths of keys, or any context of Docker's, have fewer.
const MOST_BYTES: u64 = 1024 * 1024;

/// What is in the file, without waiting for anybody.
///
/// Fails when there is none, it is no regular file, it has more than 1 MiB, or it cannot be read.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Ok(bytes)
}
