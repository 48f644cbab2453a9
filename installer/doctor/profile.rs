//! Whether the Wireshark profile Containers is installed.

use std::path::{Path, PathBuf};

use containerdump::error::Error;

use super::report::DoctorReport;
use crate::layout::{self, shown};
use crate::profile::{self, PROFILE_NAME, ProfileState};
use crate::record::InstallRecord;
use crate::tree::Tree;
use crate::wireshark::Wireshark;

const CHECK: &str = "profile";

/// Checks the profile that this user's Wireshark uses.
pub(super) fn check(report: &mut DoctorReport, wireshark: &Wireshark) {
    if wireshark.version.is_none() {
        return;
    }
    let tree = Tree::of_user();
    let load = |folder: PathBuf| InstallRecord::load(&tree, &folder).unwrap_or_default();
    let common = load(layout::FOLDER.into());
    let own = layout::personal_record().map(load).unwrap_or_default();
    // In Wireshark's order: the personal copy, which is created when the profile is used, comes first.
    let owns = wireshark.personal_profiles.iter().map(|folder| (folder.join(PROFILE_NAME), &own));
    let commons = wireshark.profiles.iter().map(|folder| (folder.join(PROFILE_NAME), &common));
    for (folder, record) in owns.chain(commons) {
        match profile::state(&tree, record, &folder) {
            Ok(ProfileState::Absent) => {}
            Ok(state) => return report.ok(CHECK, describe(&folder, state)),
            Err(error) => return report.warning(CHECK, &error),
        }
    }
    if common.no_profile || own.no_profile {
        return report.ok(CHECK, format!("profile {PROFILE_NAME} was declined (--no-profile)"));
    }
    let missing = Error::new(
        "the profile Containers, which shows names, containers and directions, is not installed",
        layout::install_again(),
    );
    report.warning(CHECK, &missing);
}

fn describe(folder: &Path, state: ProfileState) -> String {
    let place = shown(folder);
    match state {
        ProfileState::Absent | ProfileState::Current => format!("{place} is up to date"),
        ProfileState::Old => format!("{place} is from another version; install again to update it"),
        ProfileState::Changed => {
            format!(
                "{place} was changed or copied by you; to get this version's, rename it and install again"
            )
        }
    }
}
