//! What the program may do, giving it up, and checking that it is gone.
//!
//! The order, which every caller keeps:
//!
//! 1. [`Privilege::confine`] is the first statement of `main`: no other process of the user can look into
//!    this one ([`forbid_inspection`]), nothing is in effect any more, nothing but `CAP_NET_RAW` can come
//!    back (for root also what entering a container's network namespace needs, under sudo also what step 4
//!    needs), no program started from here gains anything.
//! 2. Arguments, engine, kernel tables: all looked at without a capability.
//! 3. [`Privilege::raised`] around the opening of rings, on one thread.
//! 4. [`Privilege::become_caller`] before a file is written: under sudo it shall belong to the
//!    person who called, and not need root's right to every folder, which is gone.
//! 5. [`Privilege::give_up`] consumes it. What it returns is the proof that reading packets asks
//!    for: every thread of the process was seen without any capability.
//!
//! For a capture that others join, the opener is started before step 4: it is the same program, passes
//! step 1, and keeps `CAP_NET_RAW` and what entering a network namespace needs, out of effect
//! ([`Privilege::keep_to_open`]). It has no effect but in the taps that it starts, each a process of its own,
//! which goes through all steps before its first packet. Under `no_new_privs` exec gives a program
//! no more than the one before it had (security/commoncap.c, `cap_bprm_creds_from_file`).

use std::fs;
use std::io;
use std::path::Path;

use nix::unistd::{Gid, Uid, setfsgid, setfsuid, setgid, setgroups, setuid};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, set_capabilities,
    set_no_new_privs,
};

use crate::error::Error;
use crate::own_program;

/// Programs under which further ones are root's own: the files they write are root's, whoever called sudo.
const SHELLS: [&str; 9] = ["sh", "bash", "dash", "zsh", "fish", "ksh", "csh", "tcsh", "su"];

/// To hold a process's network namespace, and to enter it.
const ENTER_CAPABILITIES: CapabilitySet = CapabilitySet::SYS_ADMIN.union(CapabilitySet::SYS_PTRACE);

/// Forbids other processes of this user, also those of a rootless container, to read the memory of this process, its
/// descriptors and what it sees (`/proc/PID/mem`, `fd`, `root`). Exec allows it again: each program begins with this.
///
/// Fails when the kernel does not allow that.
pub fn forbid_inspection() -> Result<(), Error> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|errno| {
        cannot_continue_safely("protect its memory from other processes", &errno.to_string())
    })
}

/// Raises the limit of file descriptors to what the process may have at all, and returns it: a capture of many
/// containers takes five for each (two rings, each with a descriptor of libpcap's own, and a process). The
/// limit is low for the sake of programs that use select(2) (systemd's manual, `LimitNOFILE=`); this one, and
/// libpcap, use poll(2).
pub fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let now = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    now.unwrap_or(u64::MAX)
}

/// The right to open rings, kept but not in effect.
#[derive(Debug)]
pub struct Privilege {
    permitted: CapabilitySet,
}

/// Proof that no thread of the process has a capability or can gain one.
#[derive(Debug)]
pub struct Unprivileged(());

impl Privilege {
    /// Puts every capability out of effect and keeps `CAP_NET_RAW` and those to enter a network
    /// namespace, as far as they are there at all: a file installed for a group has the first only.
    ///
    /// Fails when the kernel does not allow that; nothing must be done then.
    pub fn confine() -> Result<Self, Error> {
        forbid_inspection()?;
        let confine = || -> io::Result<Self> {
            let mut kept = CapabilitySet::NET_RAW | ENTER_CAPABILITIES;
            if caller_of_sudo().is_some() {
                kept |= CapabilitySet::SETUID | CapabilitySet::SETGID;
            }
            let permitted = capabilities(None)?.permitted & kept;
            clear_ambient_capability_set()?;
            set(CapabilitySet::empty(), permitted)?;
            set_no_new_privs(true)?;
            Ok(Self { permitted })
        };
        confine().map_err(|error| cannot_continue_safely("put its rights out of effect", &error.to_string()))
    }

    /// Does `work` with `CAP_NET_RAW` in effect, if it is held.
    ///
    /// Fails when the capability cannot be taken out of effect again.
    pub fn with_net_raw<T>(&self, work: impl FnOnce() -> T) -> Result<T, Error> {
        self.with(CapabilitySet::NET_RAW, work)
    }

    /// Keeps, out of effect, what opening needs and nothing else: the opener hands it on to each tap it starts. No
    /// other program may be started afterwards.
    ///
    /// Fails when the rest cannot be dropped.
    pub fn keep_for_broker(self) -> Result<Self, Error> {
        let permitted = self.permitted & (CapabilitySet::NET_RAW | ENTER_CAPABILITIES);
        set(CapabilitySet::empty(), permitted)
            .map_err(|error| cannot_continue_safely("drop its rights", &error.to_string()))?;
        Ok(Self { permitted })
    }

    /// Whether rings can be opened in this network namespace.
    pub fn may_capture(&self) -> bool {
        self.permitted.contains(CapabilitySet::NET_RAW)
    }

    /// Whether the network namespace of another process can be entered.
    pub fn may_enter(&self) -> bool {
        self.permitted.contains(ENTER_CAPABILITIES)
    }

    /// Does `work` on a thread of its own, with what entering a network namespace and opening
    /// rings there needs in effect. The thread has ended, and has given up everything before,
    /// when this returns.
    ///
    /// Fails when the thread cannot be started, or keeps a capability.
    pub fn on_entering_thread<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        let apart = || {
            let outcome = self.with(ENTER_CAPABILITIES | CapabilitySet::NET_RAW, work)?;
            drop_on_this_thread()
                .map_err(|error| cannot_continue_safely("drop its rights", &error.to_string()))?;
            Ok(outcome)
        };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().spawn_scoped(scope, apart);
            let thread = thread.map_err(|error| {
                Error::new(format!("cannot start a thread: {error}"), "free some processes: ulimit -u")
            })?;
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Drops every capability of the calling thread that came with entering a user namespace.
    ///
    /// Fails when the kernel does not allow that.
    pub fn drop_gained(&self) -> Result<(), Error> {
        drop_on_this_thread().map_err(|error| cannot_continue_safely("drop its rights", &error.to_string()))
    }

    /// Does `work`, which opens a file, as the user who called sudo, if there is one.
    ///
    /// Fails when the kernel does not allow that.
    pub fn as_caller<T>(&self, work: impl FnOnce() -> T) -> Result<T, Error> {
        let Some((user, group)) = caller_of_sudo() else { return Ok(work()) };
        self.with(CapabilitySet::SETUID | CapabilitySet::SETGID, || {
            let (own_group, own_user) = (setfsgid(group), setfsuid(user));
            let outcome = work();
            setfsuid(own_user);
            setfsgid(own_group);
            outcome
        })
    }

    /// Under sudo, becomes the user who called it, for good; else does nothing.
    ///
    /// Fails when the kernel does not allow that.
    pub fn become_caller(&mut self) -> Result<(), Error> {
        let Some((user, group)) = caller_of_sudo() else { return Ok(()) };
        let become_caller = || {
            setgroups(&[group])?;
            setgid(group)?;
            setuid(user)
        };
        self.with(CapabilitySet::SETUID | CapabilitySet::SETGID, become_caller)?
            .map_err(|errno| cannot_continue_safely("become the user who called sudo", errno.desc()))?;
        // The kernel took what was permitted to root.
        self.permitted = CapabilitySet::empty();
        Ok(())
    }

    fn with<T>(&self, wanted: CapabilitySet, work: impl FnOnce() -> T) -> Result<T, Error> {
        // Where it cannot be raised, the work says so in its own words.
        let _ = set(wanted & self.permitted, self.permitted);
        let outcome = work();
        let permitted = capabilities(None).map_or(self.permitted, |left| left.permitted);
        set(CapabilitySet::empty(), permitted)
            .map_err(|error| cannot_continue_safely("put its rights out of effect", &error.to_string()))?;
        Ok(outcome)
    }

    /// Drops everything, for good, and looks that it is gone from every thread.
    ///
    /// Fails when something is left; no packet must be read then.
    pub fn give_up(self) -> Result<Unprivileged, Error> {
        let failed = |why: &str| cannot_continue_safely("drop its rights", why);
        drop_on_this_thread().map_err(|error| failed(&error.to_string()))?;
        for task in fs::read_dir("/proc/self/task").map_err(|error| failed(&error.to_string()))?.flatten() {
            let Ok(status) = fs::read_to_string(task.path().join("status")) else { continue };
            if let Some(left) = status.lines().find(|line| is_remaining_capability(line)) {
                return Err(failed(&format!("a thread still has {left}")));
            }
        }
        Ok(Unprivileged(()))
    }
}

/// User and group of the user who started this program by sudo; `None` where sudo was called by root or started a
/// shell (`sudo -i`, `sudo su`), or where the program is not root's.
fn caller_of_sudo() -> Option<(Uid, Gid)> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    let (user, group) = (number("SUDO_UID")?, number("SUDO_GID")?);
    let root = Uid::current().is_root() && Uid::effective().is_root();
    (root && user != 0 && was_started_by_sudo()).then(|| (Uid::from_raw(user), Gid::from_raw(group)))
}

/// Whether sudo was called for this program, also by way of another (`sudo timeout 5 containerdump …`). Without a word
/// of what it was called for, that is taken for granted.
fn was_started_by_sudo() -> bool {
    let Ok(command) = std::env::var("SUDO_COMMAND") else { return true };
    let own = own_program::path().unwrap_or_default();
    is_started_by(&command, &[own.as_path(), Path::new("containerdump"), Path::new("containerdump-install")])
}

/// Whether the command of sudo's starts one of `programs`.
fn is_started_by(command: &str, programs: &[&Path]) -> bool {
    let mut words = command.split_whitespace().map(|word| Path::new(word).file_name());
    let is_shell =
        words.clone().next().flatten().is_some_and(|name| SHELLS.iter().any(|shell| name == *shell));
    !is_shell
        && words.any(|word| word.is_some() && programs.iter().any(|program| program.file_name() == word))
}

/// Takes every capability from the calling thread. Threads have sets of their own.
///
/// Fails when the kernel does not allow that.
pub fn drop_on_this_thread() -> io::Result<()> {
    Ok(set(CapabilitySet::empty(), CapabilitySet::empty())?)
}

fn set(effective: CapabilitySet, permitted: CapabilitySet) -> rustix::io::Result<()> {
    set_capabilities(None, CapabilitySets { effective, permitted, inheritable: CapabilitySet::empty() })
}

/// A line of `/proc/PID/status` that tells of a capability or of a way to gain one.
fn is_remaining_capability(line: &str) -> bool {
    let Some((key, value)) = line.split_once(':') else { return false };
    match key {
        "CapInh" | "CapPrm" | "CapEff" | "CapAmb" => value.trim().bytes().any(|digit| digit != b'0'),
        "NoNewPrivs" => value.trim() != "1",
        _ => false,
    }
}

fn cannot_continue_safely(tried: &str, why: &str) -> Error {
    Error::new(
        format!("containerdump could not {tried}: {why}; it stopped before reading a packet"),
        "see whether a sandbox around it forbids capset or prctl",
    )
}

#[cfg(test)]
mod tests {
    use super::{is_remaining_capability, is_started_by};
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

    #[test]
    fn a_capability_of_any_kind_is_seen() {
        assert!(is_remaining_capability("CapPrm:\t0000000000002000"));
        assert!(is_remaining_capability("NoNewPrivs:\t0"));
        assert!(!is_remaining_capability("CapEff:\t0000000000000000"));
        assert!(!is_remaining_capability("CapBnd:\t000001ffffffffff"));
        assert!(!is_remaining_capability("NoNewPrivs:\t1"));
    }
}
