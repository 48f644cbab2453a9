//! What runs on saved hosts, as it was told last: Wireshark's list of interfaces is made of it, and waits for nobody.
//!
//! ```text
//! ~/.cache/containerdump/hosts/build1.json   {"version":1,"address":"ann@192.0.2.7","tried":1795435357,"trouble":null}
//!                                            containers, one on each line
//! ```
//!
//! It was told by another host, and lies where other programs of the user's may write: it is trusted no more than
//! that host.

use std::fs::{File, TryLockError};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{Name, Saved, folder};
use crate::safe_text::SafeText;

/// The version of the format.
const VERSION: u32 = 1;
/// How old an answer may be before it is asked for anew, and how old the failure of asking.
const FRESH: Duration = Duration::from_secs(15);
const FRESH_FAILURE: Duration = Duration::from_mins(1);
/// Bytes of containers that are kept: a thousand of them have fewer.
const MOST_BYTES: usize = 900 * 1024;

/// What is known of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// When it was asked last, whatever came of it; seconds since the epoch.
    tried: u64,
    /// Why it could not be asked then.
    pub trouble: Option<SafeText>,
    /// Containers that ran there when it could be, each as it was told.
    pub lines: String,
}

/// The first line of a file.
#[derive(Serialize, Deserialize)]
struct Head {
    version: u32,
    /// The host may have been saved anew with another.
    address: String,
    tried: u64,
    trouble: Option<String>,
}

impl Known {
    /// What is known of `saved`; `None` where it was never asked.
    pub fn of(name: &Name, saved: &Saved) -> Option<Self> {
        let bytes = folder::read(&path(name)?).ok()??;
        let text = String::from_utf8(bytes).ok()?;
        let (head, lines) = text.split_once('\n').unwrap_or((&text, ""));
        let head: Head = serde_json::from_str(head).ok()?;
        let is_it = head.version == VERSION && head.address == saved.host.address();
        let trouble = head.trouble.map(|text| SafeText::with_limit(&text, 200));
        is_it.then(|| Self { tried: head.tried, trouble, lines: lines.to_owned() })
    }

    /// Whether it is old enough to ask again.
    pub fn is_stale(&self) -> bool {
        let fresh = if self.trouble.is_some() { FRESH_FAILURE } else { FRESH };
        // A clock that was set back makes it stale.
        now().checked_sub(self.tried).is_none_or(|age| age >= fresh.as_secs())
    }

    /// Keeps what came of asking `saved` now: the lines of its containers, or why there are none. In the second case
    /// those from before stay.
    ///
    /// Fails when the file cannot be written.
    pub fn keep(name: &Name, saved: &Saved, told: Result<&str, &SafeText>) -> io::Result<()> {
        let path = path(name).ok_or(io::ErrorKind::NotFound)?;
        let before = Self::of(name, saved).unwrap_or_default();
        let (lines, trouble) = match told {
            Ok(lines) => (lines, None),
            Err(trouble) => (before.lines.as_str(), Some(trouble.to_string())),
        };
        folder::lock(&path)?;
        let end = lines.get(..MOST_BYTES).and_then(|most| most.rfind('\n')).unwrap_or(lines.len());
        let head = Head { version: VERSION, address: saved.host.address(), tried: now(), trouble };
        let head = serde_json::to_string(&head)?;
        folder::write(&path, format!("{head}\n{}\n", lines[..end].trim_end()).as_bytes())
    }

    /// Forgets what is known of a host.
    pub fn forget(name: &Name) {
        let _ = path(name).map(std::fs::remove_file);
    }
}

/// Held by whoever asks hosts of their own accord, with nobody watching.
///
/// Fails with an error of the kind `WouldBlock` where another does, with any other where nothing can be kept.
pub fn alone() -> io::Result<File> {
    let folder = folder().ok_or(io::ErrorKind::NotFound)?;
    let lock = folder::lock(&folder.join("x"))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn folder() -> Option<PathBuf> {
    Some(folder::of_cache()?.join("hosts"))
}

fn path(name: &Name) -> Option<PathBuf> {
    let folder = folder()?;
    Some(folder.join(format!("{name}.json")))
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
