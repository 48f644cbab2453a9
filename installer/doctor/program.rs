//! Which containerdump Wireshark starts, whether it is the only one, and its version.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{AccessFlags, access, geteuid};

use containerdump::error::Error;

use super::report::DoctorReport;
use crate::command::{self, Environment};
use crate::layout::{self, shown};
use crate::wireshark::Wireshark;

const CHECK: &str = "program";

/// Checks and returns the program that Wireshark starts.
pub(super) fn check(report: &mut DoctorReport, wireshark: &Wireshark) -> Option<PathBuf> {
    let is_root = geteuid().is_root();
    let personal = wireshark.personal.iter().filter(|_| !is_root);
    // In Wireshark's order: the first of one name wins.
    let folders: Vec<&PathBuf> = personal.chain(&wireshark.global).collect();
    check_for_installer(report, &folders);
    let mut present =
        folders.iter().map(|folder| folder.join(layout::NAME)).filter(|path| path.symlink_metadata().is_ok());
    let Some(started) = present.next() else {
        report.failed(CHECK, &absent(&folders));
        return None;
    };
    if let Some(hidden) = present.next()
        && started.parent().is_some_and(|folder| Some(folder) == wireshark.personal.as_deref())
    {
        report.failed(CHECK, &hides(&started, &hidden));
    }
    if let Err(error) = started.metadata() {
        let what = format!("{} is a broken link: {error}", shown(&started));
        report.failed(CHECK, &Error::new(what, layout::install_again()));
        return None;
    }
    report.ok(CHECK, format!("Wireshark starts {}", leads(&started)));
    if access(&started, AccessFlags::X_OK).is_ok() {
        check_version(report, &started);
    }
    Some(started)
}

fn leads(path: &Path) -> String {
    match path.read_link() {
        Ok(target) => format!("{} -> {}", shown(path), shown(&target)),
        Err(_) => shown(path).to_string(),
    }
}

fn absent(folders: &[&PathBuf]) -> Error {
    let looked: Vec<String> = folders.iter().map(|folder| shown(folder).to_string()).collect();
    let looked = if looked.is_empty() { "no folder found".to_owned() } else { looked.join(", ") };
    Error::new(
        format!("containerdump is in none of Wireshark's extcap folders: {looked}"),
        layout::install_again(),
    )
}

fn hides(personal: &Path, global: &Path) -> Error {
    Error::new(
        format!(
            "{} hides {}: Wireshark prefers the personal one, which has no right to capture",
            shown(personal),
            shown(global)
        ),
        format!("{} uninstall --user, or: rm {}", layout::command(), layout::shell_word(personal)),
    )
}

/// Wireshark starts everything executable in its extcap folders, which the installer is not made for.
fn check_for_installer(report: &mut DoctorReport, folders: &[&PathBuf]) {
    for path in folders.iter().map(|folder| folder.join("containerdump-install")).filter(|path| path.exists())
    {
        report.warning(
            CHECK,
            &Error::new(
                format!("{} is not an extcap program, but Wireshark starts it as one", shown(&path)),
                format!("sudo rm {}", layout::shell_word(&path)),
            ),
        );
    }
}

fn check_version(report: &mut DoctorReport, program: &Path) {
    let ours = env!("CARGO_PKG_VERSION");
    let remedy = layout::install_again();
    match command::run(program, &["--version"], Environment::User, Duration::from_secs(5)) {
        Ok(answer) => match answer.stdout.split_whitespace().last() {
            Some(version) if version == ours => {
                report.ok(CHECK, format!("its version is {version}, the same as this installer's"));
            }
            Some(version) => {
                report.warning(
                    CHECK,
                    &Error::new(format!("its version is {version}, but this installer's is {ours}"), remedy),
                );
            }
            None => report.warning(
                CHECK,
                &Error::new(format!("{} does not print its version", shown(program)), remedy),
            ),
        },
        Err(error) => report.failed(CHECK, &error),
    }
}
