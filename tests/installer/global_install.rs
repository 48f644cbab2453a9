//! `install` and `uninstall` as root, in a scratch root.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use super::fixtures::{
    COMMAND, COMPANION, GROUP_ID, INSTALLER, NOBODY, Need, PROGRAM, Run, Scratch, built, capability,
    everything_below, find, open_folder, set_mode, trial, with_companion,
};

pub(crate) fn trials() -> Vec<Trial> {
    let root = &[Need::Root];
    vec![
        trial!(the_program_gets_owner_mode_and_one_capability, root),
        trial!(the_static_program_is_owned_by_root_without_capabilities, root),
        trial!(a_static_program_of_another_version_is_not_installed, root),
        trial!(
            links_lead_to_the_program_and_the_installer_is_outside_the_extcap_folder,
            &[Need::Root, Need::Tshark]
        ),
        trial!(only_group_members_can_run_the_program, root),
        trial!(installing_again_changes_nothing, root),
        trial!(installing_again_restores_a_lost_capability, root),
        trial!(a_dry_run_changes_nothing, root),
        trial!(a_symlinked_folder_is_refused, root),
        trial!(a_world_writable_folder_is_refused, root),
        trial!(a_folder_writable_for_an_empty_group_is_accepted, root),
        trial!(a_folder_writable_for_group_members_is_refused, root),
        trial!(a_link_of_an_earlier_version_is_replaced, root),
        trial!(a_symlink_in_place_of_the_program_is_refused, root),
        trial!(a_symlink_in_place_of_the_temporary_file_is_not_followed, root),
        trial!(a_foreign_file_is_refused_and_nothing_is_installed, root),
        trial!(a_foreign_link_is_refused, root),
        trial!(a_script_is_refused, root),
        trial!(a_program_that_other_users_can_change_is_refused, root),
        trial!(an_unknown_group_is_refused, root),
        trial!(uninstall_removes_everything_install_created, root),
        trial!(uninstall_keeps_foreign_files, root),
        trial!(a_partly_failed_uninstall_can_be_repeated, root),
        trial!(a_nosuid_file_system_is_refused, root),
        trial!(a_file_system_without_capabilities_is_refused, &[Need::Root, Need::Ramfs]),
    ]
}

fn the_program_gets_owner_mode_and_one_capability() {
    let scratch = Scratch::new();
    scratch.install().succeeded();
    let status = scratch.path(PROGRAM).metadata().expect("look at the program");
    assert_eq!((status.uid(), status.gid(), status.mode() & 0o7777), (0, GROUP_ID, 0o750));
    assert_eq!(capability(&scratch.path(PROGRAM)), "cap_net_raw=ep");
    let status = scratch.path(INSTALLER).metadata().expect("look at the installer");
    assert_eq!((status.uid(), status.gid(), status.mode() & 0o7777), (0, 0, 0o755));
    assert_eq!(capability(&scratch.path(INSTALLER)), "");
}

fn the_static_program_is_owned_by_root_without_capabilities() {
    let folder = with_companion(env!("CARGO_PKG_VERSION"));
    let scratch = Scratch::new();
    let program = folder.path().join("containerdump");
    let install = || scratch.run("install", &["--program", &program.to_string_lossy()]).succeeded();
    assert!(!install().stdout.contains("note: no packets"));
    let status = scratch.path(COMPANION).metadata().expect("look at the companion");
    assert_eq!((status.uid(), status.gid(), status.mode() & 0o7777), (0, 0, 0o755));
    assert_eq!(capability(&scratch.path(COMPANION)), "");
    assert!(install().stdout.contains("unchanged   ") && scratch.path(COMPANION).exists());
    scratch.run("uninstall", &[]).succeeded();
    assert!(!scratch.path(COMPANION).exists());
}

fn a_static_program_of_another_version_is_not_installed() {
    let folder = with_companion("0.0.1");
    let scratch = Scratch::new();
    let program = folder.path().join("containerdump");
    let said = scratch.run("install", &["--program", &program.to_string_lossy()]).succeeded();
    assert!(said.stdout.contains("is not installed: not containerdump"), "{said:#?}");
    assert!(said.stdout.contains("in the source folder of containerdump, run: make install"), "{said:#?}");
    assert!(scratch.path(PROGRAM).exists() && !scratch.path(COMPANION).exists());
}

fn links_lead_to_the_program_and_the_installer_is_outside_the_extcap_folder() {
    let scratch = Scratch::new();
    scratch.install().succeeded();
    assert_eq!(fs::read_link(scratch.path(COMMAND)).expect("a link"), Path::new(INSTALLER));
    let all = everything_below(scratch.folder.path());
    let capture_sources: Vec<&PathBuf> =
        all.iter().filter(|path| path.parent().is_some_and(|it| it.ends_with("extcap"))).collect();
    assert!(!capture_sources.is_empty());
    for path in capture_sources {
        assert_eq!(path.file_name(), Some("containerdump".as_ref()));
        assert_eq!(fs::read_link(path).expect("a link"), Path::new(PROGRAM));
    }
}

fn only_group_members_can_run_the_program() {
    let scratch = Scratch::new();
    scratch.install().succeeded();
    let said = Run::as_nobody(NOBODY, scratch.path(PROGRAM)).run(&["--version"]);
    assert!(said.status == Some(126) && said.stderr.contains("Permission denied"), "{said:#?}");
    Run::as_nobody(GROUP_ID, scratch.path(PROGRAM)).run(&["--version"]).succeeded();
}

fn installing_again_changes_nothing() {
    let scratch = Scratch::new();
    scratch.install().succeeded();
    let before = scratch.path(PROGRAM).metadata().expect("look at the program").ino();
    // Without a group: the previous one is kept.
    let said = scratch.run("install", &[]).succeeded();
    assert!(!said.stdout.contains("copied") && !said.stdout.contains("linked"), "{said:#?}");
    let status = scratch.path(PROGRAM).metadata().expect("look at the program");
    assert_eq!((status.ino(), status.gid()), (before, GROUP_ID));
    assert_eq!(capability(&scratch.path(PROGRAM)), "cap_net_raw=ep");
}

fn installing_again_restores_a_lost_capability() {
    let scratch = Scratch::new();
    scratch.install().succeeded();
    // As by copying or unpacking an archive.
    Run::new(find("setcap").expect("setcap"))
        .run(&["-r".as_ref(), scratch.path(PROGRAM).as_os_str()])
        .succeeded();
    assert_eq!(capability(&scratch.path(PROGRAM)), "");
    // The installed installer is sufficient.
    let installer = scratch.path(INSTALLER);
    Run::new(installer)
        .run(&["install".as_ref(), "--root".as_ref(), scratch.folder.path().as_os_str()])
        .succeeded();
    assert_eq!(capability(&scratch.path(PROGRAM)), "cap_net_raw=ep");
}

fn a_dry_run_changes_nothing() {
    let scratch = Scratch::new();
    let said = scratch.run("install", &["--dry-run"]).succeeded();
    assert!(said.stdout.contains("would copy") && said.stdout.contains("cap_net_raw=ep"), "{said:#?}");
    assert_eq!(everything_below(scratch.folder.path()), Vec::<PathBuf>::new());
    scratch.install().succeeded();
    let before = everything_below(scratch.folder.path());
    assert!(scratch.run("uninstall", &["--dry-run"]).succeeded().stdout.contains("would remove"));
    assert_eq!(everything_below(scratch.folder.path()), before);
}

fn a_symlinked_folder_is_refused() {
    let scratch = Scratch::new();
    let elsewhere = scratch.make_folder("/elsewhere");
    scratch.make_folder("/usr/local");
    symlink(&elsewhere, scratch.path("/usr/local/libexec")).expect("make a link");
    scratch.install().failed_saying("it is a symbolic link");
    assert_eq!(everything_below(&elsewhere), Vec::<PathBuf>::new());
}

fn a_world_writable_folder_is_refused() {
    let scratch = Scratch::new();
    let folder = scratch.make_folder("/usr/local/libexec");
    set_mode(&folder, 0o777);
    scratch.install().failed_saying("can be written to by users other than root");
    set_mode(&folder, 0o755);
    chown(&folder, Some(NOBODY), None).expect("change the owner");
    scratch.install().failed_saying("does not belong to root");
    assert_eq!(everything_below(&folder), Vec::<PathBuf>::new());
}

/// `/usr/local` as Debian has it with its group staff, whose members are `members`.
fn install_below_staff(members: &str) -> (Scratch, super::fixtures::Said) {
    const STAFF: u32 = 50;
    let scratch = Scratch::new();
    for path in ["/usr/local", "/usr/local/bin", "/usr/local/libexec"] {
        let folder = scratch.make_folder(path);
        chown(&folder, Some(0), Some(STAFF)).expect("change the group");
        set_mode(&folder, 0o2775);
    }
    let groups = scratch.path("/groups");
    fs::write(&groups, format!("root:x:0:\ndaemon:x:{GROUP_ID}:\nstaff:x:{STAFF}:{members}\n"))
        .expect("groups");
    let script = "mount --bind \"$GROUPS_FILE\" /etc/group && exec \"$INSTALLER\" install --group daemon --root \"$ROOT\"";
    let said = Run::new("unshare")
        .env("GROUPS_FILE", &groups)
        .env("ROOT", scratch.folder.path())
        .env("INSTALLER", built("containerdump-install"))
        .run(&["--mount", "sh", "-c", script]);
    (scratch, said)
}

fn a_folder_writable_for_an_empty_group_is_accepted() {
    // turnkeylinux/tracker#1440: /usr/local of root:staff with mode 2775, as Debian makes it.
    let (scratch, said) = install_below_staff("");
    said.succeeded();
    for path in [PROGRAM, INSTALLER] {
        let above = scratch.path(path).parent().expect("a folder").metadata().expect("look at it");
        assert_eq!((above.uid(), above.mode() & 0o7022), (0, 0), "members of staff could replace {path}");
    }
}

fn a_folder_writable_for_group_members_is_refused() {
    // turnkeylinux/tracker#1440: the remedy has to fit.
    let (scratch, said) = install_below_staff("root,nobody");
    let said = said.failed_saying("can be written to by group staff, of which nobody is a member");
    let place = scratch.path("/usr/local");
    let remedy =
        format!("Remedy: sudo chmod g-w {}, or: sudo gpasswd --delete nobody staff;", place.display());
    assert!(said.stderr.contains(&remedy), "{said:#?}");
    assert!(!scratch.path(PROGRAM).exists());
}

fn a_link_of_an_earlier_version_is_replaced() {
    let scratch = Scratch::new();
    scratch.install().succeeded();
    // A link of an earlier version.
    let record = scratch.path("/usr/local/libexec/containerdump/installed.json");
    let text = fs::read_to_string(&record).expect("the record");
    fs::write(
        &record,
        text.replace(&format!("\"target\": \"{INSTALLER}\""), &format!("\"target\": \"{PROGRAM}\"")),
    )
    .expect("write the record");
    fs::remove_file(scratch.path(COMMAND)).expect("remove a link");
    symlink(PROGRAM, scratch.path(COMMAND)).expect("make a link");
    scratch.install().succeeded();
    assert_eq!(fs::read_link(scratch.path(COMMAND)).expect("a link"), Path::new(INSTALLER));
    scratch.run("uninstall", &[]).succeeded();
    assert_eq!(everything_below(scratch.folder.path()), Vec::<PathBuf>::new());
}

fn a_symlink_in_place_of_the_program_is_refused() {
    let scratch = Scratch::new();
    let target = scratch.make_folder("/elsewhere").join("target");
    fs::write(&target, "theirs").expect("write a file");
    scratch.make_folder("/usr/local/libexec/containerdump");
    symlink(&target, scratch.path(PROGRAM)).expect("make a link");
    scratch.install().failed_saying("exists, and was not created by this installer");
    assert_eq!(fs::read(&target).expect("read it"), b"theirs");
}

fn a_symlink_in_place_of_the_temporary_file_is_not_followed() {
    let scratch = Scratch::new();
    let target = scratch.make_folder("/elsewhere").join("target");
    fs::write(&target, "theirs").expect("write a file");
    let folder = scratch.make_folder("/usr/local/libexec/containerdump");
    symlink(&target, folder.join(".containerdump.new")).expect("make a link");
    scratch.install().succeeded();
    assert_eq!(fs::read(&target).expect("read it"), b"theirs");
    assert!(!scratch.path(PROGRAM).is_symlink());
}

fn a_foreign_file_is_refused_and_nothing_is_installed() {
    for path in [PROGRAM, INSTALLER, COMMAND] {
        let scratch = Scratch::new();
        scratch.make_folder("/usr/local/libexec/containerdump");
        scratch.make_folder("/usr/local/bin");
        fs::write(scratch.path(path), "theirs").expect("write a file");
        let before = everything_below(scratch.folder.path());
        scratch.install().failed_saying("was not created by this installer");
        assert_eq!(everything_below(scratch.folder.path()), before);
        assert_eq!(fs::read(scratch.path(path)).expect("read it"), b"theirs");
    }
}

fn a_foreign_link_is_refused() {
    let scratch = Scratch::new();
    scratch.make_folder("/usr/local/bin");
    symlink("/opt/other/containerdump", scratch.path(COMMAND)).expect("make a link");
    scratch.install().failed_saying("exists, and was not created by this installer");
    assert_eq!(fs::read_link(scratch.path(COMMAND)).expect("a link"), Path::new("/opt/other/containerdump"));
}

fn a_script_is_refused() {
    let scratch = Scratch::new();
    let script = scratch.path("/script");
    fs::write(&script, "#!/bin/sh\n").expect("write a file");
    let script = script.to_string_lossy().into_owned();
    scratch.run("install", &["--program", &script]).failed_saying("not a program for this system");
}

/// A group with a member that is not root.
const DAEMON: u32 = 1;

fn a_program_that_other_users_can_change_is_refused() {
    let (scratch, folder) = (Scratch::new(), open_folder());
    let programs = ["containerdump", "containerdump-install"].map(|name| {
        let copy = folder.path().join(name);
        fs::copy(built(name), &copy).expect("copy a program");
        copy
    });
    let [program, installer] = &programs;
    let install = |installer: &Path, sudo_uid: &str| {
        let run = Run::new(installer).env("SUDO_UID", sudo_uid).env("SUDO_GID", sudo_uid);
        let place = scratch.folder.path().as_os_str();
        run.run(&["install".as_ref(), "--program".as_ref(), program.as_os_str(), "--root".as_ref(), place])
    };
    let refused = |said: super::fixtures::Said, owner: &str| {
        let said = said.failed_saying("users other than root and you can change it");
        assert!(said.stderr.contains(owner), "{said:#?}");
        assert_eq!(everything_below(scratch.folder.path()), Vec::<PathBuf>::new());
    };
    for (mode, group) in [(0o777, 0), (0o775, DAEMON)] {
        for changed in &programs {
            chown(changed, None, Some(group)).expect("change the group");
            set_mode(changed, mode);
            refused(install(installer, "0"), &format!("(owner root, mode {mode:04o})"));
            set_mode(changed, 0o755);
        }
    }
    // The group of the owner alone, as where each user has a group and umask is 002.
    chown(program, None, Some(0)).expect("change the group");
    set_mode(program, 0o775);
    install(installer, "0").succeeded();
    scratch.run("uninstall", &[]).succeeded();
    set_mode(program, 0o755);
    chown(program, Some(NOBODY), None).expect("change the owner");
    refused(install(installer, "0"), "(owner nobody, mode 0755)");
    refused(install(installer, "1"), "(owner nobody, mode 0755)");
    // The user who called sudo, or whose installer root runs, is trusted.
    install(installer, &NOBODY.to_string()).succeeded();
    chown(installer, Some(NOBODY), None).expect("change the owner");
    install(installer, "0").succeeded();
}

fn an_unknown_group_is_refused() {
    let scratch = Scratch::new();
    scratch.run("install", &["--group", "no-such-group"]).failed_saying("there is no such group");
    assert_eq!(everything_below(scratch.folder.path()), Vec::<PathBuf>::new());
}

fn uninstall_removes_everything_install_created() {
    let scratch = Scratch::new();
    scratch.install().succeeded();
    scratch.run("uninstall", &[]).succeeded();
    assert_eq!(everything_below(scratch.folder.path()), Vec::<PathBuf>::new());
    assert!(scratch.run("uninstall", &[]).succeeded().stdout.contains("Nothing to remove"));
}

fn uninstall_keeps_foreign_files() {
    let scratch = Scratch::new();
    scratch.install().succeeded();
    let beside = scratch.path("/usr/local/libexec/containerdump/notes");
    fs::write(&beside, "theirs").expect("write a file");
    fs::write(scratch.path(INSTALLER), "replaced").expect("write a file");
    fs::remove_file(scratch.path(COMMAND)).expect("remove a link");
    symlink("/opt/other/containerdump", scratch.path(COMMAND)).expect("make a link");
    let said = scratch.run("uninstall", &[]).succeeded();
    assert_eq!(said.stdout.matches("changed, or not created by install").count(), 2, "{said:#?}");
    assert!(beside.exists() && scratch.path(COMMAND).is_symlink());
    assert_eq!(fs::read(scratch.path(INSTALLER)).expect("read it"), b"replaced");
    assert!(!scratch.path(PROGRAM).exists());
}

fn a_partly_failed_uninstall_can_be_repeated() {
    let scratch = Scratch::new();
    scratch.install().succeeded();
    set_mode(&scratch.path("/usr/local/bin"), 0o777);
    scratch.run("uninstall", &[]).failed_saying("can be written to by users other than root");
    assert!(!scratch.path(PROGRAM).exists() && scratch.path(COMMAND).is_symlink());
    set_mode(&scratch.path("/usr/local/bin"), 0o755);
    scratch.run("uninstall", &[]).succeeded();
    assert_eq!(everything_below(scratch.folder.path()), Vec::<PathBuf>::new());
}

/// Installs into a private mount.
fn install_on(mount: &[&str]) -> super::fixtures::Said {
    let scratch = Scratch::new();
    let script =
        "mount \"$@\" none \"$ROOT\" && chmod 755 \"$ROOT\" && exec \"$INSTALLER\" install --root \"$ROOT\"";
    let mut arguments = vec!["--mount", "sh", "-c", script, "sh"];
    arguments.extend(mount);
    Run::new("unshare")
        .env("ROOT", scratch.folder.path())
        .env("INSTALLER", built("containerdump-install"))
        .run(&arguments)
}

fn a_nosuid_file_system_is_refused() {
    install_on(&["-t", "tmpfs", "-o", "nosuid"]).failed_saying("mounted nosuid");
    install_on(&["-t", "tmpfs", "-o", "noexec"]).failed_saying("mounted noexec");
}

fn a_file_system_without_capabilities_is_refused() {
    let said = install_on(&["-t", "ramfs"]).failed_saying("right to capture");
    assert!(said.stderr.contains("cannot store capabilities"), "{said:#?}");
}
