//! What is to be put where. First everything is looked at, and nothing is done where anything
//! is in the way; then each step is done, recorded before it happens.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use containerdump::error::Error;

use crate::layout::shown;
use crate::program::{self, Carried};
use crate::record::Record;
use crate::say;
use crate::tree::{Entry, Folder, Rights, Tree};

/// A file to be put somewhere.
pub(crate) struct File {
    /// Where.
    pub(crate) path: PathBuf,
    /// What is in it.
    pub(crate) content: Vec<u8>,
    /// Its owner and mode.
    pub(crate) rights: Rights,
    /// Whether it carries the right to capture.
    pub(crate) captures: bool,
    /// How owner, mode and right are told: `root:wireshark 0750 cap_net_raw=ep`.
    pub(crate) told: String,
}

/// What is to be put where.
pub(crate) struct Plan {
    /// Into what.
    pub(crate) tree: Tree,
    /// The folder of the record.
    pub(crate) record: PathBuf,
    /// Owner of the record, and of everything whose rights are not told otherwise.
    pub(crate) owner: Rights,
    /// Files.
    pub(crate) files: Vec<File>,
    /// Links, each with where it leads.
    pub(crate) links: Vec<(PathBuf, PathBuf)>,
}

impl Plan {
    /// Shows what would be done.
    pub(crate) fn show(&self, record: &Record) -> Result<(), Error> {
        self.check(record)?;
        for file in &self.files {
            say(format_args!("would copy  {} ({})", self.shown(&file.path), file.told));
        }
        for (path, target) in &self.links {
            say(format_args!("would link  {} -> {}", self.shown(path), shown(target)));
        }
        Ok(())
    }

    /// Does it.
    pub(crate) fn perform(&self, mut record: Record) -> Result<(), Error> {
        self.check(&record)?;
        env!("CARGO_PKG_VERSION").clone_into(&mut record.version);
        self.folder(&self.record, &mut record)?;
        for file in &self.files {
            record.expect(&file.path, &file.content);
        }
        for (path, target) in &self.links {
            record.add_link(path, target);
        }
        record.save(&self.tree, &self.record, self.owner)?;
        let done = self.act(&mut record);
        // Also after a failure: folders may have been made.
        record.save(&self.tree, &self.record, self.owner)?;
        done
    }

    fn act(&self, record: &mut Record) -> Result<(), Error> {
        for file in &self.files {
            self.place(file, record)?;
            record.settle(&file.path, &file.content);
        }
        for (path, target) in &self.links {
            self.link(path, target, record)?;
        }
        Ok(())
    }

    /// Makes sure that nothing is in the way that is not ours.
    pub(crate) fn check(&self, record: &Record) -> Result<(), Error> {
        self.tree.folder(&self.record)?;
        for file in &self.files {
            let (above, name) = split(&file.path)?;
            let Some(folder) = self.tree.folder(above)? else {
                continue;
            };
            let ours = match folder.look(name)? {
                Entry::Nothing => true,
                Entry::File(_) => {
                    let content = folder.read(name)?;
                    content == file.content || record.knows(&file.path, &content)
                }
                Entry::Link(_) | Entry::Other => false,
            };
            if !ours {
                return Err(in_the_way(&folder.path.join(name)));
            }
        }
        for (path, target) in &self.links {
            let (above, name) = split(path)?;
            let Some(folder) = self.tree.folder(above)? else {
                continue;
            };
            match folder.look(name)? {
                Entry::Nothing => {}
                Entry::Link(leads) if leads == *target || record.has_link(path, &leads) => {}
                _ => return Err(in_the_way(&folder.path.join(name))),
            }
        }
        Ok(())
    }

    fn place(&self, file: &File, record: &mut Record) -> Result<(), Error> {
        let (above, name) = split(&file.path)?;
        let folder = self.folder(above, record)?;
        let path = folder.path.join(name);
        if is_placed(file, &folder, name)? {
            say(format_args!("unchanged   {} ({})", shown(&path), file.told));
            return Ok(());
        }
        folder.place(name, &file.content, file.rights, |temporary| {
            if file.captures { program::give_capability(temporary) } else { Ok(()) }
        })?;
        if file.captures && program::carried(&path)? != Carried::Capture {
            return Err(Error::new(
                format!("{} lost the right to capture when it was put in place", shown(&path)),
                "put /usr/local on a file system that keeps extended attributes, such as ext4, XFS or Btrfs",
            ));
        }
        say(format_args!("copied      {} ({})", shown(&path), file.told));
        Ok(())
    }

    fn link(&self, path: &Path, target: &Path, record: &mut Record) -> Result<(), Error> {
        let (above, name) = split(path)?;
        let folder = self.folder(above, record)?;
        let done = match folder.look(name)? {
            Entry::Link(leads) if leads == *target => "unchanged ",
            Entry::Link(leads) if record.has_link(path, &leads) => {
                folder.remove(name)?;
                folder.place_link(name, target)?;
                "linked    "
            }
            _ => {
                folder.place_link(name, target)?;
                "linked    "
            }
        };
        record.settle_link(path, target);
        say(format_args!("{done}  {} -> {}", self.shown(path), shown(target)));
        Ok(())
    }

    fn folder(&self, path: &Path, record: &mut Record) -> Result<Folder, Error> {
        self.tree.make_folder(path, &mut |made| {
            say(format_args!("made        {}", self.shown(made)));
            record.folders.push(made.to_owned());
        })
    }

    fn shown(&self, path: &Path) -> containerdump::safe_text::SafeText {
        shown(&self.tree.real(path))
    }
}

/// Whether the file is there already, just as it should be.
fn is_placed(file: &File, folder: &Folder, name: &OsStr) -> Result<bool, Error> {
    if folder.look(name)? != Entry::File(file.rights) || folder.read(name)? != file.content {
        return Ok(false);
    }
    let carried = program::carried(&folder.path.join(name));
    if file.captures {
        return Ok(carried? == Carried::Capture);
    }
    // Without getcap there is no telling, and nothing that would have given one.
    Ok(matches!(carried, Ok(Carried::Nothing) | Err(_)))
}

/// The folder and the name of a path.
pub(crate) fn split(path: &Path) -> Result<(&Path, &OsStr), Error> {
    path.parent().zip(path.file_name()).ok_or_else(|| {
        Error::new(format!("cannot use {} as the path of a file", shown(path)), "name a file in a folder")
    })
}

fn in_the_way(path: &Path) -> Error {
    Error::new(
        format!("cannot install: {} is in the way, and was not put there by this installer", shown(path)),
        format!("look at it (ls -l {0}), move it away if it is not needed, then install again", shown(path)),
    )
}
