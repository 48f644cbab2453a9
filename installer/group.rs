//! The group whose members may capture: found, made where it is missing, and removed where install made it.

use std::path::Path;
use std::time::Duration;

use nix::unistd::{Gid, Group};

use containerdump::error::Error;
use containerdump::safe_text::SafeText;

use crate::command::{self, Environment};
use crate::layout;
use crate::places::Wireshark;
use crate::record::Record;
use crate::say;

const TIMEOUT: Duration = Duration::from_secs(30);

/// The group whose members may capture.
pub(crate) enum CaptureGroup {
    /// It exists.
    Existing(Group),
    /// It does not, and install makes it.
    Missing(&'static str),
}

impl CaptureGroup {
    /// The group named `asked`; else that of the last installation; else Wireshark's.
    pub(crate) fn choose(asked: Option<&str>, recorded: Option<&str>) -> Result<Self, Error> {
        if let Some(name) = asked {
            // A name that was typed may be mistyped, so only the default group is made. Its name is no exception.
            return match find(name)? {
                Some(group) => Ok(Self::Existing(group)),
                None if name == layout::GROUP => Ok(Self::Missing(layout::GROUP)),
                None => Err(Error::new(
                    format!("cannot let group {name} capture: there is no such group"),
                    format!("make it (sudo groupadd --system {name}), or name another with --group"),
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

    /// Its number; `None` before it was made.
    pub(crate) fn id(&self) -> Option<Gid> {
        match self {
            Self::Existing(group) => Some(group.gid),
            Self::Missing(_) => None,
        }
    }

    /// Makes it where it is missing, and notes that in `record`.
    pub(crate) fn make(self, record: &mut Record) -> Result<Group, Error> {
        let name = match self {
            Self::Existing(group) => return Ok(group),
            Self::Missing(name) => name,
        };
        change("groupadd", &["--system", name]).map_err(|why| {
            Error::new(
                format!("cannot make group {name}, whose members may capture: {why}"),
                "make it as this system does, or name another group with --group; then install again",
            )
        })?;
        record.made_group = Some(name.to_owned());
        say(format_args!("made        group {name}"));
        find(name)?.ok_or_else(|| {
            Error::new(format!("made group {name}, but it is not there"), "see whether `getent group` works")
        })
    }
}

/// Removes the group that install made, unless dumpcap belongs to it by now. Whether it was removed, or would be.
pub(crate) fn remove(record: &Record, dry_run: bool) -> Result<bool, Error> {
    let Some(group) = record.made_group.as_deref().map(find).transpose()?.flatten() else { return Ok(false) };
    let name = SafeText::new(&group.name);
    if is_of_dumpcap(&group) {
        say(format_args!("left        group {name} (dumpcap belongs to it)"));
        return Ok(false);
    }
    if dry_run {
        say(format_args!("would remove group {name}"));
        return Ok(true);
    }
    match change("groupdel", &[&group.name]) {
        Ok(()) => say(format_args!("removed     group {name}")),
        Err(why) => {
            say(format_args!("left        group {name} ({why})"));
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_of_dumpcap(group: &Group) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let beside = Wireshark::ask(Environment::Clean).program.map(|folder| folder.join("dumpcap"));
    let dumpcaps = command::find_all("dumpcap").into_iter().chain(beside);
    dumpcaps.filter_map(|path| Path::metadata(&path).ok()).any(|file| file.gid() == group.gid.as_raw())
}

fn change(tool: &str, arguments: &[&str]) -> Result<(), SafeText> {
    let Some(path) = command::find(tool) else { return Err(SafeText::new(&format!("there is no {tool}"))) };
    match command::run(&path, arguments, Environment::Clean, TIMEOUT) {
        Ok(answer) if answer.success => Ok(()),
        Ok(answer) => Err(SafeText::new(answer.stderr.lines().next().unwrap_or("it gives no reason"))),
        Err(trouble) => Err(trouble.message().clone()),
    }
}

fn find(name: &str) -> Result<Option<Group>, Error> {
    Group::from_name(name).map_err(|error| {
        Error::new(
            format!("cannot look up group {name}: {}", error.desc()),
            "see whether `getent group` works",
        )
    })
}
