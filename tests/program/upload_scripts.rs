//! The upload scripts in each available shell, by a fake `ssh` that runs them on this machine.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::signal::Signal;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::support::program::{self, Ended, NO_ENGINE, Running};

/// Shells that are `sh` on some system.
const SHELLS: [&[&str]; 3] = [&["dash"], &["bash", "--posix"], &["busybox", "sh"]];

/// A login on this machine, with a home of its own.
struct Login(TempDir, #[expect(dead_code)] MutexGuard<'static, ()>);

impl Login {
    fn with(shell: &[&str]) -> Self {
        // Directories outside the home are shared.
        static ONE: Mutex<()> = Mutex::new(());
        let turn = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let login = Self(tempfile::tempdir().expect("a folder"), turn);
        for name in ["home", "there", "here"] {
            fs::create_dir(login.path(name)).expect("a folder");
        }
        login.script("there/sh", &format!("#!/bin/bash\nexec {} \"$@\"\n", shell.join(" ")));
        login.answers("exec sh -c \"$last\"");
        login
    }

    /// Sets the script that runs commands.
    fn answers(&self, script: &str) {
        let folder = self.0.path().display();
        let begin =
            "for last; do :; done; case \"$*\" in *\"-O exit\"*) exit 0 ;; esac; unset XDG_CACHE_HOME";
        let there = format!("export HOME={folder}/home PATH={folder}/there:/usr/bin:/bin; cd; {script}");
        self.script("here/ssh", &format!("#!/bin/bash\n{begin}; {there}\n"));
    }

    /// The same with uploads passed through a program.
    fn answers_through(&self, program: &str) {
        let to_shell = "sh -c \"$last\"";
        self.answers(&format!("case $last in *size*) {program} | {to_shell} ;; *) exec {to_shell} ;; esac"));
    }

    fn script(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).expect("a script");
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).expect("its mode");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn asks(&self, arguments: &[&str]) -> Ended {
        self.starts(arguments).ended()
    }

    fn starts(&self, arguments: &[&str]) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_containerdump"));
        command.env("PATH", format!("{}:/usr/bin:/bin", self.path("here").display()));
        command.env("DOCKER_HOST", NO_ENGINE).env("CONTAINERDUMP_ENGINES", "docker").env("LC_ALL", "C");
        Running::start(command.args(arguments))
    }

    /// Runs `list`, whose remote program finds no engine.
    fn is_asked(&self) -> String {
        let said = self.asks(&["list", "--host", "build1"]).stderr;
        assert!(said.contains("containerdump: on build1: cannot list containers at unix:///nonexistent.sock: no engine is listening"), "{said}");
        said
    }

    /// The uploaded program, the only file in the cache.
    fn sent(&self) -> PathBuf {
        let found: Vec<PathBuf> =
            fs::read_dir(self.cache()).expect("it").flatten().map(|entry| entry.path()).collect();
        let [one] = found.as_slice() else { panic!("{found:?}") };
        one.clone()
    }

    fn cache(&self) -> PathBuf {
        self.path("home/.cache/containerdump")
    }
}

/// The installed shells.
fn shells() -> impl Iterator<Item = &'static [&'static str]> {
    let is_here = |shell: &&&[&str]| Path::new("/bin").join(shell[0]).exists();
    assert!(SHELLS.iter().filter(is_here).count() > 1, "hardly any shell");
    SHELLS.iter().filter(is_here).copied()
}

fn is_companion_here() -> bool {
    let ours = Path::new(env!("CARGO_BIN_EXE_containerdump"));
    let is_here = ours.with_file_name(format!("containerdump-{}", std::env::consts::ARCH)).exists();
    assert!(is_here || std::env::var_os("CI").is_none(), "make test builds the static program");
    is_here
}

fn digest(path: &Path) -> String {
    format!("{:x}", Sha256::digest(fs::read(path).expect("a file")))
}

#[test]
fn a_program_is_uploaded_once_and_repaired_with_every_shell() {
    if !is_companion_here() {
        return;
    }
    for shell in shells() {
        let login = Login::with(shell);
        let said = login.is_asked();
        let first = "build1: uploaded containerdump 0.1.0 (not installed), running as ";
        assert!(said.starts_with(first), "{shell:?}: {said}");
        let sent = login.sent();
        let about = sent.metadata().expect("it");
        let folder = login.cache().metadata().expect("the folder");
        assert_eq!((about.mode() & 0o7777, folder.mode() & 0o7777), (0o700, 0o700), "{shell:?}");
        let name = format!("containerdump-{}-{}", std::env::consts::ARCH, digest(&sent));
        assert_eq!(sent.file_name().and_then(|name| name.to_str()), Some(name.as_str()));
        let said = login.is_asked();
        assert!(
            said.contains("using uploaded containerdump 0.1.0 (not installed), running as "),
            "{shell:?}: {said}"
        );
        assert_eq!(sent.metadata().expect("it").ino(), about.ino(), "{shell:?}: it is the same file");
        // A changed program is not run.
        let mark = login.path("mark");
        for content in [format!("#!/bin/sh\ntouch {}\n", mark.display()), String::new()] {
            fs::write(&sent, content).expect("it can be changed");
            let said = login.is_asked();
            assert!(said.contains("uploaded containerdump 0.1.0 (not installed)"), "{shell:?}: {said}");
            assert!(!mark.exists(), "{shell:?}: what was put there was run");
            assert!(name.ends_with(&digest(&login.sent())), "{shell:?}");
        }
        let removed = login.asks(&["host", "clean", "build1"]);
        assert_eq!(removed.stdout, format!("build1: removed 1 file from {}\n", login.cache().display()));
        assert!(!login.cache().exists(), "{shell:?}");
        assert_eq!(
            login.asks(&["host", "clean", "build1"]).stdout,
            "build1: no uploaded program\n",
            "{shell:?}"
        );
    }
}

#[test]
fn a_directory_others_can_write_or_a_symlink_is_not_used() {
    if !is_companion_here() {
        return;
    }
    for shell in shells() {
        let login = Login::with(shell);
        fs::create_dir_all(login.cache()).expect("a folder");
        fs::set_permissions(login.cache(), fs::Permissions::from_mode(0o770)).expect("its mode");
        let said = login.is_asked();
        let why = format!("not used: {} can be changed by others", login.cache().display());
        assert!(said.contains(&why), "{shell:?}: {said}");
        assert_eq!(fs::read_dir(login.cache()).expect("it").count(), 0, "{shell:?}");
        fs::remove_dir(login.cache()).expect("it is empty");
        fs::create_dir(login.path("elsewhere")).expect("a folder");
        symlink(login.path("elsewhere"), login.cache()).expect("a link");
        let said = login.is_asked();
        let why = format!("not used: {} is a symbolic link", login.cache().display());
        assert!(said.contains(&why), "{shell:?}: {said}");
        assert_eq!(fs::read_dir(login.path("elsewhere")).expect("it").count(), 0, "{shell:?}");
        // It is in a directory with an unpredictable name.
        let removed = login.asks(&["host", "clean", "build1"]).stdout;
        let place = removed.trim_end().rsplit(' ').next().expect("a place").to_owned();
        assert!(place.starts_with("/var/tmp/containerdump.") || place.starts_with("/tmp/containerdump."));
        assert!(!Path::new(&place).exists(), "{removed}");
    }
}

#[test]
fn a_partial_upload_is_never_installed() {
    if !is_companion_here() {
        return;
    }
    for shell in shells() {
        let login = Login::with(shell);
        // The connection breaks during the upload.
        login.answers_through("dd bs=65536 count=5 status=none");
        let said = login.asks(&["list", "--host", "build1"]).complaint();
        assert!(said.contains("containerdump is not installed on build1"), "{shell:?}: {said}");
        assert!(said.contains("cannot upload containerdump to build1: "), "{shell:?}: {said}");
        assert!(said.contains("did not receive the complete file"), "{shell:?}: {said}");
        assert_eq!(fs::read_dir(login.cache()).expect("it").count(), 0, "{shell:?}");
        // The right length with changed bytes.
        login.answers_through(
            "perl -e 'while (sysread STDIN, $_, 65536) { s/GNU/GNV/; syswrite STDOUT, $_ }'",
        );
        let said = login.asks(&["list", "--host", "build1"]).complaint();
        assert!(said.contains("did not receive the complete file"), "{shell:?}: {said}");
        assert_eq!(fs::read_dir(login.cache()).expect("it").count(), 0, "{shell:?}");
        login.asks(&["host", "clean", "build1"]);
    }
}

#[test]
fn an_interrupted_upload_leaves_nothing() {
    if !is_companion_here() {
        return;
    }
    for shell in shells() {
        let login = Login::with(shell);
        login.answers_through("perl -e 'while (sysread STDIN, $_, 65536) { syswrite STDOUT, $_; sleep 1 }'");
        let sending = login.starts(&["list", "--host", "build1"]);
        let files = || fs::read_dir(login.cache()).map_or(0, Iterator::count);
        program::until("some of it is there", || files() == 1);
        sending.send(Signal::SIGINT);
        assert!(!sending.ended().status.success(), "{shell:?}");
        program::until("nothing of it is there", || files() == 0);
    }
}

#[test]
fn no_upload_prevents_the_upload() {
    let login = Login::with(SHELLS[0]);
    let said = login.asks(&["list", "--host", "build1", "--no-upload"]).complaint();
    assert!(said.contains("containerdump is not installed on build1"), "{said}");
    assert!(!login.cache().exists());
}
