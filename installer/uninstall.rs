//! `uninstall`: takes away what the record names, where the file is still the one recorded and
//! the link still leads where it was made to. Everything else is left and told of.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use containerdump::engine;
use containerdump::error::Error;

use crate::arguments::Uninstall;
use crate::command::Environment;
use crate::group;
use crate::layout::{self, shown};
use crate::personal::no_home;
use crate::places::Wireshark;
use crate::plan::split;
use crate::profile;
use crate::record::Record;
use crate::say;
use crate::tree::{Entry, Folder, Tree};

/// Takes away what install put there.
pub(crate) fn uninstall(wish: &Uninstall) -> Result<(), Error> {
    let (tree, record_folder) = if wish.user {
        (Tree::of_user(), layout::personal_record().ok_or_else(no_home)?)
    } else if geteuid().is_root() || wish.dry_run {
        (Tree::of_root(wish.root.as_deref()), PathBuf::from(layout::FOLDER))
    } else {
        return Err(Error::new(
            "cannot uninstall for this machine: what root installed only root can take away",
            format!("sudo {0} uninstall. For your own copy: {0} uninstall --user", layout::command()),
        ));
    };
    let mut record = Record::load(&tree, &record_folder)?;
    let is_recorded = !record.is_empty();
    if !wish.user {
        add_links_of_today(&mut record);
    }
    let mut removal = Removal { tree: &tree, dry_run: wish.dry_run, removed: 0, trouble: None };
    for link in &record.links {
        removal.entry(&link.path, |_, _, entry| Ok(*entry == Entry::Link(link.target.clone())));
    }
    for file in &record.files {
        let profile = profile::recorded(&tree, &record, &file.path);
        removal.entry(&file.path, |folder, name, entry| {
            let is_file = matches!(entry, Entry::File(_));
            match profile {
                Some(is_as_it_was) => Ok(is_file && is_as_it_was),
                None => Ok(is_file && record.knows(&file.path, &folder.read(name)?)),
            }
        });
    }
    if !is_recorded && !wish.user {
        for path in [layout::PROGRAM, layout::INSTALLER] {
            // Told of, and left: without a record nothing says whose they are.
            removal.entry(Path::new(path), |_, _, _| Ok(false));
        }
    }
    if let Some(trouble) = removal.trouble {
        // The record stays, for another try.
        return Err(trouble);
    }
    if !wish.dry_run {
        Record::remove(&tree, &record_folder)?;
        for folder in record.folders.iter().rev() {
            removal.folder(folder)?;
        }
    }
    if wish.root.is_none() {
        removal.removed += usize::from(group::remove(&record, wish.dry_run)?);
        removal.removed += from_engines(wish.dry_run)?;
    }
    if removal.removed == 0 {
        say("Nothing to take away: containerdump is not installed here.");
    }
    Ok(())
}

/// Takes images and tap containers away from every engine that answers, and counts them. What an engine
/// keeps is told of, and no failure: somebody may be using it.
fn from_engines(dry_run: bool) -> Result<usize, Error> {
    let mut removed = 0;
    for leftover in engine::find_leftovers()? {
        if dry_run {
            say(format_args!("would remove {leftover}"));
            removed += 1;
            continue;
        }
        match engine::remove_leftover(&leftover) {
            Ok(()) => {
                say(format_args!("removed     {leftover}"));
                removed += 1;
            }
            Err(trouble) => say(format_args!("left        {leftover} ({})", trouble.message())),
        }
    }
    Ok(removed)
}

/// Each link leads to one place only, so they are known as ours even where the record is lost.
fn add_links_of_today(record: &mut Record) {
    let wireshark = Wireshark::ask(Environment::Clean);
    for folder in wireshark.global {
        record.add_link(&folder.join(layout::NAME), Path::new(layout::PROGRAM));
    }
    record.add_link(Path::new(layout::COMMAND), Path::new(layout::INSTALLER));
}

struct Removal<'a> {
    tree: &'a Tree,
    dry_run: bool,
    removed: usize,
    /// The first failure; the others are told of as they happen.
    trouble: Option<Error>,
}

impl Removal<'_> {
    /// Takes away what is at `path` if it is `ours`. A failure does not keep the rest in place.
    fn entry(&mut self, path: &Path, ours: impl FnOnce(&Folder, &OsStr, &Entry) -> Result<bool, Error>) {
        match self.take_away(path, ours) {
            Ok(removed) => self.removed += usize::from(removed),
            Err(trouble) => {
                say(format_args!("left        {} ({})", shown(&self.tree.real(path)), trouble.message()));
                self.trouble.get_or_insert(trouble);
            }
        }
    }

    fn take_away(
        &self,
        path: &Path,
        ours: impl FnOnce(&Folder, &OsStr, &Entry) -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let (above, name) = split(path)?;
        let Some(folder) = self.tree.folder(above)? else { return Ok(false) };
        let entry = folder.look(name)?;
        if entry == Entry::Nothing {
            return Ok(false);
        }
        let real = shown(&folder.path.join(name));
        if !ours(&folder, name, &entry)? {
            say(format_args!("left        {real} (not what install put there)"));
            return Ok(false);
        }
        if self.dry_run {
            say(format_args!("would remove {real}"));
            return Ok(true);
        }
        folder.remove(name)?;
        say(format_args!("removed     {real}"));
        Ok(true)
    }

    /// Takes away a folder that install made, if nothing is left in it.
    fn folder(&mut self, path: &Path) -> Result<(), Error> {
        let (above, name) = split(path)?;
        let Some(folder) = self.tree.folder(above)? else { return Ok(()) };
        if folder.look(name)? != Entry::Other {
            return Ok(());
        }
        let real = shown(&folder.path.join(name));
        if folder.remove_folder(name)? {
            self.removed += 1;
            say(format_args!("removed     {real}"));
        } else {
            say(format_args!("left        {real} (something else is in it)"));
        }
        Ok(())
    }
}
