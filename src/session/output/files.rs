//! The files of a capture: a single one, or a ring buffer of several.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;

use super::Output;
use super::limits::{LimitUsage, Limits};
use crate::error::Error;
use crate::stop::{Stop, Stopped};

/// Opens the files of a capture, and removes old ones.
pub struct OutputFiles {
    path: PathBuf,
    overwrite: bool,
    /// Limits of each file; `None` for a capture in a single file.
    file_limits: Option<Limits>,
    kept: VecDeque<PathBuf>,
    opened: usize,
}

impl OutputFiles {
    /// The single file `path`; with `file_limits`, a ring buffer of numbered files within these limits, which also say how
    /// many are kept.
    pub fn new(path: PathBuf, overwrite: bool, file_limits: Option<Limits>) -> Self {
        Self { path, overwrite, file_limits, kept: VecDeque::new(), opened: 0 }
    }

    /// The path that the files are named after.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the next file, and removes the oldest if there are too many.
    ///
    /// Fails if the file cannot be opened; with [`Stopped`] if the capture is stopped before.
    pub fn open_next(&mut self, stop: &Stop) -> Result<Result<Output, Error>, Stopped> {
        self.opened += 1;
        let path = match self.file_limits {
            Some(_) => numbered(&self.path, self.opened, SystemTime::now()),
            None => self.path.clone(),
        };
        let output = match Output::file(&path, self.overwrite, stop)? {
            Ok(output) => output,
            Err(error) => return Ok(Err(error)),
        };
        self.kept.push_back(path);
        let max_files = self.file_limits.and_then(|limits| limits.files).unwrap_or(usize::MAX);
        while self.kept.len() > max_files {
            if let Some(oldest) = self.kept.pop_front() {
                // The user may have removed it already.
                let _ = fs::remove_file(oldest);
            }
        }
        Ok(Ok(output))
    }

    /// Number of files opened.
    pub(super) fn opened(&self) -> usize {
        self.opened
    }

    /// The usage of the limits of a new file.
    pub(super) fn file_usage(&self) -> LimitUsage {
        LimitUsage::new(self.file_limits.unwrap_or_default())
    }
}

/// Names a file as dumpcap does: `web.pcapng` becomes `web_00001_20261123140500.pcapng`, in UTC.
fn numbered(path: &Path, number: usize, now: SystemTime) -> PathBuf {
    let mut name = OsString::from(path.file_stem().unwrap_or_default());
    name.push(format!("_{number:05}_{}", timestamp(now)));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// Date and time in UTC, as in `20261123140500`.
pub fn timestamp(time: SystemTime) -> String {
    Timestamp::try_from(time).unwrap_or_default().strftime("%Y%m%d%H%M%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn numbered_files_keep_folder_and_extension() {
        let time = UNIX_EPOCH + Duration::from_secs(1_795_435_357);
        let name = numbered(Path::new("/tmp/web.shop.pcapng"), 7, time);
        assert_eq!(name, Path::new("/tmp/web.shop_00007_20261123120237.pcapng"));
    }
}
