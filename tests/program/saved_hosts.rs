//! Saved hosts: what is saved, where, and what is refused.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;

use tempfile::TempDir;

use crate::support::program::{Ended, NO_ENGINE, Running, program};

/// An empty home directory.
struct ConfigHome(TempDir);

impl ConfigHome {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn start(&self, arguments: &[&str]) -> Running {
        let mut command = program(NO_ENGINE);
        command.env("HOME", self.0.path()).env_remove("XDG_CONFIG_HOME").env_remove("XDG_CACHE_HOME");
        Running::start(command.args(arguments))
    }

    fn host(&self, arguments: &[&str]) -> Ended {
        self.start(&[&["host"], arguments].concat()).ended()
    }

    /// Names and addresses of saved hosts.
    fn saved(&self) -> Vec<(String, String)> {
        let listed = self.host(&["list", "--json"]).answer();
        let field = |line: &str, name: &str| {
            let object: serde_json::Value = serde_json::from_str(line).expect("JSON");
            object[name].as_str().expect("text").to_owned()
        };
        listed.lines().map(|line| (field(line, "name"), field(line, "address"))).collect()
    }

    fn file(&self) -> PathBuf {
        self.0.path().join(".config/containerdump/hosts.json")
    }
}

fn pair(name: &str, address: &str) -> (String, String) {
    (name.to_owned(), address.to_owned())
}

#[test]
fn an_added_host_is_listed_until_removed() {
    let home = ConfigHome::new();
    assert_eq!(home.saved(), []);
    assert!(!home.file().exists(), "looking makes nothing");
    home.host(&["add", "build1", "ann@192.0.2.7:2222", "--sudo"]).succeeds_silently();
    home.host(&["add", "build2"]).succeeds_silently();
    assert_eq!(home.saved(), [pair("build1", "ann@192.0.2.7:2222"), pair("build2", "build2")]);
    let table = home.host(&["list"]).answer();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "ADDRESS", "PRIVILEGE", "KEY"]);
    assert_eq!(rows[1], ["build1", "ann@192.0.2.7:2222", "sudo", "-"]);
    let about = fs::metadata(home.file()).expect("the file");
    assert_eq!(about.permissions().mode() & 0o777, 0o600);
    let folder = fs::metadata(home.file().parent().expect("a folder")).expect("the folder");
    assert_eq!(folder.permissions().mode() & 0o777, 0o700);
    home.host(&["remove", "build1"]).succeeds_silently();
    assert_eq!(home.saved(), [pair("build2", "build2")]);
    assert!(home.host(&["remove", "build1"]).complaint().contains("there is no saved host build1"));
}

#[test]
fn ambiguous_or_unusable_hosts_are_not_saved() {
    let home = ConfigHome::new();
    home.host(&["add", "build.1", "192.0.2.7"]).succeeds_silently();
    let before = fs::read(home.file()).expect("the file");
    assert!(
        home.host(&["add", "Build-1", "x"]).complaint().contains("has the same interface name in Wireshark")
    );
    assert!(home.host(&["add", "b", "c", "--key", "a\nb"]).complaint().contains("cannot use key "));
    let no_key = home.host(&["add", "k", "b1", "--key", "/nosuch"]).complaint();
    assert!(no_key.contains("cannot save host k: key file /nosuch cannot be read (No such file"), "{no_key}");
    let no_file = home.host(&["add", "k", "b1", "--key", "/"]).complaint();
    assert!(no_file.contains("key file / cannot be read (not a regular file)"), "{no_file}");
    for refused in [
        &["add", "docker-x", "build1"][..],
        &["add", "a/b", "build1"],
        &["add", "a}{b", "build1"],
        &["add", "b", "-oProxyCommand=x"],
        &["add", "b", "a;b"],
        &["add"],
    ] {
        assert_eq!(home.host(refused).status.code(), Some(2), "{refused:?}");
    }
    assert_eq!(fs::read(home.file()).expect("the file"), before);
}

#[test]
fn concurrent_saves_lose_nothing() {
    let home = ConfigHome::new();
    let names: Vec<String> = (0..12).map(|number| format!("build{number}")).collect();
    let adding: Vec<Running> = names.iter().map(|name| home.start(&["host", "add", name])).collect();
    for one in adding {
        one.ended().succeeds_silently();
    }
    assert_eq!(home.saved().len(), names.len());
    let left = fs::read_dir(home.file().parent().expect("a folder")).expect("the folder").count();
    assert_eq!(left, 2, "the file and what keeps them apart");
}

#[test]
fn a_symlinked_hosts_file_is_kept() {
    let home = ConfigHome::new();
    fs::create_dir_all(home.file().parent().expect("a folder")).expect("a folder");
    let kept = home.0.path().join("kept.json");
    fs::write(&kept, "{}").expect("a file");
    symlink(&kept, home.file()).expect("a link");
    home.host(&["add", "build1"]).succeeds_silently();
    assert!(fs::symlink_metadata(home.file()).expect("a link").is_symlink());
    assert!(fs::read_to_string(&kept).expect("the file").contains("build1"));
}

#[test]
fn an_invalid_hosts_file_is_reported_and_kept() {
    let home = ConfigHome::new();
    home.host(&["add", "build1"]).succeeds_silently();
    for wrong in ["", "[]", r#"{"a": {"address": "-x"}}"#, "\u{1b}[2J"] {
        fs::write(home.file(), wrong).expect("a file");
        for verb in [&["list"][..], &["add", "build2"], &["remove", "build1"]] {
            assert!(home.host(verb).complaint().contains("cannot read saved hosts in "), "{wrong}");
        }
        let used = home.start(&["list", "--host", "build1"]).ended().complaint();
        assert!(used.contains("cannot read saved hosts in "), "{used}");
        assert_eq!(fs::read_to_string(home.file()).expect("the file"), wrong);
    }
    fs::remove_file(home.file()).expect("the file");
    fs::create_dir(home.file()).expect("a folder");
    assert!(home.host(&["list"]).complaint().contains("not a regular file"));
    let before = fs::metadata(home.file()).expect("the folder").ino();
    assert!(home.host(&["add", "build1"]).complaint().contains("not a regular file"));
    assert_eq!(fs::metadata(home.file()).expect("the folder").ino(), before);
}
