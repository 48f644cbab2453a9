//! The user who called sudo or doas, to whom files belong.

use std::env;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use nix::unistd::{Gid, Pid, Uid, getppid};

use crate::error::Error;
use crate::own_program;
use crate::passwd::PasswdEntry;
use crate::safe_text::SafeText;

/// Shells: files written by programs started from a root shell belong to root, even if sudo or doas started the shell.
const SHELLS: [&str; 9] = ["sh", "bash", "dash", "zsh", "fish", "ksh", "csh", "tcsh", "su"];

/// A user who called sudo or doas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The user.
    pub user: Uid,
    /// The user's group.
    pub group: Gid,
}

/// The user who started this program with sudo or doas, also after the program has become that user; `None` if it was
/// started otherwise, from a root shell, or by root.
///
/// # Errors
/// doas names a user who is not in passwd(5).
pub fn caller() -> Result<Option<Caller>, Error> {
    // Determined once: later the parent process may have ended.
    static CALLER: OnceLock<Result<Option<Caller>, Error>> = OnceLock::new();
    CALLER.get_or_init(|| if was_started_from_root_shell() { Ok(None) } else { elevated_user() }).clone()
}

/// The user who called sudo or doas, also for a root shell.
///
/// # Errors
/// doas names a user who is not in passwd(5).
pub fn elevated_user() -> Result<Option<Caller>, Error> {
    let number = |name: &str| env::var(name).ok()?.parse::<u32>().ok();
    let of_sudo = number("SUDO_UID").zip(number("SUDO_GID"));
    let found = if let Some((user, group)) = of_sudo {
        Some(Caller { user: Uid::from_raw(user), group: Gid::from_raw(group) })
    } else {
        env::var("DOAS_USER").ok().map(|name| user_of_doas(&name)).transpose().or_else(|error| {
            // To other users, the variable gives nothing.
            if Uid::current().is_root() { Err(error) } else { Ok(None) }
        })?
    };
    let is_root = Uid::current().is_root();
    Ok(found.filter(|caller| !caller.user.is_root() && (is_root || Uid::current() == caller.user)))
}

fn user_of_doas(name: &str) -> Result<Caller, Error> {
    let entry = PasswdEntry::by_name(name).ok_or_else(|| {
        Error::new(
            format!("cannot find user {}, who called doas (DOAS_USER), in /etc/passwd", SafeText::new(name)),
            "add this user to /etc/passwd; to capture as root: doas env -u DOAS_USER containerdump capture",
        )
    })?;
    Ok(Caller { user: entry.user, group: entry.group })
}

/// Whether sudo or doas started a shell, and that this program. sudo names its command; doas leaves only the parent process.
fn was_started_from_root_shell() -> bool {
    if env::var_os("SUDO_UID").is_none() {
        return env::var_os("DOAS_USER").is_some() && is_root_shell(getppid());
    }
    // Without SUDO_COMMAND, sudo is assumed to have started this program.
    let Ok(command) = env::var("SUDO_COMMAND") else { return false };
    let own = own_program::path().unwrap_or_default();
    !is_started_by(&command, &[own.as_path(), Path::new("containerdump"), Path::new("containerdump-install")])
}

/// Whether a process is a shell of root. A script has the name of its file, its program is the shell.
fn is_root_shell(process: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let program = fs::read_link(format!("/proc/{process}/exe")).unwrap_or_default();
    let program = program.file_name().and_then(|name| name.to_str());
    let field = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let is_root = field("Uid:").and_then(|ids| ids.split_whitespace().next()) == Some("0");
    is_root && [field("Name:"), program].into_iter().flatten().any(|name| SHELLS.contains(&name))
}

/// Whether sudo's `command` starts one of `programs`, possibly by another program (`sudo timeout 5 containerdump …`).
fn is_started_by(command: &str, programs: &[&Path]) -> bool {
    let mut words = command.split_whitespace().map(|word| Path::new(word).file_name());
    let is_shell =
        words.clone().next().flatten().is_some_and(|name| SHELLS.iter().any(|shell| name == *shell));
    !is_shell
        && words.any(|word| word.is_some() && programs.iter().any(|program| program.file_name() == word))
}

#[cfg(test)]
mod tests {
    use super::is_started_by;
    use std::path::Path;

    #[test]
    fn files_are_the_callers_where_sudo_was_called_for_this_program() {
        let is = |command| is_started_by(command, &[Path::new("/opt/containerdump"), Path::new("/x/cd-1.2")]);
        assert!(is("/usr/local/bin/containerdump capture web"));
        assert!(is("/usr/bin/timeout 5 containerdump capture web"));
        assert!(is("/home/ann/cd-1.2 serve"));
        for command in ["/bin/bash", "/usr/bin/su", "/bin/sh -c containerdump", "./captures.sh", ""] {
            assert!(!is(command), "{command}");
        }
    }
}
