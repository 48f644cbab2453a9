//! The file of the running program.

use std::io;
use std::path::PathBuf;

/// Starts the running program again, even if its file was replaced or removed.
pub const EXECUTABLE: &str = "/proc/self/exe";

/// The path of the running program, without symbolic links.
///
/// # Errors
/// `/proc` is not mounted.
pub fn path() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// The path of a file beside the running program.
///
/// # Errors
/// `/proc` is not mounted.
pub fn sibling(name: &str) -> io::Result<PathBuf> {
    path().map(|path| path.with_file_name(name))
}
