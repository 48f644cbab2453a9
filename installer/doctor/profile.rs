//! Is Wireshark's profile for containers there?

use std::path::{Path, PathBuf};

use containerdump::error::Error;

use super::report::Report;
use crate::layout::{self, shown};
use crate::places::Wireshark;
use crate::profile::{self, NAME, State};
use crate::record::Record;
use crate::tree::Tree;

const CHECK: &str = "profile";

/// Looks for the profile that this user's Wireshark takes.
pub(super) fn check(report: &mut Report, wireshark: &Wireshark) {
    if wireshark.version.is_none() {
        return;
    }
    let tree = Tree::of_user();
    let load = |folder: PathBuf| Record::load(&tree, &folder).unwrap_or_default();
    let common = load(layout::FOLDER.into());
    let own = layout::personal_record().map(load).unwrap_or_default();
    // In Wireshark's order: a copy of one's own comes first, and is made when the profile is used.
    let owns = wireshark.own_profiles.iter().map(|folder| (folder.join(NAME), &own));
    let commons = wireshark.profiles.iter().map(|folder| (folder.join(NAME), &common));
    for (folder, record) in owns.chain(commons) {
        match profile::state(&tree, record, &folder) {
            Ok(State::Absent) => {}
            Ok(state) => return report.ok(CHECK, told(&folder, state)),
            Err(trouble) => return report.warning(CHECK, &trouble),
        }
    }
    if common.no_profile || own.no_profile {
        return report.ok(CHECK, format!("no profile {NAME}: it was declined (--no-profile)"));
    }
    let missing = Error::new(
        "there is no profile Containers, in which names, containers and directions show by themselves",
        layout::install_again(),
    );
    report.warning(CHECK, &missing);
}

fn told(folder: &Path, state: State) -> String {
    let place = shown(folder);
    match state {
        State::Absent | State::Current => format!("{place} is this version's"),
        State::Old => format!("{place} is of another version: to have this one's, install again"),
        State::Changed => {
            format!(
                "{place} is your own, or an older one that you use: for this version's, rename it, install again"
            )
        }
    }
}
