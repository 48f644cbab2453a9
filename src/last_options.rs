//! The options that the last capture of an interface was started with, in the user's cache: for containers, which come and
//! go, Wireshark keeps none.
//!
//! ```text
//! ~/.cache/containerdump/options/docker-web.json   {"version":1,"options":[["--filter","tcp port 80"]]}
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::{settings_file, user_dirs};

/// The version of the format.
const VERSION: u32 = 1;
/// Bytes of a file that are read or written.
const MAX_LEN: usize = 16 * 1024;
/// Interfaces that are remembered; of more, those that were captured least recently are forgotten.
const MAX_FILES: usize = 200;
/// How long an interface is remembered that is not captured.
const MAX_AGE: Duration = Duration::from_hours(90 * 24);
/// Bytes of an interface value that is the name of a file.
const MAX_NAME_LEN: usize = 200;

/// Options by name, each with its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastOptions(Vec<(String, String)>);

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    options: Vec<(String, String)>,
}

impl LastOptions {
    /// None.
    pub const NONE: Self = Self(Vec::new());

    /// These of all `options`.
    pub fn new(options: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(options.into_iter().collect())
    }

    /// Those of `interface`; none where nothing is known, or it is too old.
    pub fn read(interface: &str) -> Self {
        let read = || -> Option<Stored> {
            let path = path(interface)?;
            if is_old(&path) {
                return None;
            }
            let bytes = settings_file::read_optional(&path).ok()?.filter(|bytes| bytes.len() <= MAX_LEN)?;
            serde_json::from_slice(&bytes).ok()
        };
        let stored = read().filter(|stored| stored.version == VERSION);
        stored.map_or(Self::NONE, |stored| Self(stored.options))
    }

    /// Makes these the ones of `interface`.
    ///
    /// Fails when they are too long, or the file cannot be written.
    pub fn keep(&self, interface: &str) -> io::Result<()> {
        let path = path(interface).ok_or(io::ErrorKind::NotFound)?;
        if self.0.is_empty() {
            return match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        let stored = serde_json::to_vec(&Stored { version: VERSION, options: self.0.clone() })?;
        if stored.len() > MAX_LEN {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let _alone = settings_file::lock(&path)?;
        forget_others(&path);
        settings_file::write(&path, &stored)
    }

    /// The value of an option.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// The file of an interface; `None` where it has no such name, or the user no home.
fn path(interface: &str) -> Option<PathBuf> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let is_value = !interface.is_empty() && interface.len() <= MAX_NAME_LEN && interface.bytes().all(is_name);
    is_value.then_some(user_dirs::cache_dir()?.join("options").join(format!("{interface}.json")))
}

/// Whether a file was written too long ago; a clock that was set back does not make it old.
fn is_old(path: &Path) -> bool {
    let written = fs::symlink_metadata(path).and_then(|about| about.modified());
    let age = written.ok().and_then(|written| SystemTime::now().duration_since(written).ok());
    age.is_some_and(|age| age > MAX_AGE)
}

/// Makes room for `path`: removes files that are old, and the oldest of too many.
fn forget_others(path: &Path) {
    let entries = path.parent().and_then(|folder| fs::read_dir(folder).ok());
    let mut files: Vec<(SystemTime, PathBuf)> = entries
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path() != path && entry.path().extension().is_some_and(|end| end == "json"))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    files.sort();
    let too_many = (files.len() + 1).saturating_sub(MAX_FILES);
    for (index, (_, file)) in files.iter().enumerate() {
        if index < too_many || is_old(file) {
            // What stays is removed the next time.
            let _ = fs::remove_file(file);
        }
    }
}
