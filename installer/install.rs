//! `install`: for everybody on this machine, with the right to capture.

use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid, User, geteuid};

use containerdump::error::Error;
use containerdump::own_program;
use containerdump::safe_text::SafeText;

use crate::arguments::Install;
use crate::command::Environment;
use crate::companion;
use crate::group::CaptureGroup;
use crate::layout::{self, shown};
use crate::places::Wireshark;
use crate::plan::{File, Plan};
use crate::profile;
use crate::program;
use crate::record::Record;
use crate::say;
use crate::tree::{Rights, Tree};

/// Puts the program, its links and the installer in place.
pub(crate) fn install(wish: &Install) -> Result<(), Error> {
    if !geteuid().is_root() && !wish.dry_run {
        return Err(needs_root());
    }
    let tree = Tree::of_root(wish.root.as_deref());
    let record = Record::load(&tree, Path::new(layout::FOLDER))?;
    let group = CaptureGroup::choose(wish.group.as_deref(), record.group.as_deref())?;
    // Below another root the group is that of the machine on which the package is installed.
    let group = Some(group).filter(|group| wish.root.is_none() || group.id().is_some());
    program::ensure_tools()?;
    program::ensure_usable_file_system(&tree.real(Path::new(layout::FOLDER)))?;
    let wireshark = Wireshark::ask(Environment::Clean);
    let source = source(wish.program.as_deref(), &tree.real(Path::new(layout::PROGRAM)))?;
    let mut plan = plan(tree, &read_program(&source)?, group.as_ref(), &wireshark)?;
    let companions =
        companion::files(&source, Path::new(layout::PROGRAM), plan.owner, "root:root 0755, no right");
    plan.files.extend(companions);
    if !wish.no_profile {
        let rights = Rights { mode: 0o644, ..plan.owner };
        plan.files.extend(profile::files(&plan.tree, &record, &wireshark.profiles, rights, "root:root 0644"));
    }
    let profile = plan.files.iter().any(profile::is_of);
    let name = group.as_ref().map(|group| group.name().to_owned());
    let mut record = Record { group: name.clone(), no_profile: wish.no_profile, ..record };
    if wish.dry_run {
        plan.show(&record)?;
    } else {
        plan.check(&record)?;
        if let Some(group) = group {
            let id = group.make(&mut record)?.gid;
            plan.files.iter_mut().filter(|file| file.captures).for_each(|file| file.rights.group = id);
        }
        plan.perform(record)?;
    }
    report_next_steps(name.as_deref(), &wireshark);
    if profile {
        say(profile::HINT);
    }
    Ok(())
}

fn plan(
    tree: Tree,
    program: &[u8],
    group: Option<&CaptureGroup>,
    wireshark: &Wireshark,
) -> Result<Plan, Error> {
    let owner = Rights { user: Uid::from_raw(0), group: Gid::from_raw(0), mode: 0o755 };
    let group_name = group.map_or("root", CaptureGroup::name);
    let group = group.and_then(CaptureGroup::id).unwrap_or(owner.group);
    let program = File {
        path: layout::PROGRAM.into(),
        content: program.to_vec(),
        rights: Rights { group, mode: 0o750, ..owner },
        captures: true,
        told: format!("root:{group_name} 0750 cap_net_raw=ep"),
    };
    let installer = File {
        path: layout::INSTALLER.into(),
        content: read(&own_path()?)?,
        rights: owner,
        captures: false,
        told: "root:root 0755".to_owned(),
    };
    let help = File {
        path: layout::HELP.into(),
        content: include_bytes!("../docs/wireshark.html").to_vec(),
        rights: Rights { mode: 0o644, ..owner },
        captures: false,
        told: "root:root 0644".to_owned(),
    };
    let links = wireshark
        .global
        .iter()
        .map(|folder| folder.join(layout::NAME))
        .map(|path| (path, PathBuf::from(layout::PROGRAM)))
        .chain([(PathBuf::from(layout::COMMAND), PathBuf::from(layout::INSTALLER))])
        .collect();
    Ok(Plan { tree, record: layout::FOLDER.into(), owner, files: vec![program, installer, help], links })
}

/// The program to install: the one named; else the one beside this installer; else, where this
/// is the installed installer, the installed program, so that running it again mends things.
pub(crate) fn source(named: Option<&Path>, installed: &Path) -> Result<PathBuf, Error> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let beside = own_path()?.with_file_name(layout::NAME);
    let is_there = |path: &Path| path.is_file();
    // The link for command lines is no file of its own.
    [beside.as_path(), installed].into_iter().find(|path| is_there(path)).map(Path::to_owned).ok_or_else(
        || {
            Error::new(
                format!("cannot find the program to install: there is no {}", shown(&beside)),
                format!("name it: {} --program PATH", layout::install_again()),
            )
        },
    )
}

/// The content of the program. A script would not get the right its file carries.
pub(crate) fn read_program(path: &Path) -> Result<Vec<u8>, Error> {
    let content = read(path)?;
    if content.starts_with(b"\x7fELF") {
        return Ok(content);
    }
    Err(Error::new(
        format!("cannot install {}: it is not a program for this system", shown(path)),
        "name the containerdump program with --program PATH",
    ))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| {
        Error::new(
            format!("cannot read {}: {error}", shown(path)),
            "name a readable program with --program PATH",
        )
    })
}

/// Where this installer is.
pub(crate) fn own_path() -> Result<PathBuf, Error> {
    own_program::path().map_err(|error| {
        Error::new(format!("cannot tell where this installer is: {error}"), "see that /proc is mounted")
    })
}

fn needs_root() -> Error {
    let own = layout::command();
    Error::new(
        "cannot install for this machine: only root can give a program the right to capture (CAP_NET_RAW)",
        format!(
            "sudo {own} install. Without root, {own} install --user puts a copy where only your own Wireshark \
             looks: it lists containers but has no right to capture from them"
        ),
    )
}

fn report_next_steps(group: Option<&str>, wireshark: &Wireshark) {
    for trouble in &wireshark.troubles {
        say(format_args!("note: {trouble}"));
    }
    if wireshark.global.is_empty() {
        say(
            "note: no Wireshark was found, so nothing was linked for it. Install Wireshark, then run this again.",
        );
    }
    match (group.map(SafeText::new), caller_of_sudo()) {
        (Some(group), Some((name, groups))) if groups.contains(&group.to_string()) => say(format_args!(
            "User {name} is a member of group {group} and can capture, from the next login on if added just now."
        )),
        (Some(group), caller) => {
            let name = caller.map_or_else(|| SafeText::new("YOUR-NAME"), |(name, _)| name);
            say(format_args!(
                "Members of group {group} can capture. To become one: sudo usermod -aG {group} {name}, then log out \
                 and in again."
            ));
        }
        (None, _) => say("Only root can capture: no group was named."),
    }
    say("Then restart Wireshark, or press F5 in it. To check everything: containerdump doctor");
}

/// The name of the user who called sudo, and the names of the groups that the user was given.
fn caller_of_sudo() -> Option<(SafeText, Vec<String>)> {
    let id = std::env::var("SUDO_UID").ok()?.parse().ok()?;
    let user = User::from_uid(Uid::from_raw(id)).ok().flatten().filter(|user| !user.uid.is_root())?;
    let name = std::ffi::CString::new(user.name.clone()).ok()?;
    let ids = nix::unistd::getgrouplist(&name, user.gid).ok()?;
    let groups = ids.into_iter().filter_map(|id: Gid| nix::unistd::Group::from_gid(id).ok().flatten());
    Some((SafeText::new(&user.name), groups.map(|group| group.name).collect()))
}
