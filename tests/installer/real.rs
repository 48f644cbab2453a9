//! Into the real folders of this machine and out again, asked of the real Wireshark.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::setting::{COMMAND, GROUP, INSTALLER, Need, PROGRAM, Run, built, capability, find, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial(
        "wireshark_lists_us_once_installed_and_no_longer_once_not",
        &[Need::Root, Need::Tshark],
        there_and_back,
    )]
}

/// The endpoint of a test engine with at least one container, where there is one.
const LAB: &str = "CONTAINERDUMP_LAB";

fn there_and_back() {
    let global = global_folder();
    // Whoever tries out this machine's real folder holds it meanwhile.
    let folder = File::open(&global).expect("open the global folder");
    folder.lock().expect("hold the global folder");
    assert!(
        !Path::new(PROGRAM).exists() && !Path::new(INSTALLER).exists(),
        "containerdump is installed on this machine; to let this trial run: containerdump-install uninstall"
    );
    let installed = Installed;
    install().succeeded();
    assert_eq!(fs::read_link(global.join("containerdump")).expect("a link"), Path::new(PROGRAM));
    assert_eq!(capability(Path::new(PROGRAM)), "cap_net_raw=ep");
    let lab = std::env::var(LAB).ok();
    let listed = interfaces(lab.as_deref());
    if lab.is_some() {
        assert!(listed.contains(". docker-"), "no container of {LAB} is listed:\n{listed}");
        doctor_agrees(lab.as_deref());
    } else {
        eprintln!("note: {LAB} is not set, so no container's name was looked for in Wireshark's list");
    }
    drop(installed);
    for path in [PROGRAM, INSTALLER, COMMAND] {
        assert!(!Path::new(path).exists(), "{path} is left");
    }
    assert!(!global.join("containerdump").is_symlink());
    assert!(!interfaces(lab.as_deref()).contains(". docker-"));
}

/// Takes away what was installed, also when the trial fails.
struct Installed;

impl Drop for Installed {
    fn drop(&mut self) {
        let said = Run::new(built("containerdump-install")).run(&["uninstall"]);
        if said.status != Some(0) {
            eprintln!("cannot uninstall: {said:#?}");
        }
    }
}

fn install() -> crate::setting::Said {
    Run::new(built("containerdump-install")).run(&["install", "--group", GROUP])
}

fn global_folder() -> PathBuf {
    let said = Run::new(find("tshark").expect("tshark")).run(&["-G", "folders"]);
    let path = said.stdout.lines().find_map(|line| {
        let (label, path) = line.split_once(':')?;
        ["Extcap path", "Global Extcap path"].contains(&label.trim()).then(|| path.trim().to_owned())
    });
    PathBuf::from(path.expect("the global folder"))
}

/// `tshark -D`, which must end well and soon.
fn interfaces(engine: Option<&str>) -> String {
    let before = Instant::now();
    let mut tshark = Run::new(find("tshark").expect("tshark"));
    if let Some(endpoint) = engine {
        tshark = tshark.env("DOCKER_HOST", endpoint);
    }
    let said = tshark.run(&["-D"]).succeeded();
    assert!(before.elapsed() < Duration::from_secs(20), "tshark -D took {:?}", before.elapsed());
    assert!(
        said.stdout.contains("sshdump") || said.stdout.contains("randpkt"),
        "no capture source at all: {said:#?}"
    );
    said.stdout
}

fn doctor_agrees(engine: Option<&str>) {
    let mut doctor = Run::new(built("containerdump-install"));
    if let Some(endpoint) = engine {
        doctor = doctor.env("DOCKER_HOST", endpoint);
    }
    let said = doctor.run(&["doctor"]).succeeded();
    assert!(said.stdout.contains("Wireshark lists docker-"), "{said:#?}");
}
