//! Named network namespaces, and the processes in them.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::processes::NamespaceProcesses;
use crate::container::endpoint::NamespaceFileRef;
use crate::link::{self, Links, NamedNamespaces, NamespaceId};

/// The named namespaces, matched to processes.
pub(super) struct NamespaceNames {
    /// Namespaces with processes, by the inode of their `/proc/PID/net/dev`.
    pub(super) with_processes: HashMap<u64, NamespaceFileRef>,
    /// Namespaces without processes.
    pub(super) without_processes: Vec<NamespaceFileRef>,
    /// Namespaces that may or may not have processes.
    pub(super) unmatched: Vec<NamespaceFileRef>,
}

/// The files of all named namespaces, without our own and without those that container engines name themselves.
pub(super) fn files() -> Vec<NamespaceFileRef> {
    let own_inode = fs::metadata("/proc/self/ns/net").map(|metadata| metadata.ino()).ok();
    // A name may be an ordinary file that is left from a deleted namespace.
    let nsfs = fs::metadata("/proc/self/ns/net").map(|metadata| metadata.dev()).ok();
    let mut files: Vec<NamespaceFileRef> = fs::read_dir(link::NETNS_DIR)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| !is_generated(&entry.file_name().to_string_lossy()))
        .filter_map(|entry| {
            let metadata = fs::metadata(entry.path()).ok()?;
            let is_other = Some(metadata.dev()) == nsfs && Some(metadata.ino()) != own_inode;
            is_other.then(|| NamespaceFileRef { path: entry.path(), inode: metadata.ino() })
        })
        .collect();
    // A namespace may have several names.
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut seen = std::collections::HashSet::new();
    files.retain(|file| seen.insert(file.inode));
    files
}

/// Whether a container runtime generated the name: `cni-` (containerd, CRI-O) or `netns-` (Podman) and a UUID.
fn is_generated(name: &str) -> bool {
    let is_digit = |character: char| character.is_ascii_hexdigit() || character == '-';
    let uuid = name.strip_prefix("cni-").or_else(|| name.strip_prefix("netns-"));
    uuid.is_some_and(|uuid| uuid.len() == 36 && uuid.chars().all(is_digit))
}

impl NamespaceNames {
    /// Matches `files` to `groups`: by entering the namespace, by the inode of `/proc/PID/ns/net` where it is accessible,
    /// else by the namespace id, which exists once a link of this host leads there.
    pub(super) fn match_to(
        files: Vec<NamespaceFileRef>,
        groups: &[NamespaceProcesses],
        namespaces: &NamedNamespaces,
    ) -> Self {
        let mut names =
            Self { with_processes: HashMap::new(), without_processes: Vec::new(), unmatched: Vec::new() };
        if files.is_empty() {
            return names;
        }
        // A dump of all links assigns an id to the namespace of each peer.
        let _ = Links::now();
        let accessible: HashMap<u64, u64> =
            groups.iter().filter_map(|group| Some((inode_of(group)?, group.namespace))).collect();
        let inaccessible: Vec<(Option<NamespaceId>, u64)> = groups
            .iter()
            .filter(|group| inode_of(group).is_none())
            .map(|group| (link::id_of_process(group.first().pid).unwrap_or_default(), group.namespace))
            .collect();
        for file in files {
            let id = link::id_of_file(&file.path).unwrap_or_default();
            let by_id = inaccessible.iter().find(|(group_id, _)| id.is_some() && *group_id == id);
            let entered_namespace = namespaces.namespace(&file);
            let group = entered_namespace.filter(|it| groups.iter().any(|group| group.namespace == *it));
            let group = group.or_else(|| accessible.get(&file.inode).copied());
            match group.or(by_id.map(|(_, namespace)| *namespace)) {
                Some(namespace) => {
                    names.with_processes.insert(namespace, file);
                }
                None if entered_namespace.is_some() => names.without_processes.push(file),
                None if id.is_none() && inaccessible.iter().any(|(group_id, _)| group_id.is_none()) => {
                    names.unmatched.push(file);
                }
                None => names.without_processes.push(file),
            }
        }
        names
    }
}

/// The inode of a group's namespace, where one of its processes is accessible.
fn inode_of(group: &NamespaceProcesses) -> Option<u64> {
    let inode = |pid: i32| Some(fs::metadata(format!("/proc/{pid}/ns/net")).ok()?.ino());
    group.processes.iter().find_map(|process| inode(process.pid))
}

/// The name of a namespace.
pub(super) fn name(file: &NamespaceFileRef) -> String {
    file.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Paths of all named namespaces.
pub fn named_namespaces() -> Vec<PathBuf> {
    files().into_iter().map(|file| file.path).collect()
}

#[cfg(test)]
mod tests {
    use super::is_generated;

    #[test]
    fn names_generated_by_engines_are_recognised() {
        assert!(is_generated("cni-0f3ad5ab-8f1b-5a3b-9c1e-0123456789ab"));
        assert!(is_generated("netns-0f3ad5ab-8f1b-5a3b-9c1e-0123456789ab"));
        assert!(!is_generated("lab1"));
        assert!(!is_generated("netns-lab"));
        assert!(!is_generated("cni-my-own-name-of-thirty-six-letters-yes"));
    }
}
