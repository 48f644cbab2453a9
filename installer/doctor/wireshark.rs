//! Whether Wireshark is installed in a supported version, and its folders exist.

use std::path::Path;

use nix::unistd::geteuid;

use containerdump::error::Error;

use super::report::DoctorReport;
use crate::command::Environment;
use crate::folders::WiresharkVersion;
use crate::layout::shown;
use crate::wireshark::Wireshark;

const CHECK: &str = "wireshark";
const FOLDERS: &str = "folders";

/// Checks Wireshark and its folders.
pub(super) fn check(report: &mut DoctorReport) -> Wireshark {
    let wireshark = Wireshark::detect(Environment::User);
    for error in &wireshark.errors {
        report.failed(CHECK, error);
    }
    match wireshark.version {
        Some(version) => check_version(report, version, wireshark.tshark.as_deref()),
        None => report.failed(
            CHECK,
            &Error::new(
                "Wireshark is not installed: neither tshark nor dumpcap was found",
                "install it: sudo apt install wireshark tshark (Debian, Ubuntu), sudo dnf install wireshark (Fedora)",
            ),
        ),
    }
    if wireshark.version.is_some() {
        check_folders(report, &wireshark);
    }
    wireshark
}

fn check_version(report: &mut DoctorReport, version: WiresharkVersion, tshark: Option<&Path>) {
    let place =
        tshark.map_or_else(|| "without tshark".to_owned(), |tshark| format!("tshark is {}", shown(tshark)));
    let found = format!("Wireshark {version}, {place}");
    if version == WiresharkVersion(4, 4, 0) {
        let what = format!("{found}: this version ignores saved extcap options and may use another folder");
        report.warning(CHECK, &Error::new(what, "update Wireshark to 4.4.1 or later"));
    } else if version < WiresharkVersion(4, 0, 0) {
        let what = format!("{found}: containerdump supports 4.0 and later");
        report.warning(CHECK, &Error::new(what, "update Wireshark"));
    } else {
        report.ok(CHECK, found);
    }
}

fn check_folders(report: &mut DoctorReport, wireshark: &Wireshark) {
    if std::env::var_os("WIRESHARK_EXTCAP_DIR").is_some() && !geteuid().is_root() {
        report.warning(
            FOLDERS,
            &Error::new(
                "WIRESHARK_EXTCAP_DIR is set and replaces Wireshark's global extcap folder",
                "unset WIRESHARK_EXTCAP_DIR where you start Wireshark",
            ),
        );
    }
    if wireshark.global.is_empty() {
        report.failed(
            FOLDERS,
            &Error::new(
                "Wireshark's global extcap folder was not found",
                "install tshark, which reports it: sudo apt install tshark",
            ),
        );
    }
    for folder in &wireshark.global {
        match std::fs::read_dir(folder) {
            Ok(_) => report.ok(FOLDERS, format!("global extcap folder {}", shown(folder))),
            Err(error) => report.failed(FOLDERS, &missing(folder, &error)),
        }
    }
    if let Some(folder) = wireshark.personal.as_deref().filter(|folder| folder.is_dir()) {
        let ignored = if geteuid().is_root() { " (ignored when Wireshark runs as root)" } else { "" };
        report.ok(FOLDERS, format!("personal extcap folder {}{ignored}", shown(folder)));
    }
}

fn missing(folder: &Path, error: &std::io::Error) -> Error {
    Error::new(
        format!(
            "cannot open global extcap folder {}: {error}. Without it, Wireshark starts no extcap program at all, \
             including personal ones",
            shown(folder)
        ),
        format!("sudo mkdir -p {0} && sudo chmod 755 {0}", shown(folder)),
    )
}
