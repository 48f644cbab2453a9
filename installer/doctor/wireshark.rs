//! Is there a Wireshark, of a version that works, and do its folders exist?

use std::path::Path;

use nix::unistd::geteuid;

use containerdump::error::Error;

use super::report::Report;
use crate::command::Environment;
use crate::folders::Version;
use crate::layout::shown;
use crate::places::Wireshark;

const CHECK: &str = "wireshark";
const FOLDERS: &str = "folders";

/// Looks for Wireshark and for the folders it looks in.
pub(super) fn check(report: &mut Report) -> Wireshark {
    let wireshark = Wireshark::ask(Environment::OfUser);
    for trouble in &wireshark.troubles {
        report.failed(CHECK, trouble);
    }
    match wireshark.version {
        Some(version) => check_version(report, version, wireshark.tshark.as_deref()),
        None => report.failed(
            CHECK,
            &Error::new(
                "neither tshark nor dumpcap was found, so there is no Wireshark",
                "install it: sudo apt install wireshark tshark (Debian, Ubuntu), sudo dnf install wireshark (Fedora)",
            ),
        ),
    }
    if wireshark.version.is_some() {
        check_folders(report, &wireshark);
    }
    wireshark
}

fn check_version(report: &mut Report, version: Version, tshark: Option<&Path>) {
    let place =
        tshark.map_or_else(|| "without tshark".to_owned(), |tshark| format!("tshark is {}", shown(tshark)));
    let found = format!("Wireshark {version}, {place}");
    if version == Version(4, 4, 0) {
        let what =
            format!("{found}: it ignores saved options of capture sources, and may look in another folder");
        report.warning(CHECK, &Error::new(what, "update Wireshark to 4.4.1 or later"));
    } else if version < Version(4, 0, 0) {
        let what = format!("{found}: containerdump is made for 4.0 and later");
        report.warning(CHECK, &Error::new(what, "update Wireshark"));
    } else {
        report.ok(CHECK, found);
    }
}

fn check_folders(report: &mut Report, wireshark: &Wireshark) {
    if std::env::var_os("WIRESHARK_EXTCAP_DIR").is_some() && !geteuid().is_root() {
        report.warning(
            FOLDERS,
            &Error::new(
                "WIRESHARK_EXTCAP_DIR is set: Wireshark looks there instead of in its global folder",
                "unset WIRESHARK_EXTCAP_DIR where you start Wireshark",
            ),
        );
    }
    if wireshark.global.is_empty() {
        report.failed(
            FOLDERS,
            &Error::new(
                "Wireshark's global extcap folder was not found",
                "install tshark, which tells where it is: sudo apt install tshark",
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
            "cannot open global extcap folder {}: {error}. Without it Wireshark starts no capture source at all, \
             personal ones neither",
            shown(folder)
        ),
        format!("sudo mkdir -p {0} && sudo chmod 755 {0}", shown(folder)),
    )
}
