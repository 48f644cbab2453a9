//! The record of an installation, so that uninstall removes exactly what was installed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use containerdump::error::Error;

use crate::layout::shown;
use crate::tree::{Entry, Ownership, Tree};

const RECORD_NAME: &str = "installed.json";

/// The record of an installation.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct InstallRecord {
    /// Version of the installer.
    pub(crate) version: String,
    /// The group that may capture.
    pub(crate) group: Option<String>,
    /// The group that install created, for `uninstall` to remove.
    #[serde(default)]
    pub(crate) made_group: Option<String>,
    /// Whether the profile was declined (`--no-profile`).
    #[serde(default)]
    pub(crate) no_profile: bool,
    /// Files, with the checksums that each may have.
    pub(crate) files: Vec<RecordedFile>,
    /// Symbolic links.
    pub(crate) links: Vec<RecordedLink>,
    /// Created folders, in order of creation.
    pub(crate) folders: Vec<PathBuf>,
}

/// A recorded file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RecordedFile {
    /// Its path.
    pub(crate) path: PathBuf,
    /// Checksums of its content; two during a replacement.
    pub(crate) checksums: Vec<String>,
}

/// A recorded symbolic link.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordedLink {
    /// Its path.
    pub(crate) path: PathBuf,
    /// Its target.
    pub(crate) target: PathBuf,
}

impl InstallRecord {
    /// Reads the record in `folder`; an empty one where there is none.
    pub(crate) fn load(tree: &Tree, folder: &Path) -> Result<Self, Error> {
        let Some(folder) = tree.folder(folder)? else {
            return Ok(Self::default());
        };
        if folder.look(OsStr::new(RECORD_NAME))? == Entry::Nothing {
            return Ok(Self::default());
        }
        serde_json::from_slice(&folder.read(OsStr::new(RECORD_NAME))?).map_err(|error| {
            let path = folder.path.join(RECORD_NAME);
            Error::new(
                format!("cannot parse {}, the record of the installation: {error}", shown(&path)),
                "remove it together with the installed files, then install again",
            )
        })
    }

    /// Writes the record into `folder`, which must exist.
    pub(crate) fn save(&self, tree: &Tree, folder: &Path, owner: Ownership) -> Result<(), Error> {
        let Some(open) = tree.folder(folder)? else {
            return Ok(());
        };
        let text = serde_json::to_vec_pretty(self).map_err(|error| {
            Error::new(
                format!("cannot serialize the record of the installation: {error}"),
                "report this as a bug",
            )
        })?;
        open.place(OsStr::new(RECORD_NAME), &text, Ownership { mode: 0o644, ..owner }, |_| Ok(()))
    }

    /// Removes the record from `folder`.
    pub(crate) fn remove(tree: &Tree, folder: &Path) -> Result<(), Error> {
        match tree.folder(folder)? {
            Some(open) if open.look(OsStr::new(RECORD_NAME))? != Entry::Nothing => {
                open.remove(OsStr::new(RECORD_NAME))
            }
            _ => Ok(()),
        }
    }

    /// Whether `content` is what was installed at `path`.
    pub(crate) fn matches(&self, path: &Path, content: &[u8]) -> bool {
        let checksum = checksum(content);
        self.files.iter().any(|file| file.path == path && file.checksums.contains(&checksum))
    }

    /// Whether anything is recorded.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.links.is_empty() && self.folders.is_empty()
    }

    /// Records that `content` is about to be installed at `path`.
    pub(crate) fn add_pending(&mut self, path: &Path, content: &[u8]) {
        let checksum = checksum(content);
        match self.files.iter_mut().find(|file| file.path == path) {
            Some(file) if file.checksums.contains(&checksum) => {}
            Some(file) => file.checksums.push(checksum),
            None => self.files.push(RecordedFile { path: path.to_owned(), checksums: vec![checksum] }),
        }
    }

    /// Records that `content` is now installed at `path`.
    pub(crate) fn confirm(&mut self, path: &Path, content: &[u8]) {
        self.files.retain(|file| file.path != path);
        self.add_pending(path, content);
    }

    /// Records that the link at `path` now points to `target`.
    pub(crate) fn confirm_link(&mut self, path: &Path, target: &Path) {
        self.links.retain(|link| link.path != path || link.target == target);
    }

    /// Whether a link at `path` to `target` is recorded.
    pub(crate) fn has_link(&self, path: &Path, target: &Path) -> bool {
        self.links.iter().any(|link| link.path == path && link.target == target)
    }

    /// Records a link.
    pub(crate) fn add_link(&mut self, path: &Path, target: &Path) {
        let link = RecordedLink { path: path.to_owned(), target: target.to_owned() };
        if !self.links.contains(&link) {
            self.links.push(link);
        }
    }
}

/// FNV-1a over words of 8 bytes, and the length. It detects changed files, not attacks: only root can write here.
fn checksum(content: &[u8]) -> String {
    let hash = content.chunks(8).fold(0xcbf2_9ce4_8422_2325_u64, |hash, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}-{}", content.len())
}
