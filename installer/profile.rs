//! The Wireshark profile Containers: names instead of addresses, a column for the container, a colour for each
//! direction. A profile that was changed, or that has this name already, is kept as it is.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use containerdump::error::Error;

use crate::layout::shown;
use crate::plan::PlannedFile;
use crate::print_line;
use crate::record::InstallRecord;
use crate::tree::{Entry, Ownership, Tree};

/// Its name, and that of its folder.
pub(crate) const PROFILE_NAME: &str = "Containers";
/// How to use it.
pub(crate) const HINT: &str = "The Wireshark profile Containers shows names, containers and directions: wireshark -C Containers, or \
                               click at the right end of the status bar.";

/// The files of the profile.
const PROFILE_FILES: [(&str, &str); 2] = [
    ("preferences", include_str!("profile/preferences")),
    ("colorfilters", include_str!("profile/colorfilters")),
];
/// Column widths. Wireshark rewrites this file whenever it exits, so a change of it is no change of the profile.
const RECENT_FILE: (&str, &str) = ("recent", include_str!("profile/recent"));

/// State of the profile's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProfileState {
    /// It does not exist.
    Absent,
    /// As this version installs it.
    Current,
    /// As another version installed it, or incomplete.
    Old,
    /// Created or changed by a user.
    Changed,
}

/// The files of the profile for each of `folders`. Prints a note where it is not installed, and why.
pub(crate) fn files(
    tree: &Tree,
    record: &InstallRecord,
    folders: &[PathBuf],
    ownership: Ownership,
    description: &str,
) -> Vec<PlannedFile> {
    let mut files = Vec::new();
    for folder in folders.iter().map(|folder| folder.join(PROFILE_NAME)) {
        let place = shown(&tree.real(&folder));
        match state(tree, record, &folder) {
            Ok(ProfileState::Changed) => {
                print_line(format_args!(
                    "note: profile {place} is kept as it is: it was changed, or not created by install"
                ));
            }
            Err(error) => {
                print_line(format_args!("note: profile {place} is not installed: {}", error.message()));
            }
            Ok(_) => {
                let recent = is_wanted(tree, record, &folder.join(RECENT_FILE.0)).then_some(RECENT_FILE);
                files.extend(PROFILE_FILES.into_iter().chain(recent).map(|(name, content)| PlannedFile {
                    path: folder.join(name),
                    content: content.into(),
                    ownership,
                    captures: false,
                    description: description.to_owned(),
                }));
            }
        }
    }
    files
}

/// Whether `file` belongs to the profile.
pub(crate) fn is_profile_file(file: &PlannedFile) -> bool {
    folder_of(&file.path).is_some()
}

/// Whether the profile that `path` belongs to is as recorded; `None` where it belongs to none.
pub(crate) fn recorded(tree: &Tree, record: &InstallRecord, path: &Path) -> Option<bool> {
    folder_of(path).map(|folder| {
        matches!(
            state(tree, record, folder),
            Ok(ProfileState::Absent | ProfileState::Current | ProfileState::Old)
        )
    })
}

/// The state of the profile in `folder`.
pub(crate) fn state(tree: &Tree, record: &InstallRecord, folder: &Path) -> Result<ProfileState, Error> {
    let Some(open) = tree.folder(folder)? else { return Ok(ProfileState::Absent) };
    let mut states = Vec::new();
    for (name, content) in PROFILE_FILES {
        states.push(match open.look(OsStr::new(name))? {
            Entry::Nothing => ProfileState::Absent,
            Entry::File(_) => match open.read(OsStr::new(name))? {
                found if found == content.as_bytes() => ProfileState::Current,
                found if record.matches(&folder.join(name), &found) => ProfileState::Old,
                _ => ProfileState::Changed,
            },
            Entry::Link(_) | Entry::Other => ProfileState::Changed,
        });
    }
    let any = |state| states.contains(&state);
    Ok(if any(ProfileState::Changed) {
        ProfileState::Changed
    } else if states.iter().all(|state| *state == ProfileState::Current) {
        ProfileState::Current
    } else if any(ProfileState::Current) || any(ProfileState::Old) || is_empty(&tree.real(folder)) {
        ProfileState::Old
    } else {
        ProfileState::Changed
    })
}

/// Whether the folder is empty but for the file that Wireshark writes.
fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder)
        .is_ok_and(|entries| entries.flatten().all(|entry| entry.file_name() == RECENT_FILE.0))
}

/// Whether `path` does not exist, or is as install created it.
fn is_wanted(tree: &Tree, record: &InstallRecord, path: &Path) -> bool {
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else { return false };
    match tree.folder(above) {
        Ok(None) => true,
        Ok(Some(open)) => match open.look(name) {
            Ok(Entry::Nothing) => true,
            Ok(Entry::File(_)) => open.read(name).is_ok_and(|found| record.matches(path, &found)),
            _ => false,
        },
        Err(_) => false,
    }
}

fn folder_of(path: &Path) -> Option<&Path> {
    path.parent().filter(|folder| folder.ends_with(Path::new("profiles").join(PROFILE_NAME)))
}
