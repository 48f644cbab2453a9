//! A file that is created for the stream.

use std::fs;
use std::io;
use std::path::PathBuf;

/// A created file, until something is written: dropping it removes the file. One that replaces another stands beside it
/// until then, so that a full disk does not cost the old file.
#[derive(Default)]
pub(super) struct UnwrittenFile(Option<(PathBuf, Option<PathBuf>)>);

impl UnwrittenFile {
    /// The file `path`, which is to become `target` if that is given.
    pub(super) fn new(path: PathBuf, target: Option<PathBuf>) -> Self {
        Self(Some((path, target)))
    }

    /// Keeps the file, since something has been written to it.
    ///
    /// Fails if it cannot replace the old file.
    pub(super) fn keep(&mut self) -> io::Result<()> {
        if let Some((path, Some(target))) = &self.0 {
            fs::rename(path, target)?;
        }
        self.0 = None;
        Ok(())
    }
}

impl Drop for UnwrittenFile {
    fn drop(&mut self) {
        // If it cannot be removed, an empty file stays.
        let _ = self.0.take().map(|(path, _)| fs::remove_file(path));
    }
}
