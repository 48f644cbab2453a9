//! Wireshark's profile for containers: names instead of addresses, a column for the container, a colour
//! for each direction. Where somebody has changed it, or has one of that name, it is left as it is.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use containerdump::error::Error;

use crate::layout::shown;
use crate::plan::File;
use crate::record::Record;
use crate::say;
use crate::tree::{Entry, Rights, Tree};

/// What it is called, and its folder.
pub(crate) const NAME: &str = "Containers";
/// How it is used.
pub(crate) const HINT: &str = "Wireshark's profile Containers shows names, containers and directions: wireshark -C Containers, or a \
                               click at the right of the status bar.";

/// What makes the profile.
const FILES: [(&str, &str); 2] = [
    ("preferences", include_str!("profile/preferences")),
    ("colorfilters", include_str!("profile/colorfilters")),
];
/// How wide columns are. Wireshark writes the width of anything here whenever it ends, so this says nothing of
/// whether somebody has changed the profile.
const RECENT: (&str, &str) = ("recent", include_str!("profile/recent"));

/// What is at the place of the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing.
    Absent,
    /// This version's.
    Current,
    /// What an installer has put there, but not this version's, or not all of it.
    Old,
    /// Somebody's own, or changed by somebody.
    Changed,
}

/// The files of the profile, to be put into each of `folders`. Says where it is left out, and why.
pub(crate) fn files(
    tree: &Tree,
    record: &Record,
    folders: &[PathBuf],
    rights: Rights,
    told: &str,
) -> Vec<File> {
    let mut files = Vec::new();
    for folder in folders.iter().map(|folder| folder.join(NAME)) {
        let place = shown(&tree.real(&folder));
        match state(tree, record, &folder) {
            Ok(State::Changed) => {
                say(format_args!("note: profile {place} is left as it is: it is not what install put there"));
            }
            Err(trouble) => say(format_args!("note: profile {place} is left out: {}", trouble.message())),
            Ok(_) => {
                let recent = is_wanted(tree, record, &folder.join(RECENT.0)).then_some(RECENT);
                files.extend(FILES.into_iter().chain(recent).map(|(name, content)| File {
                    path: folder.join(name),
                    content: content.into(),
                    rights,
                    captures: false,
                    told: told.to_owned(),
                }));
            }
        }
    }
    files
}

/// Whether a file is the profile's.
pub(crate) fn is_of(file: &File) -> bool {
    folder_of(&file.path).is_some()
}

/// Where `path` is a file of the profile: whether that is still as it was recorded.
pub(crate) fn recorded(tree: &Tree, record: &Record, path: &Path) -> Option<bool> {
    folder_of(path)
        .map(|folder| matches!(state(tree, record, folder), Ok(State::Absent | State::Current | State::Old)))
}

/// What is at the place of the profile.
pub(crate) fn state(tree: &Tree, record: &Record, folder: &Path) -> Result<State, Error> {
    let Some(open) = tree.folder(folder)? else { return Ok(State::Absent) };
    let mut states = Vec::new();
    for (name, content) in FILES {
        states.push(match open.look(OsStr::new(name))? {
            Entry::Nothing => State::Absent,
            Entry::File(_) => match open.read(OsStr::new(name))? {
                found if found == content.as_bytes() => State::Current,
                found if record.knows(&folder.join(name), &found) => State::Old,
                _ => State::Changed,
            },
            Entry::Link(_) | Entry::Other => State::Changed,
        });
    }
    let any = |state| states.contains(&state);
    Ok(if any(State::Changed) {
        State::Changed
    } else if states.iter().all(|state| *state == State::Current) {
        State::Current
    } else if any(State::Current) || any(State::Old) || is_empty(&tree.real(folder)) {
        State::Old
    } else {
        State::Changed
    })
}

/// Whether nothing is there but what Wireshark leaves.
fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder)
        .is_ok_and(|entries| entries.flatten().all(|entry| entry.file_name() == RECENT.0))
}

/// Whether nothing is there, or what install has put there.
fn is_wanted(tree: &Tree, record: &Record, path: &Path) -> bool {
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else { return false };
    match tree.folder(above) {
        Ok(None) => true,
        Ok(Some(open)) => match open.look(name) {
            Ok(Entry::Nothing) => true,
            Ok(Entry::File(_)) => open.read(name).is_ok_and(|found| record.knows(path, &found)),
            _ => false,
        },
        Err(_) => false,
    }
}

fn folder_of(path: &Path) -> Option<&Path> {
    path.parent().filter(|folder| folder.ends_with(Path::new("profiles").join(NAME)))
}
