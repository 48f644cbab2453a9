//! `install`: for all users of this machine, with the right to capture.

use std::fs::{Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::{Gid, Uid, User, geteuid};

use containerdump::error::Error;
use containerdump::own_program;
use containerdump::privilege;
use containerdump::safe_text::SafeText;
use containerdump::static_program;

use crate::arguments::InstallOptions;
use crate::capability;
use crate::command::Environment;
use crate::group::CaptureGroup;
use crate::layout::{self, shown};
use crate::plan::{Plan, PlannedFile};
use crate::print_line;
use crate::profile;
use crate::record::InstallRecord;
use crate::static_programs;
use crate::tree::{Ownership, Tree};
use crate::users;
use crate::wireshark::Wireshark;

/// Installs the program, its links and the installer.
pub(crate) fn install(options: &InstallOptions) -> Result<(), Error> {
    if !geteuid().is_root() && !options.dry_run {
        return Err(needs_root());
    }
    let tree = Tree::of_root(options.root.as_deref());
    let record = InstallRecord::load(&tree, Path::new(layout::FOLDER))?;
    let group = CaptureGroup::choose(options.group.as_deref(), record.group.as_deref())?;
    // With --root, the group belongs to the machine on which the package gets installed.
    let group = Some(group).filter(|group| options.root.is_none() || group.id().is_some());
    capability::ensure_tools()?;
    capability::ensure_usable_file_system(&tree.real(Path::new(layout::FOLDER)))?;
    let wireshark = Wireshark::detect(Environment::Clean);
    let source = source(options.program.as_deref(), &tree.real(Path::new(layout::PROGRAM)))?;
    let program = read_program(&source, ensure_trusted)?;
    let mut plan = plan(tree, &program, group.as_ref(), &wireshark)?;
    let companions = static_programs::files(
        &source,
        Path::new(layout::PROGRAM),
        plan.owner,
        "root:root 0755, no capability",
    );
    plan.files.extend(companions);
    if !options.no_profile {
        let ownership = Ownership { mode: 0o644, ..plan.owner };
        plan.files.extend(profile::files(
            &plan.tree,
            &record,
            &wireshark.profiles,
            ownership,
            "root:root 0644",
        ));
    }
    let profile = plan.files.iter().any(profile::is_profile_file);
    let name = group.as_ref().map(|group| group.name().to_owned());
    let mut record = InstallRecord { group: name.clone(), no_profile: options.no_profile, ..record };
    if options.dry_run {
        plan.show(&record)?;
    } else {
        plan.check(&record)?;
        if let Some(group) = group {
            let id = group.make(&mut record)?.gid;
            plan.files.iter_mut().filter(|file| file.captures).for_each(|file| file.ownership.group = id);
        }
        plan.perform(record)?;
    }
    report_next_steps(name.as_deref(), &wireshark);
    if profile {
        print_line(profile::HINT);
    }
    Ok(())
}

fn plan(
    tree: Tree,
    program: &[u8],
    group: Option<&CaptureGroup>,
    wireshark: &Wireshark,
) -> Result<Plan, Error> {
    let owner = Ownership { user: Uid::from_raw(0), group: Gid::from_raw(0), mode: 0o755 };
    let group_name = group.map_or("root", CaptureGroup::name);
    let group = group.and_then(CaptureGroup::id).unwrap_or(owner.group);
    let program = PlannedFile {
        path: layout::PROGRAM.into(),
        content: program.to_vec(),
        ownership: Ownership { group, mode: 0o750, ..owner },
        captures: true,
        description: format!("root:{group_name} 0750 cap_net_raw=ep"),
    };
    let installer = PlannedFile {
        path: layout::INSTALLER.into(),
        content: read(&own_path()?, ensure_trusted)?,
        ownership: owner,
        captures: false,
        description: "root:root 0755".to_owned(),
    };
    let help = PlannedFile {
        path: layout::HELP.into(),
        content: include_bytes!("../docs/wireshark.html").to_vec(),
        ownership: Ownership { mode: 0o644, ..owner },
        captures: false,
        description: "root:root 0644".to_owned(),
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

/// The program to install: the one given; else the one beside this installer; else the installed one, so that an
/// installation can be repaired.
pub(crate) fn source(named: Option<&Path>, installed: &Path) -> Result<PathBuf, Error> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let beside = own_path()?.with_file_name(layout::NAME);
    let is_there = |path: &Path| path.is_file();
    [beside.as_path(), installed].into_iter().find(|path| is_there(path)).map(Path::to_owned).ok_or_else(
        || {
            Error::new(
                format!("cannot find the program to install: {} does not exist", shown(&beside)),
                format!("give its path: {} --program PATH", layout::install_again()),
            )
        },
    )
}

/// The content of the program, if `check` accepts its file. File capabilities do not apply to scripts.
pub(crate) fn read_program(
    path: &Path,
    check: impl FnOnce(&Path, &Metadata) -> Result<(), Error>,
) -> Result<Vec<u8>, Error> {
    let content = read(path, check)?;
    if content.starts_with(b"\x7fELF") {
        return Ok(content);
    }
    Err(Error::new(
        format!("cannot install {}: not a program for this system (ELF)", shown(path)),
        "give the path of the containerdump program with --program PATH",
    ))
}

fn read(path: &Path, check: impl FnOnce(&Path, &Metadata) -> Result<(), Error>) -> Result<Vec<u8>, Error> {
    let cannot = |error: io::Error| {
        Error::new(
            format!("cannot read {}: {error}", shown(path)),
            "give the path of a readable program with --program PATH",
        )
    };
    // O_NONBLOCK: it may be a FIFO.
    let nonblocking = OFlag::O_NONBLOCK.bits();
    let mut file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path).map_err(cannot)?;
    check(path, &file.metadata().map_err(cannot)?)?;
    let mut content = Vec::new();
    file.read_to_end(&mut content).map_err(cannot)?;
    Ok(content)
}

/// Fails if another user could have changed what root is about to install.
fn ensure_trusted(path: &Path, metadata: &Metadata) -> Result<(), Error> {
    let caller = privilege::elevated_user()?;
    let owner = User::from_uid(Uid::from_raw(metadata.uid())).ok().flatten();
    let mode =
        if has_private_group(metadata, owner.as_ref())? { metadata.mode() & !0o020 } else { metadata.mode() };
    if static_program::is_trusted(metadata.uid(), mode, caller.map(|caller| caller.user)) {
        return Ok(());
    }
    let owner = owner.map_or_else(|| metadata.uid().to_string(), |user| user.name);
    let (path, word) = (shown(path), layout::shell_word(path));
    Err(Error::new(
        format!(
            "cannot install {path}: users other than root and you can change it (owner {owner}, mode {:04o})",
            metadata.mode() & 0o7777
        ),
        format!(
            "install a program that you have built. If you trust this one: sudo chown root {word} && sudo chmod go-w {word}"
        ),
    ))
}

/// Whether nobody but its owner is in the group of a file: with user private groups, umask(2) is 002.
fn has_private_group(metadata: &Metadata, owner: Option<&User>) -> Result<bool, Error> {
    let is_writable = metadata.mode() & 0o020 != 0;
    let owner = owner.map(|user| user.name.as_str()).unwrap_or_default();
    Ok(is_writable && users::members(Gid::from_raw(metadata.gid()))?.iter().all(|member| member == owner))
}

/// Path of this installer.
pub(crate) fn own_path() -> Result<PathBuf, Error> {
    own_program::path().map_err(|error| {
        Error::new(
            format!("cannot determine the path of this installer: {error}"),
            "check that /proc is mounted",
        )
    })
}

fn needs_root() -> Error {
    let own = layout::command();
    Error::new(
        "cannot install for all users: only root can give a program the right to capture (CAP_NET_RAW)",
        format!(
            "sudo {own} install. Without root, {own} install --user installs a copy for your own Wireshark only, \
             which lists containers but has no right to capture"
        ),
    )
}

fn report_next_steps(group: Option<&str>, wireshark: &Wireshark) {
    for error in &wireshark.errors {
        print_line(format_args!("note: {error}"));
    }
    if wireshark.global.is_empty() {
        print_line(
            "note: Wireshark was not found, so no link was created for it. Install Wireshark, then run this command again.",
        );
    }
    match (group.map(SafeText::new), caller_and_groups()) {
        (Some(group), Some((name, groups))) if groups.contains(&group.to_string()) => {
            print_line(format_args!(
                "User {name} is a member of group {group} and can capture; if added just now, after the next login."
            ));
        }
        (Some(group), caller) => {
            let name = caller.map_or_else(|| SafeText::new("YOUR-NAME"), |(name, _)| name);
            print_line(format_args!(
                "Members of group {group} can capture. To become one: sudo usermod -aG {group} {name}, then log out \
                 and in again."
            ));
        }
        (None, _) => print_line("Only root can capture: no group was given."),
    }
    print_line("Then restart Wireshark, or press F5 in it. To check everything: containerdump doctor");
}

/// The name of the user who called sudo or doas, and the names of their groups.
fn caller_and_groups() -> Option<(SafeText, Vec<String>)> {
    let caller = privilege::elevated_user().ok()??;
    let user = User::from_uid(caller.user).ok().flatten().filter(|user| !user.uid.is_root())?;
    let name = std::ffi::CString::new(user.name.clone()).ok()?;
    let ids = nix::unistd::getgrouplist(&name, user.gid).ok()?;
    let groups = ids.into_iter().filter_map(|id: Gid| nix::unistd::Group::from_gid(id).ok().flatten());
    Some((SafeText::new(&user.name), groups.map(|group| group.name).collect()))
}
