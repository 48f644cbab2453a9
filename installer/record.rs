//! What install has put where, written down beside it, so that uninstall takes away that and
//! nothing else.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use containerdump::error::Error;

use crate::layout::shown;
use crate::tree::{Entry, Rights, Tree};

const NAME: &str = "installed.json";

/// What install has put where.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Version of the installer.
    pub(crate) version: String,
    /// The group that may capture.
    pub(crate) group: Option<String>,
    /// The group that install made, for `uninstall` to remove.
    #[serde(default)]
    pub(crate) made_group: Option<String>,
    /// Whether Wireshark's profile was declined.
    #[serde(default)]
    pub(crate) no_profile: bool,
    /// Files, each with the checksums of what may be in it.
    pub(crate) files: Vec<RecordedFile>,
    /// Symbolic links.
    pub(crate) links: Vec<RecordedLink>,
    /// Folders made, in the order in which they were.
    pub(crate) folders: Vec<PathBuf>,
}

/// A file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RecordedFile {
    /// Where.
    pub(crate) path: PathBuf,
    /// Of what was put there; two while one takes the other's place.
    pub(crate) checksums: Vec<String>,
}

/// A symbolic link.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordedLink {
    /// Where.
    pub(crate) path: PathBuf,
    /// Where it leads.
    pub(crate) target: PathBuf,
}

impl Record {
    /// Reads the record in `folder`; an empty one where there is none.
    pub(crate) fn load(tree: &Tree, folder: &Path) -> Result<Self, Error> {
        let Some(folder) = tree.folder(folder)? else {
            return Ok(Self::default());
        };
        if folder.look(OsStr::new(NAME))? == Entry::Nothing {
            return Ok(Self::default());
        }
        serde_json::from_slice(&folder.read(OsStr::new(NAME))?).map_err(|error| {
            let path = folder.path.join(NAME);
            Error::new(
                format!("cannot understand {}, the record of what was installed: {error}", shown(&path)),
                "remove it, together with what was installed, and install again",
            )
        })
    }

    /// Writes the record into `folder`, which must exist.
    pub(crate) fn save(&self, tree: &Tree, folder: &Path, owner: Rights) -> Result<(), Error> {
        let Some(open) = tree.folder(folder)? else {
            return Ok(());
        };
        let text = serde_json::to_vec_pretty(self).map_err(|error| {
            Error::new(format!("cannot write down what was installed: {error}"), "report this as a defect")
        })?;
        open.place(OsStr::new(NAME), &text, Rights { mode: 0o644, ..owner }, |_| Ok(()))
    }

    /// Removes the record from `folder`.
    pub(crate) fn remove(tree: &Tree, folder: &Path) -> Result<(), Error> {
        match tree.folder(folder)? {
            Some(open) if open.look(OsStr::new(NAME))? != Entry::Nothing => open.remove(OsStr::new(NAME)),
            _ => Ok(()),
        }
    }

    /// Whether `content` is what was put at `path`.
    pub(crate) fn knows(&self, path: &Path, content: &[u8]) -> bool {
        let checksum = checksum(content);
        self.files.iter().any(|file| file.path == path && file.checksums.contains(&checksum))
    }

    /// Whether anything is recorded.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.links.is_empty() && self.folders.is_empty()
    }

    /// Notes that `content` is about to be put at `path`.
    pub(crate) fn expect(&mut self, path: &Path, content: &[u8]) {
        let checksum = checksum(content);
        match self.files.iter_mut().find(|file| file.path == path) {
            Some(file) if file.checksums.contains(&checksum) => {}
            Some(file) => file.checksums.push(checksum),
            None => self.files.push(RecordedFile { path: path.to_owned(), checksums: vec![checksum] }),
        }
    }

    /// Notes that `content` is at `path` now, and nothing else.
    pub(crate) fn settle(&mut self, path: &Path, content: &[u8]) {
        self.files.retain(|file| file.path != path);
        self.expect(path, content);
    }

    /// Notes that the link at `path` leads to `target` now, and nowhere else.
    pub(crate) fn settle_link(&mut self, path: &Path, target: &Path) {
        self.links.retain(|link| link.path != path || link.target == target);
    }

    /// Whether a link at `path` that leads to `target` was put there.
    pub(crate) fn has_link(&self, path: &Path, target: &Path) -> bool {
        self.links.iter().any(|link| link.path == path && link.target == target)
    }

    /// Notes a link.
    pub(crate) fn add_link(&mut self, path: &Path, target: &Path) {
        let link = RecordedLink { path: path.to_owned(), target: target.to_owned() };
        if !self.links.contains(&link) {
            self.links.push(link);
        }
    }
}

/// FNV-1a over words of eight bytes, and the length: tells a file from another that came in its
/// place by accident. Nobody who could do it on purpose needs to.
fn checksum(content: &[u8]) -> String {
    let hash = content.chunks(8).fold(0xcbf2_9ce4_8422_2325_u64, |hash, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}-{}", content.len())
}
