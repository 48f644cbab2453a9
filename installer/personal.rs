//! `install --user`: a plain copy for one user's own Wireshark. It never carries a capability:
//! whoever can write to a home folder could otherwise hand the right to capture to anybody.

use std::path::Path;

use nix::unistd::{getegid, geteuid};

use containerdump::error::Error;

use crate::arguments::Install;
use crate::command::Environment;
use crate::companion;
use crate::install::{read_program, source};
use crate::layout;
use crate::places::Wireshark;
use crate::plan::{File, Plan};
use crate::profile;
use crate::record::Record;
use crate::say;
use crate::tree::{Rights, Tree};

/// Puts a copy into the personal folder.
pub(crate) fn install(wish: &Install) -> Result<(), Error> {
    if geteuid().is_root() {
        return Err(Error::new(
            "cannot install for root alone: a Wireshark that runs as root does not look into a personal folder",
            format!(
                "run it as the user who starts Wireshark, or install for everybody: {}",
                layout::install_again()
            ),
        ));
    }
    let wireshark = Wireshark::ask(Environment::OfUser);
    let (Some(folder), Some(record_folder)) = (wireshark.personal, layout::personal_record()) else {
        return Err(no_home());
    };
    let tree = Tree::of_user();
    let record = Record::load(&tree, &record_folder)?;
    let source = source(wish.program.as_deref(), Path::new(layout::PROGRAM))?;
    let program = read_program(&source)?;
    let owner = Rights { user: geteuid(), group: getegid(), mode: 0o755 };
    let path = folder.join(layout::NAME);
    // Wireshark starts whatever can be started in that folder.
    let companion = Rights { mode: 0o644, ..owner };
    let companions = companion::files(&source, &path, companion, "your own, 0644, not to be started");
    let program = File {
        path,
        content: program,
        rights: owner,
        captures: false,
        told: "your own, 0755, no right to capture".to_owned(),
    };
    let mut files: Vec<File> = [program].into_iter().chain(companions).collect();
    if !wish.no_profile {
        let folders = wireshark.own_profiles.as_slice();
        files.extend(profile::files(&tree, &record, folders, companion, "your own, 0644"));
    }
    let profile = files.iter().any(profile::is_of);
    let record = Record { no_profile: wish.no_profile, ..record };
    let plan = Plan { tree, record: record_folder, owner, files, links: Vec::new() };
    if wish.dry_run { plan.show(&record) } else { plan.perform(record) }?;
    say(
        "This copy lists containers in your own Wireshark. It has no right to capture on this host's interfaces",
    );
    say(format_args!(
        "(CAP_NET_RAW): a file in a home folder is never given one. For that: {} uninstall --user;",
        layout::command()
    ));
    say(format_args!("{} (Wireshark prefers the copy in your folder).", layout::install_again()));
    if profile {
        say(profile::HINT);
    }
    Ok(())
}

/// There is nowhere a user's own files could be.
pub(crate) fn no_home() -> Error {
    Error::new(
        "cannot tell where your own folders are: HOME is not set to a path",
        "set HOME, then run it again",
    )
}
