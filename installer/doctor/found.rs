//! Which containerdump would Wireshark start, is it the only one, and of which version?

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{AccessFlags, access, geteuid};

use containerdump::error::Error;

use super::report::Report;
use crate::command::{self, Environment};
use crate::layout::{self, shown};
use crate::places::Wireshark;

const CHECK: &str = "program";

/// Returns the program Wireshark would start.
pub(super) fn check(report: &mut Report, wireshark: &Wireshark) -> Option<PathBuf> {
    let is_root = geteuid().is_root();
    let personal = wireshark.personal.iter().filter(|_| !is_root);
    // In Wireshark's order: of two with one name the first wins.
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
        let what = format!("{} leads nowhere: {error}", shown(&started));
        report.failed(CHECK, &Error::new(what, layout::install_again()));
        return None;
    }
    report.ok(CHECK, format!("Wireshark finds {}", leads(&started)));
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
    let looked = if looked.is_empty() { "there is none".to_owned() } else { looked.join(", ") };
    Error::new(format!("containerdump is in no folder Wireshark looks in: {looked}"), layout::install_again())
}

fn hides(personal: &Path, global: &Path) -> Error {
    Error::new(
        format!(
            "{} hides {}: Wireshark takes the personal one, which has no right to capture",
            shown(personal),
            shown(global)
        ),
        format!("{} uninstall --user, or: rm {}", layout::command(), layout::word(personal)),
    )
}

/// Wireshark starts everything executable in its folders; the installer is not for that.
fn check_for_installer(report: &mut Report, folders: &[&PathBuf]) {
    for path in folders.iter().map(|folder| folder.join("containerdump-install")).filter(|path| path.exists())
    {
        report.warning(
            CHECK,
            &Error::new(
                format!("{} is no capture source, but Wireshark starts it as one", shown(&path)),
                format!("sudo rm {}", layout::word(&path)),
            ),
        );
    }
}

fn check_version(report: &mut Report, program: &Path) {
    let ours = env!("CARGO_PKG_VERSION");
    let remedy = layout::install_again();
    match command::run(program, &["--version"], Environment::OfUser, Duration::from_secs(5)) {
        Ok(answer) => match answer.stdout.split_whitespace().last() {
            Some(version) if version == ours => {
                report.ok(CHECK, format!("its version is {version}, as this installer's"));
            }
            Some(version) => {
                report.warning(
                    CHECK,
                    &Error::new(format!("its version is {version}, this installer's is {ours}"), remedy),
                );
            }
            None => report
                .warning(CHECK, &Error::new(format!("{} does not tell its version", shown(program)), remedy)),
        },
        Err(trouble) => report.failed(CHECK, &trouble),
    }
}
