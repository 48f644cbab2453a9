//! The container that a process belongs to, by control groups and command lines.

use crate::container::ContainerId;

/// Identifies a container without asking its engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuntimeId {
    /// Its container runtime: `docker`, `lxc`.
    pub(crate) runtime: &'static str,
    /// Its id, or its name where its runtime has no ids.
    pub(crate) key: String,
    /// Its name, where known in addition to the id.
    pub(crate) name: Option<String>,
}

impl RuntimeId {
    fn new(runtime: &'static str, key: &str) -> Self {
        Self { runtime, key: key.to_owned(), name: None }
    }

    /// Its id, where its runtime has ids.
    pub(crate) fn id(&self) -> Option<ContainerId> {
        ContainerId::parse(&self.key)
    }

    /// The name shown for it.
    pub(crate) fn name(&self) -> String {
        match (&self.name, self.id()) {
            (Some(name), _) => name.clone(),
            (None, Some(id)) => id.short().to_owned(),
            (None, None) => self.key.clone(),
        }
    }

    /// A container that has a name only, which must not be empty.
    fn named(runtime: &'static str, name: &str) -> Option<Self> {
        (!name.is_empty()).then(|| Self::new(runtime, name))
    }

    /// The innermost container in `cgroup`, the text of `/proc/PID/cgroup` (`number:controllers:path` lines): containers
    /// may be nested.
    pub(crate) fn from_cgroup(cgroup: &str) -> Option<Self> {
        cgroup.lines().filter_map(|line| line.splitn(3, ':').nth(2)).find_map(|path| {
            let parts: Vec<&str> = path.split('/').collect();
            let before = |at: usize| at.checked_sub(1).map_or("", |at| parts[at]);
            (0..parts.len()).rev().find_map(|at| from_path_segment(parts[at], before(at)))
        })
    }

    /// The container whose monitor process has this command line. Many runtimes keep one such process per container.
    pub(crate) fn from_monitor_command(command: &[u8]) -> Option<Self> {
        let words: Vec<&str> = command
            .split(|&byte| byte == 0)
            .map(|word| std::str::from_utf8(word).unwrap_or_default())
            .collect();
        let program = words.first()?.rsplit('/').next()?;
        let option = |options: &[&str]| {
            let value = |pair: &[&str]| options.contains(&pair[0]).then(|| pair[1].to_owned());
            words.windows(2).find_map(value).filter(|value| !value.is_empty())
        };
        let with_id = |runtime, id: Option<String>, name| {
            let id = id.filter(|id| ContainerId::parse(id).is_some())?;
            Some(Self { runtime, key: id, name })
        };
        match program {
            "conmon" => with_id("podman", option(&["-c", "--cid"]), option(&["-n", "--name"])),
            "systemd-nspawn" => {
                let long_option =
                    words.iter().find_map(|word| word.strip_prefix("--machine=").map(str::to_owned));
                let folder = option(&["-D", "--directory"]);
                let folder_name =
                    folder.and_then(|path| path.trim_end_matches('/').rsplit('/').next().map(str::to_owned));
                let name = long_option.or_else(|| option(&["-M", "--machine"])).or(folder_name)?;
                Self::named("systemd-nspawn", &name)
            }
            _ if program.starts_with("containerd-shim") => with_id(
                if option(&["-namespace"]).as_deref() == Some("moby") { "docker" } else { "containerd" },
                option(&["-id"]),
                None,
            ),
            // The process title of LXC's monitor (src/lxc/lxccontainer.c).
            _ => {
                let title = words.first()?.strip_prefix("[lxc monitor] ")?;
                Self::named("lxc", title.trim_end().rsplit(' ').next()?)
            }
        }
    }
}

/// Prefixes of control group names that contain an id, and their runtimes.
const ID_PREFIXES: [(&str, &str); 5] = [
    ("docker-", "docker"),
    ("libpod-", "podman"),
    ("cri-containerd-", "containerd"),
    ("crio-", "cri-o"),
    ("nerdctl-", "containerd"),
];

/// The container named by one segment of a control group path, given its parent segment.
fn from_path_segment(segment: &str, parent: &str) -> Option<RuntimeId> {
    let scope = segment.strip_suffix(".scope").unwrap_or(segment);
    let is_id = |text: &str| ContainerId::parse(text).is_some();
    if is_id(scope) {
        return Some(match parent {
            "docker" => RuntimeId::new("docker", scope),
            "libpod_parent" => RuntimeId::new("podman", scope),
            // Kubernetes with any runtime, or a custom cgroup parent.
            _ => RuntimeId::new("container", scope),
        });
    }
    if let Some((runtime, id)) =
        ID_PREFIXES.iter().find_map(|(prefix, runtime)| Some((*runtime, scope.strip_prefix(prefix)?)))
        && is_id(id)
    {
        return Some(RuntimeId::new(runtime, id));
    }
    if let Some(name) = segment.strip_prefix("lxc.payload.") {
        return RuntimeId::named("lxc", name);
    }
    if parent == "lxc" || parent == "lxc.payload" {
        return RuntimeId::named("lxc", segment);
    }
    let machine = segment.strip_suffix(".scope").and_then(|name| name.strip_prefix("machine-"));
    let unit = segment.strip_suffix(".service").and_then(|name| name.strip_prefix("systemd-nspawn@"));
    machine.or(unit).and_then(|name| RuntimeId::named("machine", &unescape(name)))
}

/// Decodes a systemd unit name: `\x2d` is a hyphen (systemd.unit(5)).
fn unescape(name: &str) -> String {
    let mut parts = name.split("\\x");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let byte = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(u8::is_ascii);
        match byte {
            Some(byte) => {
                plain.push(char::from(byte));
                plain.push_str(&part[2..]);
            }
            None => plain.extend(["\\x", part]),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identified(path: &str) -> Option<(&'static str, String)> {
        RuntimeId::from_cgroup(&format!("12:cpu,cpuacct:/\n0::{path}\n"))
            .map(|runtime_id| (runtime_id.runtime, runtime_id.key))
    }

    #[test]
    fn control_groups_identify_the_runtime() {
        let id = "ab".repeat(32);
        let expected = |runtime: &'static str| Some((runtime, id.clone()));
        assert_eq!(identified(&format!("/docker/{id}")), expected("docker"));
        assert_eq!(identified(&format!("/system.slice/docker-{id}.scope")), expected("docker"));
        assert_eq!(identified(&format!("/libpod_parent/libpod-{id}")), expected("podman"));
        assert_eq!(
            identified(&format!("/user.slice/user@1.service/user.slice/libpod-{id}.scope/container")),
            expected("podman")
        );
        assert_eq!(
            identified(&format!("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{id}.scope")),
            expected("containerd")
        );
        assert_eq!(identified(&format!("/kubepods.slice/crio-{id}.scope")), expected("cri-o"));
        assert_eq!(identified(&format!("/kubepods/besteffort/pod1/{id}")), expected("container"));
        assert_eq!(identified("/lxc.payload.web-1/init.scope"), Some(("lxc", "web-1".to_owned())));
        assert_eq!(identified("/lxc/web"), Some(("lxc", "web".to_owned())));
        assert_eq!(
            identified("/machine.slice/machine-my\\x2dbox.scope/payload"),
            Some(("machine", "my-box".to_owned()))
        );
        assert_eq!(
            identified("/machine.slice/systemd-nspawn@box.service"),
            Some(("machine", "box".to_owned()))
        );
    }

    #[test]
    fn monitor_processes_do_not_belong_to_their_container() {
        let id = "ab".repeat(32);
        assert_eq!(identified(&format!("/machine.slice/libpod-conmon-{id}.scope")), None);
        assert_eq!(identified("/lxc.monitor.web"), None);
        assert_eq!(identified("/user.slice/user-1000.slice/session-2.scope"), None);
        assert_eq!(identified("/system.slice/docker.service"), None);
    }

    #[test]
    fn a_container_without_a_name_is_none() {
        for path in ["/machine-.scope", "/systemd-nspawn@.service", "/lxc.payload.", "/lxc/"] {
            assert_eq!(identified(path), None, "{path}");
        }
        for command in ["[lxc monitor] ", "systemd-nspawn\0--machine=", "systemd-nspawn\0-D\0/", "conmon\0-c"]
        {
            assert_eq!(RuntimeId::from_monitor_command(command.as_bytes()), None, "{command:?}");
        }
    }

    #[test]
    fn the_innermost_of_nested_containers_is_identified() {
        let (outer, inner) = ("ab".repeat(32), "cd".repeat(32));
        let path = format!("/docker/{outer}/docker/{inner}/init.scope");
        assert_eq!(identified(&path), Some(("docker", inner)));
    }

    #[test]
    fn monitor_command_lines_identify_their_container() {
        let id = "ab".repeat(32);
        let identified = |words: &[&str]| {
            RuntimeId::from_monitor_command(words.join("\0").as_bytes())
                .map(|runtime_id| (runtime_id.runtime, runtime_id.name()))
        };
        let expected = |runtime: &'static str, name: &str| Some((runtime, name.to_owned()));
        assert_eq!(
            identified(&["/usr/bin/conmon", "-c", &id, "-n", "web", "--log"]),
            expected("podman", "web")
        );
        assert_eq!(identified(&["conmon", "-c", &id]), expected("podman", &id[..12]));
        assert_eq!(identified(&["conmon", "-c", "../x"]), None);
        assert_eq!(
            identified(&["/usr/bin/containerd-shim-runc-v2", "-namespace", "moby", "-id", &id]),
            expected("docker", &id[..12])
        );
        assert_eq!(
            identified(&["systemd-nspawn", "-D", "/srv/box/", "sh"]),
            expected("systemd-nspawn", "box")
        );
        assert_eq!(
            identified(&["systemd-nspawn", "--machine=a", "-D", "/srv/box"]),
            expected("systemd-nspawn", "a")
        );
        assert_eq!(identified(&["[lxc monitor] /var/lib/lxc web"]), expected("lxc", "web"));
        assert_eq!(identified(&["sh", "-c", &id]), None);
        assert_eq!(identified(&[""]), None);
    }
}
