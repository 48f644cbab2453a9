//! `install --user` as an unprivileged user.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use tempfile::TempDir;

use super::fixtures::{
    COMPANION, GROUP, NOBODY, Need, Run, Said, built, capability, everything_below, open_folder, trial,
    with_companion,
};

pub(crate) fn trials() -> Vec<Trial> {
    let needs = &[Need::Root, Need::Tshark];
    vec![
        trial!(a_user_installs_a_copy_in_their_own_folder, needs),
        trial!(the_static_program_of_a_user_is_not_executable_for_wireshark, needs),
        trial!(uninstall_user_removes_only_what_install_user_created, needs),
        trial!(a_file_of_the_user_is_not_overwritten, needs),
        trial!(a_user_is_told_to_use_sudo, needs),
        trial!(root_is_warned_about_a_personal_installation, needs),
        trial!(root_does_not_follow_the_record_of_a_user, needs),
        trial!(the_record_of_a_user_removes_no_group, needs),
    ]
}

/// A home folder of an ordinary user.
pub(crate) struct Home {
    pub(crate) folder: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        let folder = open_folder();
        chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("give the home to its user");
        Self { folder }
    }

    /// The installer, run by its user.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        self.runs(built("containerdump-install")).run(arguments)
    }

    /// A program, run by its user.
    pub(crate) fn runs(&self, program: impl AsRef<OsStr>) -> Run {
        Run::as_nobody(NOBODY, program).env("HOME", self.folder.path())
    }

    fn programs(&self) -> Vec<PathBuf> {
        let all = everything_below(self.folder.path());
        all.into_iter().filter(|path| path.is_file() && path.ends_with("extcap/containerdump")).collect()
    }
}

fn a_user_installs_a_copy_in_their_own_folder() {
    let home = Home::new();
    let said = home.run(&["install", "--user"]).succeeded();
    assert!(said.stdout.contains("no right to capture"), "{said:#?}");
    let [program] = home.programs().try_into().expect("one program");
    let status = program.metadata().expect("look at the program");
    assert_eq!((status.uid(), status.mode() & 0o7777), (NOBODY, 0o755));
    assert_eq!(capability(&program), "");
    assert!(home.run(&["install", "--user"]).succeeded().stdout.contains("unchanged"));
}

fn the_static_program_of_a_user_is_not_executable_for_wireshark() {
    let folder = with_companion(env!("CARGO_PKG_VERSION"));
    let home = Home::new();
    let program = folder.path().join("containerdump");
    home.run(&["install", "--user", "--program", &program.to_string_lossy()]).succeeded();
    let [program] = home.programs().try_into().expect("one program");
    let companion = program.with_file_name(Path::new(COMPANION).file_name().expect("a name"));
    let status = companion.metadata().expect("look at the companion");
    assert_eq!((status.uid(), status.mode() & 0o7777), (NOBODY, 0o644));
    home.run(&["uninstall", "--user"]).succeeded();
    assert!(!companion.exists() && !program.exists());
}

fn uninstall_user_removes_only_what_install_user_created() {
    let home = Home::new();
    home.run(&["install", "--user"]).succeeded();
    let [program] = home.programs().try_into().expect("one program");
    let beside = program.with_file_name("another-tool");
    fs::write(&beside, "theirs").expect("write a file");
    home.run(&["uninstall", "--user"]).succeeded();
    assert_eq!(home.programs(), Vec::<PathBuf>::new());
    assert!(beside.exists());
    fs::remove_file(beside).expect("remove a file");
    assert!(home.run(&["uninstall", "--user"]).succeeded().stdout.contains("Nothing to remove"));
}

fn a_file_of_the_user_is_not_overwritten() {
    let home = Home::new();
    home.run(&["install", "--user"]).succeeded();
    let [program] = home.programs().try_into().expect("one program");
    fs::write(&program, "their own build").expect("write a file");
    home.run(&["install", "--user"]).failed_saying("exists, and was not created by this installer");
    assert!(home.run(&["uninstall", "--user"]).succeeded().stdout.contains("kept "));
    assert_eq!(fs::read(&program).expect("read it"), b"their own build");
}

fn a_user_is_told_to_use_sudo() {
    let home = Home::new();
    let said = home.run(&["install"]).failed_saying("only root can give a program the right to capture");
    assert!(said.stderr.contains("sudo ") && said.stderr.contains("install --user"), "{said:#?}");
    home.run(&["uninstall"]).failed_saying("only root can remove");
    assert_eq!(everything_below(home.folder.path()), Vec::<PathBuf>::new());
}

fn root_is_warned_about_a_personal_installation() {
    Run::new(built("containerdump-install"))
        .run(&["install", "--user"])
        .failed_saying("ignores the personal folder");
}

/// Writes a record that names `file` and a group of the system.
fn forge_record(home: &Home, file: &Path) {
    let folder = home.folder.path().join(".local/share/containerdump");
    fs::create_dir_all(&folder).expect("make a folder");
    chown(&folder, Some(NOBODY), Some(NOBODY)).expect("give it to its user");
    // FNV-1a over nothing, and the length.
    let text = format!(
        r#"{{"version": "0.1.0", "group": null, "made_group": "{GROUP}", "links": [], "folders": [],
            "files": [{{"path": "{}", "checksums": ["cbf29ce484222325-0"]}}]}}"#,
        file.display()
    );
    fs::write(folder.join("installed.json"), text).expect("write the record");
}

fn root_does_not_follow_the_record_of_a_user() {
    let (home, folder) = (Home::new(), open_folder());
    let file = folder.path().join("file-of-root");
    fs::write(&file, "").expect("write a file");
    forge_record(&home, &file);
    for options in [&["uninstall", "--user"][..], &["uninstall", "--user", "--dry-run"]] {
        let run = Run::new(built("containerdump-install")).env("HOME", home.folder.path());
        let said = run.run(options).failed_saying("cannot remove a personal installation as root");
        assert_eq!(said.stdout, "", "{said:#?}");
    }
    assert!(file.exists());
}

fn the_record_of_a_user_removes_no_group() {
    let home = Home::new();
    forge_record(&home, &home.folder.path().join("nothing"));
    let said = home.run(&["uninstall", "--user"]).succeeded();
    assert!(!said.stdout.contains("group"), "{said:#?}");
}
