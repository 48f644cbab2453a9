//! Installation into the real folders of this machine, checked with Wireshark.

use std::fs::{self, File};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use tempfile::TempDir;

use super::fixtures::{
    COMMAND, GROUP, INSTALLER, LAB, Need, PROGRAM, Run, Said, built, capability, find, open_folder, trial,
};

/// The default group.
const CAPTURE_GROUP: &str = "wireshark";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial!(wireshark_runs_the_program_from_its_extcap_folder, &[Need::Root, Need::Tshark]),
        trial!(wireshark_lists_containers_only_while_installed, &[Need::Root, Need::Tshark, Need::Engine]),
        trial!(the_capture_group_is_created_and_removed_unless_dumpcap_uses_it, &[Need::Root, Need::Tshark]),
        trial!(uninstall_removes_images_from_engines, &[Need::Root, Need::Tshark, Need::Engine]),
    ]
}

/// Uninstall removes images by name and label, but no running container.
fn uninstall_removes_images_from_engines() {
    const OURS: &str = "localhost/containerdump-tap:0.0.0-of-a-test";
    let endpoint = std::env::var(LAB).expect("a test engine");
    let docker = |arguments: &[&str]| {
        let said = Run::new("docker").env("DOCKER_HOST", &endpoint).run(arguments).succeeded();
        said.stdout.trim().to_owned()
    };
    let image = std::env::var("CONTAINERDUMP_LAB_IMAGE").expect("an image of the test engine");
    let theirs = format!("their-image:{}", std::process::id());
    let folder = open_folder();
    let archive = folder.path().join("image.tar").to_string_lossy().into_owned();
    let source = docker(&["create", &image]);
    docker(&["export", "--output", &archive, &source]);
    docker(&["rm", &source]);
    let labelled = "LABEL org.containerdump.digest=0 org.containerdump.version=0";
    let import = |name: &str| docker(&["import", "--change", labelled, &archive, name]);
    import(OURS);
    import(&theirs);
    let create = |image: &str| docker(&["create", "--label", "org.containerdump.tap=1", image, "true"]);
    let (stale, strangers) = (create(OURS), create(&theirs));
    let installed = Installation::new();
    let uninstall = |options: &[&str]| {
        let said = Run::new(INSTALLER).env("DOCKER_HOST", &endpoint).run(&[&["uninstall"], options].concat());
        said.succeeded().stdout
    };
    let said = uninstall(&["--dry-run"]);
    assert!(said.contains(&format!("would remove image {OURS} of docker")), "{said}");
    let there = || docker(&["ps", "--all", "--quiet", "--no-trunc"]) + &docker(&["images"]);
    assert!(there().contains(&stale), "{}", there());
    let said = uninstall(&[]);
    assert!(
        said.contains("removed     tap container ") && said.contains(&format!("removed     image {OURS}")),
        "{said}"
    );
    let left = there();
    assert!(!left.contains(&stale) && !left.contains("containerdump-tap"), "{left}");
    assert!(left.contains(&strangers) && left.contains("their-image"), "{left}");
    drop(installed);
    docker(&["rm", &strangers]);
    docker(&["rmi", &theirs]);
}

fn the_capture_group_is_created_and_removed_unless_dumpcap_uses_it() {
    // The symptom: on a bare Debian without a group wireshark, only root could run the program.
    let folder = open_folder();
    // All changed folders are copies, visible to this process only.
    let script = format!(
        "set -e; copy() {{ mkdir -p \"$SCRATCH$1\"; cp -a \"$1/.\" \"$SCRATCH$1\"; mount --bind \"$SCRATCH$1\" \"$1\"; }}
         copy /etc; copy /usr/share/wireshark; copy \"$EXTCAP\"; mount -t tmpfs -o mode=755 none /usr/local
         groupdel {CAPTURE_GROUP} 2>/dev/null || true
         \"$INSTALLER\" install; stat --format 'mode %G %a' {PROGRAM}; \"$INSTALLER\" uninstall
         getent group {CAPTURE_GROUP} || echo 'the group is gone'
         \"$INSTALLER\" install; cp /usr/bin/dumpcap \"$SCRATCH/dumpcap\"; chgrp {CAPTURE_GROUP} \"$SCRATCH/dumpcap\"
         mount --bind \"$SCRATCH/dumpcap\" /usr/bin/dumpcap; \"$INSTALLER\" uninstall; getent group {CAPTURE_GROUP}"
    );
    let said = Run::new("unshare")
        .env("SCRATCH", folder.path())
        .env("EXTCAP", global_folder())
        .env("INSTALLER", built("containerdump-install"))
        .run(&["--mount", "sh", "-c", &script])
        .succeeded();
    let lines: Vec<&str> = said.stdout.lines().collect();
    let has = |line: &str| lines.contains(&line);
    assert!(has("created     group wireshark") && has("mode wireshark 750"), "{said:#?}");
    assert!(has("removed     group wireshark") && has("the group is gone"), "{said:#?}");
    assert!(has("kept        group wireshark (dumpcap belongs to it)"), "{said:#?}");
    assert!(lines.last().is_some_and(|line| line.starts_with("wireshark:")), "{said:#?}");
}

fn wireshark_runs_the_program_from_its_extcap_folder() {
    let installed = Installation::new();
    assert_eq!(fs::read_link(installed.link()).expect("a link"), Path::new(PROGRAM));
    assert_eq!(capability(Path::new(PROGRAM)), "cap_net_raw=ep");
    // An unreadable engine gives an entry to list.
    let socket = installed.folder.path().join("engine.sock");
    let _listener = UnixListener::bind(&socket).expect("listen");
    let endpoint = format!("unix://{}", socket.display());
    let ours = ". containerdump-docker";
    assert!(interfaces(&endpoint).contains(ours), "tshark -D does not list us");
    let link = installed.link();
    drop(installed);
    for path in [PROGRAM, INSTALLER, COMMAND] {
        assert!(!Path::new(path).exists(), "{path} is left");
    }
    assert!(!link.is_symlink());
    assert!(!interfaces(&endpoint).contains(ours), "tshark -D still lists us");
}

fn wireshark_lists_containers_only_while_installed() {
    let endpoint = std::env::var(LAB).expect("a test engine");
    let container = LabContainer::start(&endpoint);
    let installed = Installation::new();
    let ours = format!(". docker-{}", container.name);
    let list = interfaces(&endpoint);
    assert!(list.contains(&ours), "no {ours:?} in\n{list}");
    let said = Run::new(INSTALLER).env("DOCKER_HOST", &endpoint).run(&["doctor"]).succeeded();
    assert!(said.stdout.contains("Wireshark lists "), "{said:#?}");
    drop(installed);
    assert!(!interfaces(&endpoint).contains(&ours), "tshark -D still lists {ours:?}");
}

/// A container of the engine under test.
struct LabContainer {
    endpoint: String,
    name: String,
}

impl LabContainer {
    fn start(endpoint: &str) -> Self {
        let image = std::env::var("CONTAINERDUMP_LAB_IMAGE").expect("an image of the test engine");
        let name = format!("installed-{}", std::process::id());
        let container = Self { endpoint: endpoint.to_owned(), name };
        container.docker(&["run", "--detach", "--name", &container.name, &image]).succeeded();
        container
    }

    fn docker(&self, arguments: &[&str]) -> Said {
        Run::new("docker").env("DOCKER_HOST", &self.endpoint).run(arguments)
    }
}

impl Drop for LabContainer {
    fn drop(&mut self) {
        self.docker(&["rm", "--force", &self.name]);
    }
}

/// The program in the real folders, which is uninstalled on drop.
struct Installation {
    folder: TempDir,
    global: PathBuf,
    /// Held by the test that uses the real folder.
    _held: File,
}

impl Installation {
    fn new() -> Self {
        let global = global_folder();
        let held = File::open(&global).expect("open the global folder");
        held.lock().expect("hold the global folder");
        assert!(
            !Path::new(PROGRAM).exists() && !Path::new(INSTALLER).exists(),
            "containerdump is installed on this machine; to let this trial run: containerdump-install uninstall"
        );
        // Created first, so that a failed installation is removed, too.
        let installed = Self { folder: open_folder(), global, _held: held };
        Run::new(built("containerdump-install")).run(&["install", "--group", GROUP]).succeeded();
        installed
    }

    fn link(&self) -> PathBuf {
        self.global.join("containerdump")
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        let said = Run::new(built("containerdump-install")).run(&["uninstall"]);
        if said.status != Some(0) {
            eprintln!("cannot uninstall: {said:#?}");
        }
    }
}

fn global_folder() -> PathBuf {
    let said = Run::new(find("tshark").expect("tshark")).run(&["-G", "folders"]);
    let path = said.stdout.lines().find_map(|line| {
        let (label, path) = line.split_once(':')?;
        ["Extcap path", "Global Extcap path"].contains(&label.trim()).then(|| path.trim().to_owned())
    });
    PathBuf::from(path.expect("the global folder"))
}

/// `tshark -D`, which must succeed in time.
fn interfaces(endpoint: &str) -> String {
    let before = Instant::now();
    let tshark = Run::new(find("tshark").expect("tshark")).env("DOCKER_HOST", endpoint);
    let said = tshark.run(&["-D"]).succeeded();
    assert!(before.elapsed() < Duration::from_secs(20), "tshark -D took {:?}", before.elapsed());
    said.stdout
}
