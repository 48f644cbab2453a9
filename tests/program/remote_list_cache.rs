//! Saved hosts in Wireshark's list: cached containers, refreshed in the background.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::program::{NO_ENGINE, Running, program, until};

/// A home with one saved host, and an `ssh` that is a shell script.
struct CacheHome(TempDir);

impl CacheHome {
    fn new(ssh: &str) -> Self {
        let home = Self(tempfile::tempdir().expect("a folder"));
        fs::create_dir_all(home.path("config/containerdump")).expect("a folder");
        home.save(r#"{"shop": {"address": "ann@192.0.2.7"}}"#);
        let path = home.path("ssh");
        // `ssh -G` prints the configuration and does not connect.
        let called = home.path("called");
        let script =
            format!("#!/bin/sh\n[ \"$1\" != -G ] || exit 0\necho $$ >>{}\n{ssh}\n", called.display());
        fs::write(&path, script).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
        home
    }

    fn save(&self, hosts: &str) {
        fs::write(self.path("config/containerdump/hosts.json"), hosts).expect("a file");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn program(&self) -> Command {
        let mut command = program(NO_ENGINE);
        let path = format!("{}:{}", self.0.path().display(), std::env::var("PATH").expect("a PATH"));
        command.env("PATH", path).env("HOME", self.0.path()).env("CONTAINERDUMP_ENGINES", "none");
        command.env("XDG_CONFIG_HOME", self.path("config")).env("XDG_CACHE_HOME", self.path("cache"));
        command
    }

    /// Writes the cache of the host.
    fn knows(&self, text: &[u8]) {
        fs::create_dir_all(self.path("cache/containerdump/hosts")).expect("a folder");
        fs::write(self.cache(), text).expect("a file");
    }

    fn cache(&self) -> PathBuf {
        self.path("cache/containerdump/hosts/shop.json")
    }

    /// Values and display texts of its interfaces.
    fn listed(&self) -> Vec<(String, String)> {
        let answer = Running::start(self.program().arg("--extcap-interfaces")).ended().answer();
        let mut lines: Vec<&str> = answer.lines().collect();
        assert!(lines.remove(0).starts_with("extcap {version="), "{answer}");
        let lines = lines.into_iter().take_while(|line| !line.starts_with("control "));
        let mut read: Vec<(String, String)> = lines
            .map(|line| {
                let rest = line.strip_prefix("interface {value=").expect("an interface");
                let (value, rest) = rest.split_once("}{display=").expect("a text");
                (value.to_owned(), rest.strip_suffix('}').expect("its end").to_owned())
            })
            .collect();
        assert_eq!(read.pop().expect("the one for any host").0, "containerdump-ssh");
        read
    }

    /// Waits for the end of all background refreshes.
    fn is_quiet(&self) {
        until("hosts were asked", || self.refreshing().is_empty());
    }

    /// Processes of background refreshes.
    fn refreshing(&self) -> Vec<u32> {
        let ours = format!("XDG_CACHE_HOME={}", self.path("cache").display());
        let pids = fs::read_dir("/proc").expect("/proc").flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let read = |pid: u32, name: &str| {
            let bytes = fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let is_it = |pid: &u32| {
            read(*pid, "cmdline").contains("refresh\0--background") && read(*pid, "environ").contains(&ours)
        };
        pids.filter(is_it).collect()
    }
}

fn pair(value: &str, display: &str) -> (String, String) {
    (value.to_owned(), display.to_owned())
}

/// The first line of a cache written at `checked`.
fn head(address: &str, checked: u64, error: &str) -> String {
    format!(r#"{{"version":2,"address":"{address}","checked":{checked},"error":{error}}}"#)
}

/// A container in the JSON of another host.
fn line(interface: &str, name: &str, project: &str) -> String {
    format!(
        r#"{{"addresses":[],"attachments":[],"created":1,"engine":"docker","id":"{0}","interface":"{interface}","image":"{name}","name":"{name}","network_mode":"own","networks":[],"project":{project},"error":null}}"#,
        "0".repeat(64)
    )
}

const LATER: u64 = 99_999_999_999;

#[test]
fn a_hanging_host_does_not_delay_the_list() {
    let home = CacheHome::new("exec sleep 600");
    let begun = Instant::now();
    let unknown = [pair("shop-all", "shop: containers not loaded yet, press F5")];
    assert_eq!(home.listed(), unknown);
    until("it is asked", || home.path("called").exists());
    assert_eq!(home.listed(), unknown);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    // Only one refresh runs, without Wireshark's descriptors.
    let refreshing = home.refreshing();
    assert_eq!(refreshing.len(), 1, "{refreshing:?}");
    let pid = refreshing[0];
    for number in 0..3 {
        let leads = fs::read_link(format!("/proc/{pid}/fd/{number}")).expect("it runs");
        assert_eq!(leads.to_str(), Some("/dev/null"), "{number}");
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    assert_eq!(fields[3], pid.to_string(), "it is in a session of its own");
    let again = Running::start(home.program().args(["host", "refresh", "--background"])).ended();
    again.succeeds_silently();
    assert_eq!(home.refreshing(), refreshing);
    home.is_quiet();
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    assert_eq!(fs::read_to_string(home.path("called")).expect("calls").lines().count(), 1);
    assert_eq!(home.listed(), [pair("shop-all", "shop: no answer within 20 seconds, double-click for help")]);
    assert_eq!(home.refreshing(), [0; 0], "it is not asked again so soon");
}

#[test]
fn cached_containers_are_listed_and_refreshed() {
    let home = CacheHome::new("echo 'Connection refused' >&2; exit 255");
    let text = [head("ann@192.0.2.7", 5, "null"), line("docker-web", "web", r#""shop""#)].join("\n");
    home.knows(text.as_bytes());
    let containers = [
        pair("shop-compose-shop", "shop: Compose project shop (1 container)"),
        pair("shop-docker-web", "shop: web · web"),
    ];
    let with = |first: &str| [&[pair("shop-all", first)], &containers[..]].concat();
    assert_eq!(home.listed(), with("shop: All containers"));
    home.is_quiet();
    until("its failure is known", || {
        fs::read_to_string(home.cache()).is_ok_and(|text| text.contains("listens"))
    });
    assert_eq!(home.listed(), with("shop: nothing listens on that port, double-click for help"));
    let visible = Running::start(home.program().args(["host", "refresh", "shop"])).ended().complaint();
    assert!(visible.contains("cannot connect to shop: nothing listens on that port"), "{visible}");
    let mode = |path: PathBuf| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(home.cache()), 0o600);
    // The cache of another host with the same name is not used.
    home.save(r#"{"shop": {"address": "ann@192.0.2.8"}}"#);
    assert_eq!(home.listed(), [pair("shop-all", "shop: containers not loaded yet, press F5")]);
    home.is_quiet();
    Running::start(home.program().args(["host", "remove", "shop"])).ended().succeeds_silently();
    assert!(!home.cache().exists());
    let left: Vec<String> = home.listed().into_iter().map(|(value, _)| value).collect();
    assert_eq!(left, ["containerdump-none"]);
}

#[test]
fn cache_directories_are_private() {
    let home = CacheHome::new("exit 255");
    home.listed();
    home.is_quiet();
    for name in ["cache/containerdump", "cache/containerdump/hosts"] {
        let mode = fs::metadata(home.path(name)).expect("a folder").permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{name}");
    }
}

#[test]
fn a_hostile_cache_yields_only_interfaces() {
    let home = CacheHome::new("exit 255");
    let first = head("ann@192.0.2.7", LATER, "null");
    let hostile = r"x}{value=stolen}\u001b[2J\ninterface {value=y}{display=z}\u202e";
    let mut lines = vec![first.clone()];
    for interface in [
        "docker-web",
        "docker-a}{b",
        "docker-",
        "web",
        "docker-a b",
        r"docker-a\u001b",
        "compose-shop",
        hostile,
    ] {
        lines.push(line(interface, hostile, &format!("\"{hostile}\"")));
    }
    lines.extend(["null".to_owned(), "{}".to_owned(), "[".repeat(100_000)]);
    home.knows(lines.join("\n").as_bytes());
    let listed = home.listed();
    let values: Vec<&str> = listed.iter().map(|(value, _)| value.as_str()).collect();
    assert_eq!(values.len(), 3, "{values:?}");
    assert!(values[0] == "shop-all" && values[1].starts_with("shop-compose-x--value-stolen"), "{values:?}");
    assert_eq!(values[2], "shop-docker-web");
    let unknown = [pair("shop-all", "shop: containers not loaded yet, press F5")];
    let long = [first.as_bytes(), &b"\n".repeat(2 * 1024 * 1024)].concat();
    for nothing in
        [&b""[..], b"\xff\xfe", b"{}", first.replace("\"version\":2", "\"version\":1").as_bytes(), &long]
    {
        // Or the result of the refresh.
        home.is_quiet();
        home.knows(nothing);
        assert_eq!(home.listed(), unknown);
    }
    home.is_quiet();
    fs::remove_file(home.cache()).expect("a file");
    fs::create_dir(home.cache()).expect("a folder");
    assert_eq!(home.listed(), unknown);
    home.is_quiet();
    // Long lists are truncated.
    let one = |number: usize| {
        line(&format!("docker-c{number}"), "c", "null").replace(&"0".repeat(64), &format!("{number:064}"))
    };
    let many: Vec<String> = (0..3000).map(one).collect();
    fs::remove_dir(home.cache()).expect("a folder");
    home.knows(format!("{first}\n{}", many.join("\n")).as_bytes());
    assert!(home.listed().len() <= 1000);
    home.is_quiet();
}
