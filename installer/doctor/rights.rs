//! Whether this user can capture with the program that Wireshark starts.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{AccessFlags, access, geteuid};

use containerdump::error::Error;

use super::report::DoctorReport;
use crate::capability::{self, FileCapability};
use crate::layout::{self, shown};
use crate::membership;

const KERNEL: &str = "kernel";
const RIGHT: &str = "right";
/// `CAP_NET_RAW`, as a bit of the sets in `/proc/PID/status`.
const NET_RAW: u64 = 1 << 13;

/// Checks the kernel, this process and the program.
pub(super) fn check(report: &mut DoctorReport, started: Option<&Path>) {
    check_kernel(report);
    check_process(report);
    let Some(program) = started else { return };
    if access(program, AccessFlags::X_OK).is_err() {
        return report.failed(RIGHT, &membership::not_executable(program));
    }
    if geteuid().is_root() {
        report.ok(RIGHT, "root can run it and capture; to check another user, run doctor as that user");
    } else {
        report.ok(RIGHT, "this user can run it");
    }
    let Ok(program) = program.canonicalize() else {
        return;
    };
    if program == Path::new(layout::PROGRAM) {
        check_installed(report, &program);
    } else if !geteuid().is_root() {
        check_copy(report, &program);
    }
}

fn check_kernel(report: &mut DoctorReport) {
    if Path::new("/proc/net/packet").exists() {
        return report.ok(KERNEL, "packet sockets are available");
    }
    let what = "packet sockets, which captures need, are not available";
    report.failed(KERNEL, &Error::new(what, "load the module: sudo modprobe af_packet"));
}

/// A program gets no capability that is missing from the bounding set of its parent.
fn check_process(report: &mut DoctorReport) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let bounding = field("CapBnd:").and_then(|set| u64::from_str_radix(set, 16).ok());
    if bounding.is_some_and(|set| set & NET_RAW == 0) {
        let what = "CAP_NET_RAW is not in the capability bounding set here (as in a container), so no program can capture";
        report.failed(
            RIGHT,
            &Error::new(what, "run Wireshark outside the container, or start it with --cap-add NET_RAW"),
        );
    }
    if field("NoNewPrivs:") == Some("1") {
        let what = "no_new_privs is set here: file capabilities have no effect";
        report.failed(
            RIGHT,
            &Error::new(what, "start Wireshark from a regular login session, outside this sandbox"),
        );
    }
}

fn check_installed(report: &mut DoctorReport, program: &Path) {
    if let Some(folder) = program.parent()
        && let Err(error) = capability::ensure_usable_file_system(folder)
    {
        report.failed(RIGHT, &error);
    }
    match capability::file_capability(program) {
        Ok(FileCapability::Capture) => {
            report.ok(RIGHT, format!("{} has cap_net_raw=ep", shown(program)));
        }
        Ok(FileCapability::None) => {
            let what = format!(
                "{} does not have the capability cap_net_raw=ep (copying a file removes it)",
                shown(program)
            );
            report.failed(RIGHT, &Error::new(what, layout::install_again()));
        }
        Ok(FileCapability::Other(other)) => {
            let what = format!("{} has {other}, but should have cap_net_raw=ep only", shown(program));
            report.failed(RIGHT, &Error::new(what, layout::install_again()));
        }
        Err(error) => report.warning(RIGHT, &error),
    }
    if let Ok(status) = program.metadata()
        && (status.mode() & 0o027 != 0 || status.uid() != 0)
    {
        let what = format!(
            "{} should belong to root with mode 0750, but has mode {:04o} and owner {}: users outside its group could use or change it",
            shown(program),
            status.mode() & 0o7777,
            status.uid()
        );
        report.failed(RIGHT, &Error::new(what, layout::install_again()));
    }
}

fn check_copy(report: &mut DoctorReport, program: &Path) {
    match capability::file_capability(program) {
        Ok(FileCapability::None) => {
            let what = format!(
                "{} lists containers but has no right to capture on this host's interfaces: only an installation by \
                 root has",
                shown(program)
            );
            let remedy = format!("{} uninstall --user; then {}", layout::command(), layout::install_again());
            report.warning(RIGHT, &Error::new(what, remedy));
        }
        Ok(_) => {
            let what = format!(
                "{} has file capabilities, but is in a folder that others than root can change",
                shown(program)
            );
            report.failed(
                RIGHT,
                &Error::new(
                    what,
                    format!("sudo setcap -r {}; {}", layout::shell_word(program), layout::install_again()),
                ),
            );
        }
        Err(error) => report.warning(RIGHT, &error),
    }
}
