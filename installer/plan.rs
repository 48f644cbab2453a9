//! What an installation consists of. Everything is checked first, and nothing is done if a foreign file is in the
//! way; then each step is recorded before it is done.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use containerdump::error::Error;

use crate::capability::{self, FileCapability};
use crate::layout::shown;
use crate::print_line;
use crate::record::InstallRecord;
use crate::tree::{Entry, Folder, Ownership, Tree};

/// A file to install.
pub(crate) struct PlannedFile {
    /// Its path.
    pub(crate) path: PathBuf,
    /// Its content.
    pub(crate) content: Vec<u8>,
    /// Its owner and mode.
    pub(crate) ownership: Ownership,
    /// Whether it gets `cap_net_raw=ep`.
    pub(crate) captures: bool,
    /// Owner, mode and capability for display: `root:wireshark 0750 cap_net_raw=ep`.
    pub(crate) description: String,
}

/// What an installation consists of.
pub(crate) struct Plan {
    /// The file system it is installed into.
    pub(crate) tree: Tree,
    /// The folder of the record.
    pub(crate) record: PathBuf,
    /// Owner of the record and of the folders.
    pub(crate) owner: Ownership,
    /// Files.
    pub(crate) files: Vec<PlannedFile>,
    /// Symbolic links: path and target.
    pub(crate) links: Vec<(PathBuf, PathBuf)>,
}

impl Plan {
    /// Prints what would be done.
    pub(crate) fn show(&self, record: &InstallRecord) -> Result<(), Error> {
        self.check(record)?;
        for file in &self.files {
            print_line(format_args!("would copy  {} ({})", self.shown(&file.path), file.description));
        }
        for (path, target) in &self.links {
            print_line(format_args!("would link  {} -> {}", self.shown(path), shown(target)));
        }
        Ok(())
    }

    /// Installs everything.
    pub(crate) fn perform(&self, mut record: InstallRecord) -> Result<(), Error> {
        self.check(&record)?;
        env!("CARGO_PKG_VERSION").clone_into(&mut record.version);
        self.folder(&self.record, &mut record)?;
        for file in &self.files {
            record.add_pending(&file.path, &file.content);
        }
        for (path, target) in &self.links {
            record.add_link(path, target);
        }
        record.save(&self.tree, &self.record, self.owner)?;
        let done = self.apply(&mut record);
        // Also after a failure: folders may have been created.
        record.save(&self.tree, &self.record, self.owner)?;
        done
    }

    fn apply(&self, record: &mut InstallRecord) -> Result<(), Error> {
        for file in &self.files {
            self.place(file, record)?;
            record.confirm(&file.path, &file.content);
        }
        for (path, target) in &self.links {
            self.link(path, target, record)?;
        }
        Ok(())
    }

    /// Fails when a file or link that this installer did not create is in the way.
    pub(crate) fn check(&self, record: &InstallRecord) -> Result<(), Error> {
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
                    content == file.content || record.matches(&file.path, &content)
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

    fn place(&self, file: &PlannedFile, record: &mut InstallRecord) -> Result<(), Error> {
        let (above, name) = split(&file.path)?;
        let folder = self.folder(above, record)?;
        let path = folder.path.join(name);
        if is_placed(file, &folder, name)? {
            print_line(format_args!("unchanged   {} ({})", shown(&path), file.description));
            return Ok(());
        }
        folder.place(name, &file.content, file.ownership, |temporary| {
            if file.captures { capability::set_capability(temporary) } else { Ok(()) }
        })?;
        if file.captures && capability::file_capability(&path)? != FileCapability::Capture {
            return Err(Error::new(
                format!("{} lost its capability when it was installed", shown(&path)),
                "put /usr/local on a file system that keeps extended attributes, such as ext4, XFS or Btrfs",
            ));
        }
        print_line(format_args!("copied      {} ({})", shown(&path), file.description));
        Ok(())
    }

    fn link(&self, path: &Path, target: &Path, record: &mut InstallRecord) -> Result<(), Error> {
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
        record.confirm_link(path, target);
        print_line(format_args!("{done}  {} -> {}", self.shown(path), shown(target)));
        Ok(())
    }

    fn folder(&self, path: &Path, record: &mut InstallRecord) -> Result<Folder, Error> {
        self.tree.make_folder(path, &mut |made| {
            print_line(format_args!("created     {}", self.shown(made)));
            record.folders.push(made.to_owned());
        })
    }

    fn shown(&self, path: &Path) -> containerdump::safe_text::SafeText {
        shown(&self.tree.real(path))
    }
}

/// Whether the file is installed already and unchanged.
fn is_placed(file: &PlannedFile, folder: &Folder, name: &OsStr) -> Result<bool, Error> {
    if folder.look(name)? != Entry::File(file.ownership) || folder.read(name)? != file.content {
        return Ok(false);
    }
    let carried = capability::file_capability(&folder.path.join(name));
    if file.captures {
        return Ok(carried? == FileCapability::Capture);
    }
    // Without getcap this is unknown, but then no capability was set either.
    Ok(matches!(carried, Ok(FileCapability::None) | Err(_)))
}

/// Splits a path into folder and file name.
pub(crate) fn split(path: &Path) -> Result<(&Path, &OsStr), Error> {
    path.parent().zip(path.file_name()).ok_or_else(|| {
        Error::new(
            format!("cannot use {} as the path of a file", shown(path)),
            "give the path of a file in a folder",
        )
    })
}

fn in_the_way(path: &Path) -> Error {
    Error::new(
        format!("cannot install: {} exists, and was not created by this installer", shown(path)),
        format!("check it (ls -l {0}), move it away if it is not needed, then install again", shown(path)),
    )
}
