//! May this user capture with the program Wireshark starts?

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{AccessFlags, access, geteuid};

use containerdump::error::Error;

use super::report::Report;
use crate::layout::{self, shown};
use crate::membership;
use crate::program::{self, Carried};

const KERNEL: &str = "kernel";
const RIGHT: &str = "right";
/// `CAP_NET_RAW`, as a bit of the sets in `/proc/PID/status`.
const NET_RAW: u64 = 1 << 13;

/// Looks at the kernel, at this process and at the program.
pub(super) fn check(report: &mut Report, started: Option<&Path>) {
    check_kernel(report);
    check_process(report);
    let Some(program) = started else { return };
    if access(program, AccessFlags::X_OK).is_err() {
        return report.failed(RIGHT, &membership::not_executable(program));
    }
    if geteuid().is_root() {
        report.ok(
            RIGHT,
            "root may run it and capture; run doctor as the user who starts Wireshark to check theirs",
        );
    } else {
        report.ok(RIGHT, "this user may run it");
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

fn check_kernel(report: &mut Report) {
    if Path::new("/proc/net/packet").exists() {
        return report.ok(KERNEL, "has packet sockets");
    }
    let what = "this kernel has no packet sockets, through which packets are captured";
    report.failed(KERNEL, &Error::new(what, "load them: sudo modprobe af_packet"));
}

/// No program started from here gets a right that is cut off for the process itself.
fn check_process(report: &mut Report) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let bounding = field("CapBnd:").and_then(|set| u64::from_str_radix(set, 16).ok());
    if bounding.is_some_and(|set| set & NET_RAW == 0) {
        let what = "CAP_NET_RAW is cut off for everything started here (as inside a container), so nothing can capture";
        report.failed(
            RIGHT,
            &Error::new(what, "run Wireshark outside, or start the container with --cap-add NET_RAW"),
        );
    }
    if field("NoNewPrivs:") == Some("1") {
        let what = "no_new_privs is set here: a program gets none of the rights its file carries";
        report
            .failed(RIGHT, &Error::new(what, "start Wireshark from an ordinary login, outside this sandbox"));
    }
}

fn check_installed(report: &mut Report, program: &Path) {
    if let Some(folder) = program.parent()
        && let Err(trouble) = program::ensure_usable_file_system(folder)
    {
        report.failed(RIGHT, &trouble);
    }
    match program::carried(program) {
        Ok(Carried::Capture) => {
            report.ok(RIGHT, format!("{} carries cap_net_raw=ep", shown(program)));
        }
        Ok(Carried::Nothing) => {
            let what = format!("{} does not carry the right to capture: a copy loses it", shown(program));
            report.failed(RIGHT, &Error::new(what, layout::install_again()));
        }
        Ok(Carried::Other(other)) => {
            let what =
                format!("{} carries {other}; it needs cap_net_raw=ep and nothing else", shown(program));
            report.failed(RIGHT, &Error::new(what, layout::install_again()));
        }
        Err(trouble) => report.warning(RIGHT, &trouble),
    }
    if let Ok(status) = program.metadata()
        && (status.mode() & 0o027 != 0 || status.uid() != 0)
    {
        let what = format!(
            "{} should be root's and 0750, but is {:04o} of user {}: more people than its group can use or change it",
            shown(program),
            status.mode() & 0o7777,
            status.uid()
        );
        report.failed(RIGHT, &Error::new(what, layout::install_again()));
    }
}

fn check_copy(report: &mut Report, program: &Path) {
    match program::carried(program) {
        Ok(Carried::Nothing) => {
            let what = format!(
                "{} lists containers but has no right to capture on this host's interfaces: only what root \
                 installs has",
                shown(program)
            );
            let remedy = format!("{} uninstall --user; then {}", layout::command(), layout::install_again());
            report.warning(RIGHT, &Error::new(what, remedy));
        }
        Ok(_) => {
            let what =
                format!("{} carries rights, though it is not where only root can change it", shown(program));
            report.failed(
                RIGHT,
                &Error::new(
                    what,
                    format!("sudo setcap -r {}; {}", layout::word(program), layout::install_again()),
                ),
            );
        }
        Err(trouble) => report.warning(RIGHT, &trouble),
    }
}
