//! `doctor` with faulty installations: each line that is not ok has a remedy.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use serde_json::Value;

use super::fixtures::{
    COMMAND, GROUP, GROUP_ID, NOBODY, Need, PROGRAM, Run, Said, Scratch, built, find, set_mode, trial,
};

pub(crate) fn trials() -> Vec<Trial> {
    let needs = &[Need::Root, Need::Tshark];
    vec![
        trial!(doctor_names_the_remedy_if_no_engine_responds, needs),
        trial!(doctor_names_the_remedy_if_the_engine_refuses, needs),
        trial!(doctor_detects_a_missing_global_folder, needs),
        trial!(doctor_reports_users_outside_the_group, needs),
        trial!(doctor_reports_users_who_must_log_in_again, needs),
        trial!(doctor_accepts_a_group_member, needs),
        trial!(doctor_detects_a_lost_capability_and_a_mode_too_wide, needs),
        trial!(doctor_detects_a_personal_copy_that_hides_the_program, needs),
        trial!(doctor_prints_a_plain_table_when_piped, needs),
        trial!(doctor_runs_for_users_without_permission_to_run_the_program, needs),
        trial!(every_command_reports_a_user_outside_the_capture_group, needs),
    ]
}

/// A scratch root with the program, and a folder that Wireshark takes for its global extcap folder.
struct DoctorRun {
    scratch: Scratch,
    home: PathBuf,
    extcap: PathBuf,
}

impl DoctorRun {
    fn new() -> Self {
        let scratch = Scratch::new();
        let (home, extcap) = (scratch.make_folder("/home"), scratch.make_folder("/extcap"));
        Self { scratch, home, extcap }
    }

    fn installed() -> Self {
        let ward = Self::new();
        ward.scratch.install().succeeded();
        symlink(ward.scratch.path(PROGRAM), ward.extcap.join("containerdump")).expect("make a link");
        ward
    }

    fn installer(&self, group: u32) -> Run {
        Run::as_nobody(group, built("containerdump-install"))
            .env("HOME", &self.home)
            // This machine may have a Podman and network namespaces.
            .env("CONTAINERDUMP_ENGINES", "docker")
            .env("WIRESHARK_EXTCAP_DIR", &self.extcap)
    }

    fn doctor(&self, group: u32) -> DoctorReport {
        DoctorReport::parse(&self.installer(group).run(&["doctor", "--json"]))
    }
}

/// The JSON output of doctor.
struct DoctorReport(Vec<Value>);

impl DoctorReport {
    /// Reads it, and asserts what holds for every output.
    fn parse(said: &Said) -> Self {
        let answer: Value =
            serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:#?}"));
        let checks = answer["checks"].as_array().expect("a list of checks").clone();
        let mut failed = 0;
        for check in &checks {
            let remedy = check["remedy"].as_str().unwrap_or("");
            assert_runnable(remedy);
            match check["state"].as_str() {
                Some("ok") => {}
                Some("warning") => assert!(!remedy.is_empty(), "no remedy: {check}"),
                Some("failed") => {
                    failed += 1;
                    assert!(!remedy.is_empty(), "no remedy: {check}");
                }
                _ => panic!("no state: {check}"),
            }
        }
        assert_eq!(answer["failed"], failed);
        assert_eq!(said.status, Some(i32::from(failed > 0)), "{said:#?}");
        Self(checks)
    }

    #[track_caller]
    fn has(&self, check: &str, state: &str, found: &str) {
        let is = |entry: &Value| {
            entry["check"] == check
                && entry["state"] == state
                && entry["found"].as_str().is_some_and(|it| it.contains(found))
        };
        assert!(self.0.iter().any(is), "no {check} {state} {found:?} in {:#?}", self.0);
    }
}

/// Asserts that programs in remedies with sudo exist at their paths.
fn assert_runnable(remedy: &str) {
    // Of Fedora beside Debian's, and of systemd.
    let of_others = ["dnf", "systemctl", "modprobe"];
    for after in remedy.split("sudo ").skip(1) {
        let program = after.split([' ', ';', ',', ')']).next().unwrap_or("").trim_matches('\'');
        // The command is visible only to doctor.
        let is_installed = program == COMMAND || program.starts_with('/') && Path::new(program).exists();
        let exists = is_installed || find(program).is_some();
        assert!(exists || of_others.contains(&program), "there is no {program:?} to run: {remedy}");
    }
}

fn doctor_names_the_remedy_if_no_engine_responds() {
    let checks = DoctorRun::new().doctor(NOBODY);
    checks.has("engine", "failed", "/nonexistent.sock");
    checks.has("program", "failed", "in none of Wireshark");
    checks.has("wireshark", "ok", "Wireshark ");
}

fn doctor_names_the_remedy_if_the_engine_refuses() {
    let ward = DoctorRun::new();
    let socket = ward.scratch.path("/engine.sock");
    let _listener = UnixListener::bind(&socket).expect("listen");
    set_mode(&socket, 0o000);
    let endpoint = format!("unix://{}", socket.display());
    let checks =
        DoctorReport::parse(&ward.installer(NOBODY).env("DOCKER_HOST", endpoint).run(&["doctor", "--json"]));
    checks.has("engine", "failed", "engine.sock: its mode is 0000");
}

fn doctor_detects_a_missing_global_folder() {
    let ward = DoctorRun::new();
    fs::remove_dir(&ward.extcap).expect("remove a folder");
    ward.doctor(NOBODY).has("folders", "failed", "Wireshark starts no extcap program at all");
}

fn doctor_reports_users_outside_the_group() {
    let checks = DoctorRun::installed().doctor(NOBODY);
    checks.has("right", "failed", &format!("only members of group {GROUP} may"));
}

fn doctor_reports_users_who_must_log_in_again() {
    let ward = DoctorRun::installed();
    // An own /etc/group, visible to this process only.
    let groups = fs::read_to_string("/etc/group").expect("read the groups");
    let changed: String = groups
        .lines()
        .map(|line| match line.split_once(':') {
            Some((GROUP, _)) => format!("{GROUP}:x:{GROUP_ID}:nobody\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let file = ward.scratch.path("/group");
    fs::write(&file, changed).expect("write the groups");
    let script = "mount --bind \"$GROUPS_FILE\" /etc/group && exec setpriv --reuid=65534 --regid=65534 \
                  --clear-groups env \"$INSTALLER\" doctor --json";
    let said = Run::new("unshare")
        .env("GROUPS_FILE", &file)
        .env("INSTALLER", built("containerdump-install"))
        .env("HOME", &ward.home)
        .env("WIRESHARK_EXTCAP_DIR", &ward.extcap)
        .run(&["--mount", "sh", "-c", script]);
    DoctorReport::parse(&said).has("right", "failed", "this login session began before that");
}

fn doctor_accepts_a_group_member() {
    let checks = DoctorRun::installed().doctor(GROUP_ID);
    checks.has("right", "ok", "this user can run it");
    checks.has("program", "ok", "its version is");
    checks.has("kernel", "ok", "packet sockets");
    checks.has("dumpcap", "ok", "can be run by this user");
}

fn doctor_detects_a_lost_capability_and_a_mode_too_wide() {
    let ward = DoctorRun::installed();
    let program = ward.scratch.path(PROGRAM);
    let said = in_place_of_the_installed(&ward, "true");
    DoctorReport::parse(&said).has("right", "ok", "has cap_net_raw=ep");
    let said = in_place_of_the_installed(&ward, "setcap -r \"$FOLDER/containerdump\"");
    DoctorReport::parse(&said).has("right", "failed", "does not have the capability");
    let said =
        in_place_of_the_installed(&ward, "setcap cap_net_raw,cap_net_admin=ep \"$FOLDER/containerdump\"");
    DoctorReport::parse(&said).has("right", "failed", "should have cap_net_raw=ep only");
    set_mode(&program, 0o755);
    let said = in_place_of_the_installed(&ward, "setcap cap_net_raw=ep \"$FOLDER/containerdump\"");
    DoctorReport::parse(&said).has("right", "failed", "0755");
}

/// Runs doctor with the scratch root mounted over the real paths.
fn in_place_of_the_installed(ward: &DoctorRun, change: &str) -> Said {
    let folder = Path::new(PROGRAM).parent().expect("a folder");
    let link = ward.extcap.join("containerdump");
    fs::remove_file(&link).expect("remove a link");
    symlink(PROGRAM, &link).expect("make a link");
    let script = format!(
        "{change} && mount -t tmpfs -o mode=755 none /usr/local && mkdir -p {0} && mount --bind \"$FOLDER\" {0} && \
         exec setpriv --reuid={NOBODY} --regid={GROUP_ID} --clear-groups env \"$INSTALLER\" doctor --json",
        folder.display()
    );
    Run::new("unshare")
        .env("FOLDER", ward.scratch.path(&folder.to_string_lossy()))
        .env("INSTALLER", built("containerdump-install"))
        .env("HOME", &ward.home)
        .env("WIRESHARK_EXTCAP_DIR", &ward.extcap)
        .run(&["--mount", "sh", "-c", &script])
}

/// Runs `command` with the scratch root mounted, as a user in `group` only.
fn with_the_command(group: u32, command: &str) -> Said {
    let ward = DoctorRun::installed();
    let folder = Path::new(PROGRAM).parent().expect("a folder");
    let script = format!(
        "mount -t tmpfs -o mode=755 none /usr/local && mkdir -p {0} /usr/local/bin && mount --bind \"$FOLDER\" {0} && \
         ln -s \"$(readlink \"$LINK\")\" {COMMAND} && \
         exec setpriv --reuid={NOBODY} --regid={group} --clear-groups env {command}",
        folder.display()
    );
    Run::new("unshare")
        .env("FOLDER", ward.scratch.path(&folder.to_string_lossy()))
        .env("LINK", ward.scratch.path(COMMAND))
        .env("HOME", &ward.home)
        .env("WIRESHARK_EXTCAP_DIR", &ward.extcap)
        .run(&["--mount", "sh", "-c", &script])
}

fn doctor_runs_for_users_without_permission_to_run_the_program() {
    // The symptom: containerdump-install lay in /usr/local/sbin, which is not in the PATH of users.
    for group in [NOBODY, GROUP_ID] {
        let said = with_the_command(group, "containerdump doctor --json");
        DoctorReport::parse(&said).has("wireshark", "ok", "Wireshark ");
        // doctor and its dumpcap must keep the capabilities that the program drops.
        assert!(!said.stdout.contains("no_new_privs"), "{said:#?}");
    }
}

fn every_command_reports_a_user_outside_the_capture_group() {
    // The symptom: "/usr/local/bin/containerdump: Permission denied" and no more.
    let said = with_the_command(NOBODY, "containerdump list");
    said.failed_saying(&format!("only members of group {GROUP} may, and user nobody is not one"));
    let said = with_the_command(GROUP_ID, "containerdump --version").succeeded();
    assert_eq!(said.stdout.trim(), concat!("containerdump ", env!("CARGO_PKG_VERSION")));
}

fn doctor_detects_a_personal_copy_that_hides_the_program() {
    let ward = DoctorRun::installed();
    std::os::unix::fs::chown(&ward.home, Some(NOBODY), None).expect("give the home to its user");
    ward.installer(NOBODY).run(&["install", "--user"]).succeeded();
    ward.doctor(GROUP_ID).has("program", "failed", "hides");
}

fn doctor_prints_a_plain_table_when_piped() {
    let said = DoctorRun::new().installer(NOBODY).run(&["doctor"]);
    assert_eq!(said.status, Some(1));
    assert!(!said.stdout.contains('\u{1b}'), "{said:#?}");
    let lines: Vec<&str> = said.stdout.lines().collect();
    for (line, next) in lines.iter().zip(lines.iter().skip(1)) {
        if line.starts_with("failed ") || line.starts_with("warning ") {
            assert!(next.trim_start().starts_with("remedy: "), "no remedy after {line:?}");
        }
    }
    assert!(lines.last().is_some_and(|line| line.contains("failed")), "{said:#?}");
}
