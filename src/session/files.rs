//! The files of a capture: one, or a row of them of which the oldest may go.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::limits::{Limits, Used};
use super::output::Output;
use crate::error::Error;
use crate::stop::{Stop, Stopped};

/// Names, opens and forgets the files of a capture.
pub struct Files {
    path: PathBuf,
    replace: bool,
    /// Bounds of one file; none for a capture in a single file.
    each: Option<Limits>,
    written: VecDeque<PathBuf>,
    number: usize,
}

impl Files {
    /// One file, `path`; with `each`, a row of numbered files, each within these limits, of which
    /// only as many are kept as these say.
    pub fn new(path: PathBuf, replace: bool, each: Option<Limits>) -> Self {
        Self { path, replace, each, written: VecDeque::new(), number: 0 }
    }

    /// What the files are named after.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the next file, and removes the oldest if there are too many.
    ///
    /// Fails when it cannot be opened; with [`Stopped`] when there is a reason to stop before it can.
    pub fn open_next(&mut self, stop: &Stop) -> Result<Result<Output, Error>, Stopped> {
        self.number += 1;
        let path = match self.each {
            Some(_) => numbered(&self.path, self.number, SystemTime::now()),
            None => self.path.clone(),
        };
        let output = match Output::file(&path, self.replace, stop)? {
            Ok(output) => output,
            Err(trouble) => return Ok(Err(trouble)),
        };
        self.written.push_back(path);
        let most = self.each.and_then(|each| each.files).unwrap_or(usize::MAX);
        while self.written.len() > most {
            if let Some(oldest) = self.written.pop_front() {
                // Somebody else may have tidied it away.
                let _ = fs::remove_file(oldest);
            }
        }
        Ok(Ok(output))
    }

    /// How many were opened.
    pub(super) fn opened(&self) -> usize {
        self.number
    }

    /// A fresh count against the bounds of one file.
    pub(super) fn use_of_one(&self) -> Used {
        Used::new(self.each.unwrap_or_default())
    }
}

/// `web.pcapng` becomes `web_00001_20261123140500.pcapng`, as dumpcap names its files; the time
/// is UTC.
fn numbered(path: &Path, number: usize, now: SystemTime) -> PathBuf {
    let mut name = OsString::from(path.file_stem().unwrap_or_default());
    name.push(format!("_{number:05}_{}", stamp(now)));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// `20261123140500`: date and time in UTC.
pub fn stamp(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (year, month, day) = date(seconds / 86_400);
    let of_day = seconds % 86_400;
    format!("{year}{month:02}{day:02}{:02}{:02}{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

/// Year, month and day of the day `days` after 1970-01-01. Years begin on the first of March
/// here, so that a leap day is the last of its year.
fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_TO_1970: u64 = 719_468; // from 0000-03-01
    const DAYS_IN_400_YEARS: u64 = 146_097;
    let days = days + DAYS_TO_1970;
    let of_era = days % DAYS_IN_400_YEARS;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (days / DAYS_IN_400_YEARS * 400 + year_of_era + next_year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn stamps_agree_with_date() {
        // date -u -d @SECONDS +%Y%m%d%H%M%S
        for (seconds, text) in [
            (0, "19700101000000"),
            (951_782_399, "20000228235959"),
            (951_782_400, "20000229000000"),
            (1_795_435_357, "20261123120237"),
            (4_107_542_400, "21000301000000"),
        ] {
            assert_eq!(stamp(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn numbered_files_keep_folder_and_ending() {
        let name = numbered(Path::new("/tmp/web.shop.pcapng"), 7, UNIX_EPOCH);
        assert_eq!(name, Path::new("/tmp/web.shop_00007_19700101000000.pcapng"));
    }
}
