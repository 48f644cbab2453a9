//! `install`: for everybody on this machine, with the right to capture.

use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, geteuid};

use containerdump::text::Label;
use containerdump::trouble::Trouble;

use crate::arguments::Install;
use crate::command::Environment;
use crate::companion;
use crate::layout::{self, shown};
use crate::places::Wireshark;
use crate::plan::{File, Plan};
use crate::profile;
use crate::program;
use crate::record::Record;
use crate::say;
use crate::tree::{Rights, Tree};

/// Puts the program, its links and the installer in place.
pub(crate) fn install(wish: &Install) -> Result<(), Trouble> {
    if !geteuid().is_root() && !wish.dry_run {
        return Err(needs_root());
    }
    let tree = Tree::of_root(wish.root.as_deref());
    let record = Record::load(&tree, Path::new(layout::FOLDER))?;
    let group = capturing_group(wish.group.as_deref(), record.group.as_deref())?;
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
    let group_name = group.as_ref().map(|group| group.name.clone());
    let record = Record { group: group_name, no_profile: wish.no_profile, ..record };
    if wish.dry_run { plan.show(&record) } else { plan.perform(record) }?;
    say_what_is_left(group.as_ref(), &wireshark);
    if profile {
        say(profile::HINT);
    }
    Ok(())
}

fn plan(tree: Tree, program: &[u8], group: Option<&Group>, wireshark: &Wireshark) -> Result<Plan, Trouble> {
    let owner = Rights { user: Uid::from_raw(0), group: Gid::from_raw(0), mode: 0o755 };
    let group_name = group.map_or("root", |group| group.name.as_str());
    let program = File {
        path: layout::PROGRAM.into(),
        content: program.to_vec(),
        rights: Rights { group: group.map_or(owner.group, |group| group.gid), mode: 0o750, ..owner },
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
    let links = wireshark
        .global
        .iter()
        .map(|folder| folder.join(layout::NAME))
        .chain([PathBuf::from(layout::COMMAND)])
        .map(|path| (path, PathBuf::from(layout::PROGRAM)))
        .collect();
    Ok(Plan { tree, record: layout::FOLDER.into(), owner, files: vec![program, installer], links })
}

/// The group asked for; else the one of the last time; else Wireshark's. `None`: root alone.
fn capturing_group(asked: Option<&str>, recorded: Option<&str>) -> Result<Option<Group>, Trouble> {
    if let Some(name) = asked {
        return group(name)?.map(Some).ok_or_else(|| {
            Trouble::new(
                format!("cannot let group {name} capture: there is no such group"),
                format!("make it (sudo groupadd --system {name}), or name another with --group"),
            )
        });
    }
    let recorded = recorded.map(group).transpose()?.flatten();
    recorded.map_or_else(|| group(layout::GROUP), |group| Ok(Some(group)))
}

fn group(name: &str) -> Result<Option<Group>, Trouble> {
    Group::from_name(name).map_err(|error| {
        Trouble::new(
            format!("cannot look up group {name}: {}", error.desc()),
            "see whether `getent group` works",
        )
    })
}

/// The program to install: the one named; else the one beside this installer; else, where this
/// is the installed installer, the installed program, so that running it again mends things.
pub(crate) fn source(named: Option<&Path>, installed: &Path) -> Result<PathBuf, Trouble> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let beside = own_path()?.with_file_name(layout::NAME);
    let is_there = |path: &Path| path.is_file();
    // The link for command lines is no file of its own.
    [beside.as_path(), installed].into_iter().find(|path| is_there(path)).map(Path::to_owned).ok_or_else(
        || {
            Trouble::new(
                format!("cannot find the program to install: there is no {}", shown(&beside)),
                "name it: containerdump-install install --program PATH",
            )
        },
    )
}

/// The content of the program. A script would not get the right its file carries.
pub(crate) fn read_program(path: &Path) -> Result<Vec<u8>, Trouble> {
    let content = read(path)?;
    if content.starts_with(b"\x7fELF") {
        return Ok(content);
    }
    Err(Trouble::new(
        format!("cannot install {}: it is not a program for this system", shown(path)),
        "name the containerdump program with --program PATH",
    ))
}

fn read(path: &Path) -> Result<Vec<u8>, Trouble> {
    std::fs::read(path).map_err(|error| {
        Trouble::new(
            format!("cannot read {}: {error}", shown(path)),
            "name a readable program with --program PATH",
        )
    })
}

fn own_path() -> Result<PathBuf, Trouble> {
    std::env::current_exe().map_err(|error| {
        Trouble::new(format!("cannot tell where this installer is: {error}"), "see that /proc is mounted")
    })
}

fn needs_root() -> Trouble {
    let own = own_path().map_or_else(|_| Label::new("containerdump-install"), |path| shown(&path));
    Trouble::new(
        "cannot install for this machine: only root can give a program the right to capture (CAP_NET_RAW)",
        format!(
            "sudo {own} install. Without root, {own} install --user puts a copy where only your own Wireshark \
             looks: it lists containers but has no right to capture from them"
        ),
    )
}

fn say_what_is_left(group: Option<&Group>, wireshark: &Wireshark) {
    for trouble in &wireshark.troubles {
        say(format_args!("note: {trouble}"));
    }
    if wireshark.global.is_empty() {
        say(
            "note: no Wireshark was found, so nothing was linked for it. Install Wireshark, then run this again.",
        );
    }
    match group {
        Some(group) => say(format_args!(
            "Members of group {0} can capture. To become one: sudo usermod -aG {0} YOUR-NAME, then log in again.",
            Label::new(&group.name)
        )),
        None => say(format_args!(
            "There is no group {0}: only root can capture. To let others: sudo groupadd --system {0}; \
             sudo usermod -aG {0} YOUR-NAME; install again; log in again.",
            layout::GROUP
        )),
    }
    say("Then start Wireshark again, or press F5 in it. To check everything: containerdump-install doctor");
}
