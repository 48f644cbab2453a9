//! `install --user`: a copy for one user's own Wireshark, without any capability: everyone who can write to the
//! home folder could otherwise pass the right to capture on.

use std::path::Path;

use nix::unistd::{getegid, geteuid};

use containerdump::error::Error;

use crate::arguments::InstallOptions;
use crate::command::Environment;
use crate::install::{read_program, source};
use crate::layout;
use crate::plan::{Plan, PlannedFile};
use crate::print_line;
use crate::profile;
use crate::record::InstallRecord;
use crate::static_programs;
use crate::tree::{Ownership, Tree};
use crate::wireshark::Wireshark;

/// Installs a copy in the personal extcap folder.
pub(crate) fn install(options: &InstallOptions) -> Result<(), Error> {
    if geteuid().is_root() {
        return Err(Error::new(
            "cannot install for root only: Wireshark ignores the personal folder when it runs as root",
            format!(
                "run this as the user who starts Wireshark, or install for all users: {}",
                layout::install_again()
            ),
        ));
    }
    let wireshark = Wireshark::detect(Environment::User);
    let (Some(folder), Some(record_folder)) = (wireshark.personal, layout::personal_record()) else {
        return Err(no_home());
    };
    let tree = Tree::of_user();
    let record = InstallRecord::load(&tree, &record_folder)?;
    let source = source(options.program.as_deref(), Path::new(layout::PROGRAM))?;
    let program = read_program(&source, |_, _| Ok(()))?;
    let owner = Ownership { user: geteuid(), group: getegid(), mode: 0o755 };
    let path = folder.join(layout::NAME);
    // Wireshark starts everything executable in that folder.
    let companion = Ownership { mode: 0o644, ..owner };
    let companions = static_programs::files(&source, &path, companion, "your own, 0644, not executable");
    let program = PlannedFile {
        path,
        content: program,
        ownership: owner,
        captures: false,
        description: "your own, 0755, no right to capture".to_owned(),
    };
    let mut files: Vec<PlannedFile> = [program].into_iter().chain(companions).collect();
    if !options.no_profile {
        let folders = wireshark.personal_profiles.as_slice();
        files.extend(profile::files(&tree, &record, folders, companion, "your own, 0644"));
    }
    let profile = files.iter().any(profile::is_profile_file);
    let record = InstallRecord { no_profile: options.no_profile, ..record };
    let plan = Plan { tree, record: record_folder, owner, files, links: Vec::new() };
    if options.dry_run { plan.show(&record) } else { plan.perform(record) }?;
    print_line(
        "This copy lists containers in your own Wireshark, but has no right to capture on this host's interfaces",
    );
    print_line(format_args!(
        "(CAP_NET_RAW): files in a home folder get no capability. To capture: {} uninstall --user;",
        layout::command()
    ));
    print_line(format_args!("{} (Wireshark prefers your personal copy).", layout::install_again()));
    if profile {
        print_line(profile::HINT);
    }
    Ok(())
}

/// The error where the user has no home folder.
pub(crate) fn no_home() -> Error {
    Error::new(
        "cannot determine your home folder: HOME is not set to an absolute path",
        "set HOME, then run it again",
    )
}
