//! `uninstall`: removes the recorded files and links that are unchanged. Everything else is kept and reported.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use containerdump::engine;
use containerdump::error::Error;

use crate::arguments::UninstallOptions;
use crate::command::Environment;
use crate::group;
use crate::layout::{self, shown};
use crate::personal::no_home;
use crate::plan::split;
use crate::print_line;
use crate::profile;
use crate::record::InstallRecord;
use crate::tree::{Entry, Folder, Tree};
use crate::wireshark::Wireshark;

/// Removes what was installed.
pub(crate) fn uninstall(options: &UninstallOptions) -> Result<(), Error> {
    if options.user && geteuid().is_root() {
        return Err(personal_as_root());
    }
    let (tree, record_folder) = if options.user {
        (Tree::of_user(), layout::personal_record().ok_or_else(no_home)?)
    } else if geteuid().is_root() || options.dry_run {
        (Tree::of_root(options.root.as_deref()), PathBuf::from(layout::FOLDER))
    } else {
        return Err(Error::new(
            "cannot uninstall for all users: only root can remove what root installed",
            format!("sudo {0} uninstall. For your own copy: {0} uninstall --user", layout::command()),
        ));
    };
    let mut record = InstallRecord::load(&tree, &record_folder)?;
    let is_recorded = !record.is_empty();
    if !options.user {
        add_current_links(&mut record);
    }
    let mut removal = Removal { tree: &tree, dry_run: options.dry_run, removed: 0, error: None };
    for link in &record.links {
        removal.entry(&link.path, |_, _, entry| Ok(*entry == Entry::Link(link.target.clone())));
    }
    for file in &record.files {
        let profile = profile::recorded(&tree, &record, &file.path);
        removal.entry(&file.path, |folder, name, entry| {
            let is_file = matches!(entry, Entry::File(_));
            match profile {
                Some(is_as_it_was) => Ok(is_file && is_as_it_was),
                None => Ok(is_file && record.matches(&file.path, &folder.read(name)?)),
            }
        });
    }
    if !is_recorded && !options.user {
        for path in [layout::PROGRAM, layout::INSTALLER] {
            // Reported and kept: without a record their origin is unknown.
            removal.entry(Path::new(path), |_, _, _| Ok(false));
        }
    }
    if let Some(error) = removal.error {
        // The record stays for another attempt.
        return Err(error);
    }
    if !options.dry_run {
        InstallRecord::remove(&tree, &record_folder)?;
        for folder in record.folders.iter().rev() {
            removal.folder(folder)?;
        }
    }
    if options.root.is_none() {
        if !options.user {
            removal.removed += usize::from(group::remove(&record, options.dry_run)?);
        }
        removal.removed += remove_from_engines(options.dry_run)?;
    }
    if removal.removed == 0 {
        print_line("Nothing to remove: containerdump is not installed.");
    }
    Ok(())
}

/// The user can write any path into the record, and root would remove it.
fn personal_as_root() -> Error {
    Error::new(
        "cannot remove a personal installation as root: its user can change the list of what is removed",
        format!("run this as that user, without sudo: {} uninstall --user", layout::command()),
    )
}

/// Removes images and tap containers from each engine that answers, and counts them. What an engine refuses to remove
/// is reported and no failure: it may be in use.
fn remove_from_engines(dry_run: bool) -> Result<usize, Error> {
    let mut removed = 0;
    for leftover in engine::find_leftovers()? {
        if dry_run {
            print_line(format_args!("would remove {leftover}"));
            removed += 1;
            continue;
        }
        match engine::remove_leftover(&leftover) {
            Ok(()) => {
                print_line(format_args!("removed     {leftover}"));
                removed += 1;
            }
            Err(error) => print_line(format_args!("kept        {leftover} ({})", error.message())),
        }
    }
    Ok(removed)
}

/// Adds the links an installation would create now, so that they are found even without a record.
fn add_current_links(record: &mut InstallRecord) {
    let wireshark = Wireshark::detect(Environment::Clean);
    for folder in wireshark.global {
        record.add_link(&folder.join(layout::NAME), Path::new(layout::PROGRAM));
    }
    record.add_link(Path::new(layout::COMMAND), Path::new(layout::INSTALLER));
}

struct Removal<'a> {
    tree: &'a Tree,
    dry_run: bool,
    removed: usize,
    /// The first failure; others are printed when they happen.
    error: Option<Error>,
}

impl Removal<'_> {
    /// Removes what is at `path` if it is `ours`. A failure does not stop the removal of the rest.
    fn entry(&mut self, path: &Path, ours: impl FnOnce(&Folder, &OsStr, &Entry) -> Result<bool, Error>) {
        match self.remove_if_ours(path, ours) {
            Ok(removed) => self.removed += usize::from(removed),
            Err(error) => {
                print_line(format_args!(
                    "kept        {} ({})",
                    shown(&self.tree.real(path)),
                    error.message()
                ));
                self.error.get_or_insert(error);
            }
        }
    }

    fn remove_if_ours(
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
            print_line(format_args!("kept        {real} (changed, or not created by install)"));
            return Ok(false);
        }
        if self.dry_run {
            print_line(format_args!("would remove {real}"));
            return Ok(true);
        }
        folder.remove(name)?;
        print_line(format_args!("removed     {real}"));
        Ok(true)
    }

    /// Removes a folder that install created, if it is empty.
    fn folder(&mut self, path: &Path) -> Result<(), Error> {
        let (above, name) = split(path)?;
        let Some(folder) = self.tree.folder(above)? else { return Ok(()) };
        if folder.look(name)? != Entry::Other {
            return Ok(());
        }
        let real = shown(&folder.path.join(name));
        if folder.remove_folder(name)? {
            self.removed += 1;
            print_line(format_args!("removed     {real}"));
        } else {
            print_line(format_args!("kept        {real} (not empty)"));
        }
        Ok(())
    }
}
