//! The Wireshark profile Containers: installed, updated, declined, removed; a changed one is kept.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use super::fixtures::{Need, Run, Said, Scratch, built, everything_below, find, set_mode, trial};
use super::user_install::Home;

pub(crate) fn trials() -> Vec<Trial> {
    let needs = &[Need::Root, Need::Tshark];
    vec![
        trial!(the_profile_is_in_the_global_profile_folder, needs),
        trial!(the_profile_of_a_user_is_in_their_own_folder, needs),
        trial!(another_version_updates_the_profile, needs),
        trial!(a_changed_profile_is_kept, needs),
        trial!(a_foreign_profile_is_kept, needs),
        trial!(a_symlinked_profile_is_not_followed, needs),
        trial!(a_declined_profile_is_not_installed, needs),
        trial!(a_profile_used_by_wireshark_is_removed, needs),
        trial!(doctor_reports_the_profile, needs),
    ]
}

const FILES: [&str; 3] = ["colorfilters", "preferences", "recent"];

/// The global profile folder of tshark.
fn profiles() -> PathBuf {
    let said = Run::new(find("tshark").expect("tshark")).run(&["-G", "folders"]);
    let path = said.stdout.lines().find_map(|line| line.strip_prefix("Global configuration:"));
    Path::new(path.expect("the global configuration").trim()).join("profiles")
}

fn place(scratch: &Scratch) -> PathBuf {
    scratch.path(&profiles().join("Containers").to_string_lossy())
}

/// The profile in a user's folder.
fn own_place(home: &Home) -> PathBuf {
    home.folder.path().join(".config/wireshark/profiles/Containers")
}

fn files(place: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(place) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).expect("read a file")
}

fn the_profile_is_in_the_global_profile_folder() {
    let scratch = Scratch::new();
    let said = scratch.install().succeeded();
    assert!(said.stdout.contains("wireshark -C Containers"), "{said:#?}");
    assert_eq!(files(&place(&scratch)), FILES);
    for name in FILES {
        let status = place(&scratch).join(name).metadata().expect("look at a file");
        assert_eq!((status.uid(), status.gid(), status.mode() & 0o7777), (0, 0, 0o644));
    }
    scratch.run("uninstall", &[]).succeeded();
    assert_eq!(everything_below(scratch.folder.path()), Vec::<PathBuf>::new());
}

fn the_profile_of_a_user_is_in_their_own_folder() {
    let home = Home::new();
    home.run(&["install", "--user"]).succeeded();
    assert_eq!(files(&own_place(&home)), FILES);
    home.run(&["uninstall", "--user"]).succeeded();
    assert!(!own_place(&home).exists());
}

/// An installer of another version, whose profile differs in one letter.
fn installer_of_another_version(scratch: &Scratch) -> PathBuf {
    const WORDS: &[u8] = b"All else is as Wireshark has it.";
    let mut program = fs::read(built("containerdump-install")).expect("read the installer");
    let at = program.windows(WORDS.len()).position(|bytes| bytes == WORDS).expect("the profile in it");
    program[at] = b'O';
    let path = scratch.path("/other-installer");
    fs::write(&path, program).expect("write a program");
    set_mode(&path, 0o755);
    path
}

fn another_version_updates_the_profile() {
    let (scratch, elsewhere) = (Scratch::new(), Scratch::new());
    let other = installer_of_another_version(&elsewhere);
    let root = scratch.folder.path().to_string_lossy().into_owned();
    let program = built("containerdump").to_string_lossy().into_owned();
    Run::new(other).run(&["install", "--root", &root, "--program", &program]).succeeded();
    let preferences = place(&scratch).join("preferences");
    assert!(read(&preferences).contains("Oll else"));
    let said = scratch.install().succeeded();
    assert!(said.stdout.contains(&format!("copied      {}", preferences.display())), "{said:#?}");
    assert!(read(&preferences).contains("All else"));
    let colours = place(&scratch).join("colorfilters");
    assert!(said.stdout.contains(&format!("unchanged   {}", colours.display())), "{said:#?}");
    fs::remove_file(&colours).expect("remove a file");
    scratch.install().succeeded();
    assert_eq!(files(&place(&scratch)), FILES);
}

fn a_changed_profile_is_kept() {
    let scratch = Scratch::new();
    scratch.install().succeeded();
    let other = place(&scratch).with_file_name("Another");
    fs::create_dir(&other).expect("make a folder");
    fs::write(other.join("preferences"), "theirs").expect("write a file");
    let preferences = place(&scratch).join("preferences");
    fs::write(&preferences, "theirs").expect("write a file");
    let left = |said: Said, word: &str| assert!(said.stdout.contains(word), "{said:#?}");
    left(
        scratch.install().succeeded(),
        "Containers is kept as it is: it was changed, or not created by install",
    );
    assert_eq!(read(&preferences), "theirs");
    // Completely, also unchanged files.
    left(scratch.run("uninstall", &[]).succeeded(), "changed, or not created by install");
    assert_eq!(
        (files(&place(&scratch)), read(&preferences)),
        (FILES.map(String::from).to_vec(), "theirs".into())
    );
    assert_eq!(read(other.join("preferences")), "theirs");
}

fn a_foreign_profile_is_kept() {
    let scratch = Scratch::new();
    let theirs = scratch.make_folder(&profiles().join("Containers").to_string_lossy());
    fs::write(theirs.join("dfilters"), "theirs").expect("write a file");
    let said = scratch.install().succeeded();
    assert!(said.stdout.contains("is kept as it is"), "{said:#?}");
    assert!(!said.stdout.contains("wireshark -C Containers"), "{said:#?}");
    scratch.run("uninstall", &[]).succeeded();
    assert_eq!(files(&theirs), ["dfilters"]);
}

fn a_symlinked_profile_is_not_followed() {
    let scratch = Scratch::new();
    let elsewhere = scratch.make_folder("/elsewhere");
    fs::create_dir_all(place(&scratch).parent().expect("a folder")).expect("make a folder");
    symlink(&elsewhere, place(&scratch)).expect("make a link");
    let said = scratch.install().succeeded();
    assert!(said.stdout.contains("is not installed: cannot trust folder"), "{said:#?}");
    assert_eq!(files(&elsewhere), Vec::<String>::new());

    fs::remove_file(place(&scratch)).expect("remove a link");
    scratch.install().succeeded();
    let (file, target) = (place(&scratch).join("preferences"), elsewhere.join("target"));
    fs::rename(&file, &target).expect("move a file");
    symlink(&target, &file).expect("make a link");
    let before = read(&target);
    let said = scratch.install().succeeded();
    assert!(said.stdout.contains("is kept as it is"), "{said:#?}");
    scratch.run("uninstall", &[]).succeeded();
    assert_eq!((read(&target), file.is_symlink()), (before, true));
}

fn a_declined_profile_is_not_installed() {
    let scratch = Scratch::new();
    let said = scratch.run("install", &["--no-profile"]).succeeded();
    assert!(!place(&scratch).exists() && !said.stdout.contains("Containers"), "{said:#?}");
    // An existing profile is not changed by an installation without one.
    scratch.install().succeeded();
    scratch.run("install", &["--no-profile"]).succeeded();
    assert_eq!(files(&place(&scratch)), FILES);
    scratch.run("uninstall", &[]).succeeded();
    assert_eq!(everything_below(scratch.folder.path()), Vec::<PathBuf>::new());
}

fn a_profile_used_by_wireshark_is_removed() {
    let home = Home::new();
    home.run(&["install", "--user"]).succeeded();
    // As Wireshark does when it exits.
    fs::write(own_place(&home).join("recent"), "column.width: %m, 61\n").expect("write a file");
    home.run(&["install", "--user"]).succeeded();
    assert_eq!(read(own_place(&home).join("recent")), "column.width: %m, 61\n");
    home.run(&["uninstall", "--user"]).succeeded();
    assert!(!own_place(&home).exists());
}

fn doctor_reports_the_profile() {
    let home = Home::new();
    let found = || {
        let said = home.run(&["doctor"]);
        said.stdout.lines().find(|line| line.contains("  profile ")).expect("a line").to_owned()
    };
    let has = |words: &[&str]| {
        let line = found();
        assert!(words.iter().all(|word| line.contains(word)), "no {words:?} in {line}");
    };
    if !profiles().join("Containers").exists() {
        has(&["warning", "the profile Containers"]);
        home.run(&["install", "--user", "--no-profile"]).succeeded();
        has(&["ok", "was declined"]);
    }
    home.run(&["install", "--user"]).succeeded();
    has(&["ok", "is up to date"]);
    fs::write(own_place(&home).join("preferences"), "theirs").expect("write a file");
    has(&["ok", "was changed or copied by you"]);
}
