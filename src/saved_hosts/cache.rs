//! The containers of saved hosts when they were last asked: Wireshark's list of interfaces is made from this cache and
//! waits for no host.
//!
//! ```text
//! ~/.cache/containerdump/hosts/build1.json   {"version":2,"address":"ann@192.0.2.7","checked":1795435357,"error":null}
//!                                            one container per line, as JSON
//! ```
//!
//! The content comes from another host and is trusted no more than that host.

use std::fs::{File, TryLockError};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{SavedHost, SavedHostName};
use crate::safe_text::SafeText;
use crate::{settings_file, user_dirs};

const CACHE_VERSION: u32 = 2;
/// After this time the host is asked again.
const MAX_CACHE_AGE: Duration = Duration::from_secs(15);
const MAX_ERROR_AGE: Duration = Duration::from_mins(1);
/// In bytes. A thousand containers need less.
const MAX_CONTAINERS_LEN: usize = 900 * 1024;

/// What is known of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CachedHost {
    /// When it was asked, successfully or not, in seconds since 1970.
    checked: u64,
    /// Why it could not be asked.
    pub error: Option<SafeText>,
    /// The containers when it last answered, one JSON object per line, as received.
    pub containers: String,
}

/// The first line of a file.
#[derive(Serialize, Deserialize)]
struct CacheHeader {
    version: u32,
    /// Detects that the host was saved again with another address.
    address: String,
    checked: u64,
    error: Option<String>,
}

impl CachedHost {
    /// Loads the entry of `host`; `None` if it was never asked.
    pub fn load(name: &SavedHostName, host: &SavedHost) -> Option<Self> {
        let bytes = settings_file::read_optional(&path(name)?).ok()??;
        Self::parse(&String::from_utf8(bytes).ok()?, host)
    }

    /// Parses the content of a file; `None` if it is not that of `host`.
    pub(crate) fn parse(text: &str, host: &SavedHost) -> Option<Self> {
        let (header, containers) = text.split_once('\n').unwrap_or((text, ""));
        let header: CacheHeader = serde_json::from_str(header).ok()?;
        let is_current = header.version == CACHE_VERSION && header.address == host.host.address();
        let error = header.error.map(|text| SafeText::with_limit(&text, 200));
        is_current.then(|| Self { checked: header.checked, error, containers: containers.to_owned() })
    }

    /// Whether the host should be asked again.
    pub fn is_stale(&self) -> bool {
        let max_age = if self.error.is_some() { MAX_ERROR_AGE } else { MAX_CACHE_AGE };
        // A time in the future means that the clock was set back.
        now().checked_sub(self.checked).is_none_or(|age| age >= max_age.as_secs())
    }

    /// Stores the answer of `host`: its containers, one JSON object per line, or an error, which keeps the containers of
    /// the last answer.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn store(name: &SavedHostName, host: &SavedHost, answer: Result<&str, &SafeText>) -> io::Result<()> {
        let path = path(name).ok_or(io::ErrorKind::NotFound)?;
        let before = Self::load(name, host).unwrap_or_default();
        let (containers, error) = match answer {
            Ok(containers) => (containers, None),
            Err(error) => (before.containers.as_str(), Some(error.to_string())),
        };
        settings_file::open_lock(&path)?;
        let containers = whole_lines(containers.trim_end(), MAX_CONTAINERS_LEN);
        let header =
            CacheHeader { version: CACHE_VERSION, address: host.host.address(), checked: now(), error };
        let header = serde_json::to_string(&header)?;
        let text = format!("{header}\n{containers}\n");
        settings_file::write(&path, text.as_bytes())
    }

    /// Removes the entry of a host.
    pub fn remove(name: &SavedHostName) {
        let _ = path(name).map(std::fs::remove_file);
    }
}

/// Locks the cache for a refresh in the background.
///
/// # Errors
/// `WouldBlock` if another process holds the lock; any other if the cache cannot be written.
pub fn lock_refresh() -> io::Result<File> {
    let folder = folder().ok_or(io::ErrorKind::NotFound)?;
    let lock = settings_file::open_lock(&folder.join("x"))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn folder() -> Option<PathBuf> {
    Some(user_dirs::cache_dir()?.join("hosts"))
}

fn path(name: &SavedHostName) -> Option<PathBuf> {
    Some(folder()?.join(format!("{name}.json")))
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The first lines of `text`, of at most `max_len` bytes in all.
fn whole_lines(text: &str, max_len: usize) -> &str {
    if text.len() <= max_len {
        return text;
    }
    let allowed = &text[..text.floor_char_boundary(max_len)];
    &allowed[..allowed.rfind('\n').unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::whole_lines;

    #[test]
    fn a_long_list_is_cut_at_the_end_of_a_line() {
        let text = "abc\néé\nx";
        for (max_len, kept) in
            [(11, text), (9, "abc\néé"), (8, "abc"), (7, "abc"), (5, "abc"), (3, ""), (0, "")]
        {
            assert_eq!(whole_lines(text, max_len), kept, "{max_len}");
        }
    }
}
