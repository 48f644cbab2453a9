//! Whether this user can run dumpcap: Wireshark reads every capture through it, including those of extcap
//! programs.

use nix::unistd::{AccessFlags, access};

use containerdump::error::Error;

use super::report::DoctorReport;
use crate::command;
use crate::layout::shown;
use crate::membership;
use crate::wireshark::Wireshark;

const CHECK: &str = "dumpcap";

/// Checks that dumpcap exists and is executable.
pub(super) fn check(report: &mut DoctorReport, wireshark: &Wireshark) {
    let beside = wireshark.program.as_ref().map(|folder| folder.join("dumpcap")).filter(|path| path.exists());
    let Some(dumpcap) = beside.or_else(|| command::find("dumpcap")) else {
        let remedy = "install it: sudo apt install wireshark-common (Debian, Ubuntu), sudo dnf install wireshark-cli (Fedora)";
        return report.failed(
            CHECK,
            &Error::new("dumpcap was not found; Wireshark cannot capture without it", remedy),
        );
    };
    if access(&dumpcap, AccessFlags::X_OK).is_ok() {
        return report.ok(CHECK, format!("{} can be run by this user", shown(&dumpcap)));
    }
    report.failed(CHECK, &membership::not_executable(&dumpcap));
}
