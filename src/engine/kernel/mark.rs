//! Which container a process is of, as control groups and command lines tell.

use crate::container::ContainerId;

/// What tells of a container without its engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Who runs it: `docker`, `lxc`.
    pub(super) runner: &'static str,
    /// Its id, or its name where its runner gives no ids.
    pub(super) key: String,
    /// Its name, where that is known beside an id.
    pub(super) name: Option<String>,
}

impl Mark {
    fn new(runner: &'static str, key: &str) -> Self {
        Self { runner, key: key.to_owned(), name: None }
    }

    /// Its id, where its runner gives ids.
    pub(super) fn id(&self) -> Option<ContainerId> {
        ContainerId::parse(&self.key)
    }

    /// What people call it.
    pub(super) fn name(&self) -> String {
        match (&self.name, self.id()) {
            (Some(name), _) => name.clone(),
            (None, Some(id)) => id.short().to_owned(),
            (None, None) => self.key.clone(),
        }
    }

    /// The innermost container that control groups tell of: containers may run in containers.
    /// `groups` are lines as in `/proc/PID/cgroup`, `number:controllers:path`.
    pub(super) fn in_control_groups(groups: &str) -> Option<Self> {
        groups.lines().filter_map(|line| line.splitn(3, ':').nth(2)).find_map(|path| {
            let parts: Vec<&str> = path.split('/').collect();
            let before = |at: usize| at.checked_sub(1).map_or("", |at| parts[at]);
            (0..parts.len()).rev().find_map(|at| in_part(parts[at], before(at)))
        })
    }

    /// The container that a process watches over by its command line, as programs do that stay beside
    /// each container.
    pub(super) fn in_command(command: &[u8]) -> Option<Self> {
        let words: Vec<&str> = command
            .split(|&byte| byte == 0)
            .map(|word| std::str::from_utf8(word).unwrap_or_default())
            .collect();
        let program = words.first()?.rsplit('/').next()?;
        let after = |options: &[&str]| {
            let given = |pair: &[&str]| options.contains(&pair[0]).then(|| pair[1].to_owned());
            words.windows(2).find_map(given).filter(|value| !value.is_empty())
        };
        let with_id = |runner, id: Option<String>, name| {
            let id = id.filter(|id| ContainerId::parse(id).is_some())?;
            Some(Self { runner, key: id, name })
        };
        match program {
            "conmon" => with_id("podman", after(&["-c", "--cid"]), after(&["-n", "--name"])),
            "systemd-nspawn" => {
                let long = words.iter().find_map(|word| word.strip_prefix("--machine=").map(str::to_owned));
                let folder = after(&["-D", "--directory"]);
                let of_folder =
                    folder.and_then(|path| path.trim_end_matches('/').rsplit('/').next().map(str::to_owned));
                let name = long.or_else(|| after(&["-M", "--machine"])).or(of_folder)?;
                Some(Self::new("systemd-nspawn", &name))
            }
            _ if program.starts_with("containerd-shim") => with_id(
                if after(&["-namespace"]).as_deref() == Some("moby") { "docker" } else { "containerd" },
                after(&["-id"]),
                None,
            ),
            // The title that LXC gives its monitor (src/lxc/lxccontainer.c).
            _ => {
                let title = words.first()?.strip_prefix("[lxc monitor] ")?;
                Some(Self::new("lxc", title.trim_end().rsplit(' ').next()?))
            }
        }
    }
}

/// Prefixes of control groups, and who makes them.
const WITH_ID: [(&str, &str); 5] = [
    ("docker-", "docker"),
    ("libpod-", "podman"),
    ("cri-containerd-", "containerd"),
    ("crio-", "cri-o"),
    ("nerdctl-", "containerd"),
];

/// The container that one part of a path tells of, given the part before it.
fn in_part(part: &str, before: &str) -> Option<Mark> {
    let scope = part.strip_suffix(".scope").unwrap_or(part);
    let is_id = |text: &str| ContainerId::parse(text).is_some();
    if is_id(scope) {
        return Some(match before {
            "docker" => Mark::new("docker", scope),
            "libpod_parent" => Mark::new("podman", scope),
            // Kubernetes, by whichever engine; or somebody who named a parent.
            _ => Mark::new("container", scope),
        });
    }
    if let Some((runner, id)) =
        WITH_ID.iter().find_map(|(prefix, runner)| Some((*runner, scope.strip_prefix(prefix)?)))
        && is_id(id)
    {
        return Some(Mark::new(runner, id));
    }
    if let Some(name) = part.strip_prefix("lxc.payload.") {
        return Some(Mark::new("lxc", name)).filter(|mark| !mark.key.is_empty());
    }
    if before == "lxc" || before == "lxc.payload" {
        return Some(Mark::new("lxc", part)).filter(|mark| !mark.key.is_empty());
    }
    let machine = part.strip_suffix(".scope").and_then(|part| part.strip_prefix("machine-"));
    let unit = part.strip_suffix(".service").and_then(|part| part.strip_prefix("systemd-nspawn@"));
    machine.or(unit).map(|name| Mark::new("machine", &unescaped(name)))
}

/// The name behind that of a unit: `\x2d` stands for a hyphen (systemd.unit(5)).
fn unescaped(name: &str) -> String {
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

    fn told(path: &str) -> Option<(&'static str, String)> {
        Mark::in_control_groups(&format!("12:cpu,cpuacct:/\n0::{path}\n")).map(|mark| (mark.runner, mark.key))
    }

    #[test]
    fn control_groups_of_engines_are_told_apart() {
        let id = "ab".repeat(32);
        let of = |runner: &'static str| Some((runner, id.clone()));
        assert_eq!(told(&format!("/docker/{id}")), of("docker"));
        assert_eq!(told(&format!("/system.slice/docker-{id}.scope")), of("docker"));
        assert_eq!(told(&format!("/libpod_parent/libpod-{id}")), of("podman"));
        assert_eq!(
            told(&format!("/user.slice/user@1.service/user.slice/libpod-{id}.scope/container")),
            of("podman")
        );
        assert_eq!(
            told(&format!("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{id}.scope")),
            of("containerd")
        );
        assert_eq!(told(&format!("/kubepods.slice/crio-{id}.scope")), of("cri-o"));
        assert_eq!(told(&format!("/kubepods/besteffort/pod1/{id}")), of("container"));
        assert_eq!(told("/lxc.payload.web-1/init.scope"), Some(("lxc", "web-1".to_owned())));
        assert_eq!(told("/lxc/web"), Some(("lxc", "web".to_owned())));
        assert_eq!(
            told("/machine.slice/machine-my\\x2dbox.scope/payload"),
            Some(("machine", "my-box".to_owned()))
        );
        assert_eq!(told("/machine.slice/systemd-nspawn@box.service"), Some(("machine", "box".to_owned())));
    }

    #[test]
    fn what_watches_over_a_container_is_not_of_it() {
        let id = "ab".repeat(32);
        assert_eq!(told(&format!("/machine.slice/libpod-conmon-{id}.scope")), None);
        assert_eq!(told("/lxc.monitor.web"), None);
        assert_eq!(told("/user.slice/user-1000.slice/session-2.scope"), None);
        assert_eq!(told("/system.slice/docker.service"), None);
    }

    #[test]
    fn of_nested_containers_the_innermost_is_meant() {
        let (outer, inner) = ("ab".repeat(32), "cd".repeat(32));
        let path = format!("/docker/{outer}/docker/{inner}/init.scope");
        assert_eq!(told(&path), Some(("docker", inner)));
    }

    #[test]
    fn command_lines_tell_of_what_they_watch_over() {
        let id = "ab".repeat(32);
        let told = |words: &[&str]| {
            Mark::in_command(words.join("\0").as_bytes()).map(|mark| (mark.runner, mark.name()))
        };
        let of = |runner: &'static str, name: &str| Some((runner, name.to_owned()));
        assert_eq!(told(&["/usr/bin/conmon", "-c", &id, "-n", "web", "--log"]), of("podman", "web"));
        assert_eq!(told(&["conmon", "-c", &id]), of("podman", &id[..12]));
        assert_eq!(told(&["conmon", "-c", "../x"]), None);
        assert_eq!(
            told(&["/usr/bin/containerd-shim-runc-v2", "-namespace", "moby", "-id", &id]),
            of("docker", &id[..12])
        );
        assert_eq!(told(&["systemd-nspawn", "-D", "/srv/box/", "sh"]), of("systemd-nspawn", "box"));
        assert_eq!(told(&["systemd-nspawn", "--machine=a", "-D", "/srv/box"]), of("systemd-nspawn", "a"));
        assert_eq!(told(&["[lxc monitor] /var/lib/lxc web"]), of("lxc", "web"));
        assert_eq!(told(&["sh", "-c", &id]), None);
        assert_eq!(told(&[""]), None);
    }
}
