//! Network namespaces that somebody gave a name, and which processes are in them.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::scan::Group;
use crate::endpoint::NamespaceFileRef;
use crate::link::{self, Entered, Links, NamespaceId};

/// Which names there are.
pub(super) struct Names {
    /// Names of namespaces with processes, by what tells those apart.
    pub(super) of_groups: HashMap<u64, NamespaceFileRef>,
    /// Names of namespaces without any process.
    pub(super) alone: Vec<NamespaceFileRef>,
    /// Names that may mean a namespace with processes or one without.
    pub(super) unclear: Vec<NamespaceFileRef>,
}

/// All files that stand for a namespace by a name people gave. The number of ours is left out, as
/// are names that container engines make up for themselves.
pub(super) fn files() -> Vec<NamespaceFileRef> {
    let ours = fs::metadata("/proc/self/ns/net").map(|about| about.ino()).ok();
    // A name may be a plain file, left over from a namespace that is gone.
    let device = fs::metadata("/proc/self/ns/net").map(|about| about.dev()).ok();
    let mut files: Vec<NamespaceFileRef> = fs::read_dir(link::NAMED)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| !is_made_up(&entry.file_name().to_string_lossy()))
        .filter_map(|entry| {
            let about = fs::metadata(entry.path()).ok()?;
            let is_other = Some(about.dev()) == device && Some(about.ino()) != ours;
            is_other.then(|| NamespaceFileRef { path: entry.path(), inode: about.ino() })
        })
        .collect();
    // One namespace may have several names.
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut told = std::collections::HashSet::new();
    files.retain(|file| told.insert(file.inode));
    files
}

/// `cni-` (containerd, CRI-O) or `netns-` (Podman) and a UUID: names of containers' namespaces, which
/// people know by the containers.
fn is_made_up(name: &str) -> bool {
    let is_digit = |character: char| character.is_ascii_hexdigit() || character == '-';
    let uuid = name.strip_prefix("cni-").or_else(|| name.strip_prefix("netns-"));
    uuid.is_some_and(|uuid| uuid.len() == 36 && uuid.chars().all(is_digit))
}

impl Names {
    /// Which of `groups` each of the names means.
    ///
    /// Who has entered a namespace knows, and a process that we may look into tells the number of its
    /// own. Of the others the kernel tells at least whether this host's namespace knows them by the
    /// same id, which they have as soon as a link leads there.
    pub(super) fn of(files: Vec<NamespaceFileRef>, groups: &[Group], entered: &Entered) -> Self {
        let mut names = Self { of_groups: HashMap::new(), alone: Vec::new(), unclear: Vec::new() };
        if files.is_empty() {
            return names;
        }
        // Asking for all links gives each namespace at the other end of one its id.
        let _ = Links::now();
        let looked_into: HashMap<u64, u64> =
            groups.iter().filter_map(|group| Some((number_of(group)?, group.namespace))).collect();
        let closed: Vec<(Option<NamespaceId>, u64)> = groups
            .iter()
            .filter(|group| number_of(group).is_none())
            .map(|group| (link::id_of_process(group.first().pid).unwrap_or_default(), group.namespace))
            .collect();
        for file in files {
            let id = link::id_of_file(&file.path).unwrap_or_default();
            let by_id = closed.iter().find(|(of_group, _)| id.is_some() && *of_group == id);
            let known = entered.namespace(&file);
            let of_group = known.filter(|it| groups.iter().any(|group| group.namespace == *it));
            let of_group = of_group.or_else(|| looked_into.get(&file.inode).copied());
            match of_group.or(by_id.map(|(_, namespace)| *namespace)) {
                Some(namespace) => {
                    names.of_groups.insert(namespace, file);
                }
                None if known.is_some() => names.alone.push(file),
                None if id.is_none() && closed.iter().any(|(of_group, _)| of_group.is_none()) => {
                    names.unclear.push(file);
                }
                None => names.alone.push(file),
            }
        }
        names
    }
}

/// The number of a group's namespace, where a process of it may be looked into.
fn number_of(group: &Group) -> Option<u64> {
    let number = |pid: i32| Some(fs::metadata(format!("/proc/{pid}/ns/net")).ok()?.ino());
    group.processes.iter().find_map(|one| number(one.pid))
}

/// The name in a path of a file that stands for a namespace.
pub(super) fn name(file: &NamespaceFileRef) -> String {
    file.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Paths of all namespaces that people gave a name.
pub fn named_namespaces() -> Vec<PathBuf> {
    files().into_iter().map(|file| file.path).collect()
}

#[cfg(test)]
mod tests {
    use super::is_made_up;

    #[test]
    fn names_that_engines_make_up_are_known() {
        assert!(is_made_up("cni-0f3ad5ab-8f1b-5a3b-9c1e-0123456789ab"));
        assert!(is_made_up("netns-0f3ad5ab-8f1b-5a3b-9c1e-0123456789ab"));
        assert!(!is_made_up("lab1"));
        assert!(!is_made_up("netns-lab"));
        assert!(!is_made_up("cni-my-own-name-of-thirty-six-letters-yes"));
    }
}
