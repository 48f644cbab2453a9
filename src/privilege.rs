//! Capabilities of the process: permitted but not effective, raised for a moment, dropped, and verified to be gone.
//!
//! Every program of ours keeps this order:
//!
//! 1. [`Privilege::confine`] is the first statement of `main`: other processes of the user cannot inspect this one
//!    ([`forbid_inspection`]); nothing is effective; only `CAP_NET_RAW` stays permitted (for root also the capabilities to
//!    enter a network namespace, under sudo and doas also those that step 4 needs); `no_new_privs` is set.
//! 2. Arguments are parsed, engines and the kernel queried without an effective capability.
//! 3. [`Privilege::with_net_raw`] opens rings, on one thread.
//! 4. [`Privilege::become_caller`] before a file is written: under sudo and doas it belongs to the user who called them.
//! 5. [`Privilege::give_up`] consumes it and returns the proof that reading packets requires: no thread of the process
//!    has a capability.
//!
//! For captures that follow containers, the broker is started before step 4. It is the same program, passes step 1, and
//! keeps `CAP_NET_RAW` and the capabilities to enter a network namespace permitted ([`Privilege::keep_for_broker`]). They
//! become effective only in the taps that it starts, each a process that goes through all steps. Under `no_new_privs`,
//! execve(2) adds none (security/commoncap.c, `cap_bprm_creds_from_file`).

mod caller;

use std::fs;
use std::io;

use nix::unistd::{Gid, Uid, setfsgid, setfsuid, setgid, setgroups, setuid};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, set_capabilities,
    set_no_new_privs,
};

pub use caller::{Caller, caller, elevated_user};

use crate::error::Error;

/// Capabilities to open a process's network namespace and to enter it.
const ENTER_CAPABILITIES: CapabilitySet = CapabilitySet::SYS_ADMIN.union(CapabilitySet::SYS_PTRACE);

/// Capabilities to become the user who called sudo or doas.
const BECOME_CAPABILITIES: CapabilitySet = CapabilitySet::SETUID.union(CapabilitySet::SETGID);

/// Makes this process non-dumpable (prctl(2), `PR_SET_DUMPABLE`): other processes of the same user, also in rootless
/// containers, cannot access its `/proc/PID/mem`, `fd` and `root`. execve(2) resets it, so each program calls this first.
/// Core files, which would contain packets, are forbidden to it and to the programs it starts.
///
/// Fails when the kernel refuses.
pub fn forbid_inspection() -> Result<(), Error> {
    let no_core = || setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    clear_dumpable().and_then(|()| Ok(no_core()?)).map_err(|error| {
        cannot_continue_safely("protect its memory from other processes", &error.to_string())
    })
}

/// Makes this process non-dumpable again, after a change of its user IDs or new capabilities: the kernel then sets what
/// `fs.suid_dumpable` says (kernel/cred.c, `commit_creds`).
pub(crate) fn clear_dumpable() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Raises the soft limit of file descriptors to the hard limit, and returns it. A capture needs five for each container.
/// The soft limit is low for programs that use select(2) (systemd.exec(5), `LimitNOFILE=`); this one uses poll(2).
pub fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let now = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    now.unwrap_or(u64::MAX)
}

/// The capabilities that this process may use: permitted, but not effective (capabilities(7)).
#[derive(Debug)]
pub struct Privilege {
    permitted: CapabilitySet,
}

/// Proof that no thread of the process has a capability or can gain one.
#[derive(Debug)]
pub struct Unprivileged(());

impl Privilege {
    /// Clears the effective set, and keeps `CAP_NET_RAW` and the capabilities to enter a network namespace permitted,
    /// as far as the process has them: the installed program has the first only.
    ///
    /// Fails when the kernel refuses; the process must exit then.
    pub fn confine() -> Result<Self, Error> {
        forbid_inspection()?;
        let mut kept = CapabilitySet::NET_RAW | ENTER_CAPABILITIES;
        if caller_to_become()?.is_some() {
            kept |= BECOME_CAPABILITIES;
        }
        let confine = || -> io::Result<Self> {
            let permitted = capabilities(None)?.permitted & kept;
            clear_ambient_capability_set()?;
            set(CapabilitySet::empty(), permitted)?;
            set_no_new_privs(true)?;
            Ok(Self { permitted })
        };
        confine()
            .map_err(|error| cannot_continue_safely("clear its effective capabilities", &error.to_string()))
    }

    /// Runs `work` with `CAP_NET_RAW` effective, if it is permitted.
    ///
    /// Fails when the effective set cannot be cleared again.
    pub fn with_net_raw<T>(&self, work: impl FnOnce() -> T) -> Result<T, Error> {
        self.with(CapabilitySet::NET_RAW, work)
    }

    /// Keeps what opening taps needs permitted, and drops everything else: the broker passes it on to each tap it
    /// starts. No other program may be started afterwards.
    ///
    /// Fails when the others cannot be dropped.
    pub fn keep_for_broker(self) -> Result<Self, Error> {
        let permitted = self.permitted & (CapabilitySet::NET_RAW | ENTER_CAPABILITIES);
        set(CapabilitySet::empty(), permitted)
            .map_err(|error| cannot_continue_safely("drop its capabilities", &error.to_string()))?;
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

    /// Runs `work` on a separate thread, with the capabilities to enter a network namespace and to open rings effective.
    /// The thread has dropped them and has been joined when this returns.
    ///
    /// Fails when the thread cannot be started, or cannot drop its capabilities.
    pub fn on_entering_thread<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        let apart = || {
            let outcome = self.with(ENTER_CAPABILITIES | CapabilitySet::NET_RAW, work)?;
            drop_on_this_thread()
                .map_err(|error| cannot_continue_safely("drop its capabilities", &error.to_string()))?;
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

    /// Drops the capabilities that the calling thread gained by entering a user namespace.
    ///
    /// Fails when the kernel refuses.
    pub fn drop_gained(&self) -> Result<(), Error> {
        drop_on_this_thread()
            .map_err(|error| cannot_continue_safely("drop its capabilities", &error.to_string()))
    }

    /// Runs `work`, which reads or opens files, with the file system IDs of the user who called sudo or doas, if there is
    /// one, and without effective capabilities.
    ///
    /// Fails when the kernel refuses.
    pub fn as_caller<T>(&self, work: impl FnOnce() -> T) -> Result<T, Error> {
        let Some(caller) = caller_to_become()? else { return Ok(work()) };
        let own = Caller { user: Uid::effective(), group: Gid::effective() };
        self.set_file_system_ids(caller)?;
        let outcome = work();
        self.set_file_system_ids(own)?;
        Ok(outcome)
    }

    fn set_file_system_ids(&self, ids: Caller) -> Result<(), Error> {
        let is_set = self.with(BECOME_CAPABILITIES, || {
            setfsgid(ids.group);
            setfsuid(ids.user);
            setfsgid(Gid::from_raw(u32::MAX)) == ids.group && file_system_user() == ids.user
        })?;
        forbid_inspection()?;
        if is_set {
            Ok(())
        } else {
            Err(cannot_continue_safely("open files as the user who called sudo or doas", "not permitted"))
        }
    }

    /// Under sudo and doas, changes to the user who called it, permanently; otherwise does nothing.
    ///
    /// Fails when the kernel refuses.
    pub fn become_caller(&mut self) -> Result<(), Error> {
        let Some(Caller { user, group }) = caller_to_become()? else { return Ok(()) };
        let become_caller = || {
            setgroups(&[group])?;
            setgid(group)?;
            setuid(user)
        };
        self.with(BECOME_CAPABILITIES, become_caller)?.map_err(|errno| {
            cannot_continue_safely("become the user who called sudo or doas", errno.desc())
        })?;
        forbid_inspection()?;
        // setuid(2) has cleared root's permitted set.
        self.permitted = CapabilitySet::empty();
        Ok(())
    }

    fn with<T>(&self, wanted: CapabilitySet, work: impl FnOnce() -> T) -> Result<T, Error> {
        // If this fails, `work` fails with a better message.
        let _ = set(wanted & self.permitted, self.permitted);
        let outcome = work();
        let permitted = capabilities(None).map_or(self.permitted, |left| left.permitted);
        set(CapabilitySet::empty(), permitted).map_err(|error| {
            cannot_continue_safely("clear its effective capabilities", &error.to_string())
        })?;
        Ok(outcome)
    }

    /// Drops all capabilities permanently, and verifies it for every thread.
    ///
    /// Fails when one remains; no packet may be read then.
    pub fn give_up(self) -> Result<Unprivileged, Error> {
        let failed = |why: &str| cannot_continue_safely("drop its capabilities", why);
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

/// The user that files are opened as.
pub fn file_system_user() -> Uid {
    // With an invalid user, setfsuid changes nothing and returns the current one.
    setfsuid(Uid::from_raw(u32::MAX))
}

/// The user to become, who called sudo or doas; `None` if this process is not root (any more).
fn caller_to_become() -> Result<Option<Caller>, Error> {
    let is_root = Uid::current().is_root() && Uid::effective().is_root();
    if is_root { caller() } else { Ok(None) }
}

/// Drops all capabilities of the calling thread; capability sets are per thread (capabilities(7)).
///
/// Fails when the kernel refuses.
pub fn drop_on_this_thread() -> io::Result<()> {
    Ok(set(CapabilitySet::empty(), CapabilitySet::empty())?)
}

fn set(effective: CapabilitySet, permitted: CapabilitySet) -> rustix::io::Result<()> {
    set_capabilities(None, CapabilitySets { effective, permitted, inheritable: CapabilitySet::empty() })
}

/// Whether a line of `/proc/PID/status` shows a capability or a way to gain one.
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
        format!("containerdump could not {tried}: {why}; it exited before reading any packet"),
        "check whether a sandbox around it forbids capset or prctl",
    )
}

#[cfg(test)]
mod tests {
    use super::is_remaining_capability;

    #[test]
    fn a_capability_of_any_kind_is_seen() {
        assert!(is_remaining_capability("CapPrm:\t0000000000002000"));
        assert!(is_remaining_capability("NoNewPrivs:\t0"));
        assert!(!is_remaining_capability("CapEff:\t0000000000000000"));
        assert!(!is_remaining_capability("CapBnd:\t000001ffffffffff"));
        assert!(!is_remaining_capability("NoNewPrivs:\t1"));
    }
}
