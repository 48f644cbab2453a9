//! The group whose members may capture: looked up, created where missing, and removed if install created it.

use std::path::Path;
use std::time::Duration;

use nix::unistd::{Gid, Group};

use containerdump::error::Error;
use containerdump::safe_text::SafeText;

use crate::command::{self, Environment};
use crate::layout;
use crate::print_line;
use crate::record::InstallRecord;
use crate::wireshark::Wireshark;

const TIMEOUT: Duration = Duration::from_secs(30);

/// The group whose members may capture.
pub(crate) enum CaptureGroup {
    /// It exists.
    Existing(Group),
    /// It does not, and install creates it.
    Missing(&'static str),
}

impl CaptureGroup {
    /// The group named `asked`; else that of the previous installation; else the default.
    pub(crate) fn choose(asked: Option<&str>, recorded: Option<&str>) -> Result<Self, Error> {
        if let Some(name) = asked {
            // A given name may be mistyped: only the default group is created.
            return match find(name)? {
                Some(group) => Ok(Self::Existing(group)),
                None if name == layout::GROUP => Ok(Self::Missing(layout::GROUP)),
                None => Err(Error::new(
                    format!("cannot let group {name} capture: there is no such group"),
                    format!("create it (sudo groupadd --system {name}), or give another with --group"),
                )),
            };
        }
        let recorded = recorded.map(find).transpose()?.flatten();
        let group = recorded.map_or_else(|| find(layout::GROUP), |group| Ok(Some(group)))?;
        Ok(group.map_or(Self::Missing(layout::GROUP), Self::Existing))
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Existing(group) => &group.name,
            Self::Missing(name) => name,
        }
    }

    /// Its ID; `None` before it is created.
    pub(crate) fn id(&self) -> Option<Gid> {
        match self {
            Self::Existing(group) => Some(group.gid),
            Self::Missing(_) => None,
        }
    }

    /// Creates it where missing, and records that.
    pub(crate) fn make(self, record: &mut InstallRecord) -> Result<Group, Error> {
        let name = match self {
            Self::Existing(group) => return Ok(group),
            Self::Missing(name) => name,
        };
        change("groupadd", &["--system", name]).map_err(|why| {
            Error::new(
                format!("cannot create group {name}, whose members may capture: {why}"),
                "create it with your system's tools, or give another group with --group; then install again",
            )
        })?;
        record.made_group = Some(name.to_owned());
        print_line(format_args!("created     group {name}"));
        find(name)?.ok_or_else(|| {
            Error::new(
                format!("created group {name}, but it cannot be found"),
                "check that `getent group` works",
            )
        })
    }
}

/// Removes the group that install created, unless dumpcap belongs to it. Returns whether it was, or would be, removed.
pub(crate) fn remove(record: &InstallRecord, dry_run: bool) -> Result<bool, Error> {
    let Some(group) = record.made_group.as_deref().map(find).transpose()?.flatten() else { return Ok(false) };
    let name = SafeText::new(&group.name);
    if is_of_dumpcap(&group) {
        print_line(format_args!("kept        group {name} (dumpcap belongs to it)"));
        return Ok(false);
    }
    if dry_run {
        print_line(format_args!("would remove group {name}"));
        return Ok(true);
    }
    match change("groupdel", &[&group.name]) {
        Ok(()) => print_line(format_args!("removed     group {name}")),
        Err(why) => {
            print_line(format_args!("kept        group {name} ({why})"));
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_of_dumpcap(group: &Group) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let beside = Wireshark::detect(Environment::Clean).program.map(|folder| folder.join("dumpcap"));
    let dumpcaps = command::find_all("dumpcap").into_iter().chain(beside);
    dumpcaps.filter_map(|path| Path::metadata(&path).ok()).any(|file| file.gid() == group.gid.as_raw())
}

fn change(tool: &str, arguments: &[&str]) -> Result<(), SafeText> {
    let Some(path) = command::find(tool) else { return Err(SafeText::new(&format!("{tool} not found"))) };
    match command::run(&path, arguments, Environment::Clean, TIMEOUT) {
        Ok(answer) if answer.success => Ok(()),
        Ok(answer) => Err(SafeText::new(answer.stderr.lines().next().unwrap_or("no reason given"))),
        Err(error) => Err(error.message().clone()),
    }
}

fn find(name: &str) -> Result<Option<Group>, Error> {
    Group::from_name(name).map_err(|error| {
        Error::new(
            format!("cannot look up group {name}: {}", error.desc()),
            "check that `getent group` works",
        )
    })
}
