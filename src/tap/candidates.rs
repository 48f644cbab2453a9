//! The possible taps of an attachment, best first, and why some are unavailable.

use std::fmt;

use super::{TapKind, Target};
use crate::container::{Container, EngineKind};
use crate::error::Error;
use crate::link::{Attachment, Tap};
use crate::privilege::Privilege;
use crate::safe_text::SafeText;
use crate::static_program::{self, Architecture, StaticProgram};

/// Which taps this process may open.
#[derive(Clone, Debug)]
pub struct TapRights {
    /// Whether it can open rings in its own network namespace (`CAP_NET_RAW`).
    pub capture: bool,
    /// Whether it may enter the namespaces of its user's rootless containers, permanently.
    pub enter_rootless: bool,
    /// Whether it can enter other network namespaces (`CAP_SYS_ADMIN`, `CAP_SYS_PTRACE`).
    pub enter: bool,
    /// Why no tap container can be created; `None` if one can.
    pub missing_program: Option<Error>,
}

impl TapRights {
    /// What `privilege` and the installation allow.
    pub fn from_privilege(privilege: &Privilege) -> Self {
        let is_there = Architecture::current().is_some_and(StaticProgram::is_available);
        let no_program = (!is_there).then(|| {
            Error::new("no containerdump without shared libraries is installed", static_program::BUILD_REMEDY)
        });
        Self {
            capture: privilege.may_capture(),
            enter_rootless: true,
            enter: privilege.may_enter(),
            missing_program: no_program,
        }
    }
}

/// A possible tap of an attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapCandidate {
    /// The tap.
    pub tap: Tap,
    /// Why it cannot be used; `None` if it can.
    pub unavailable: Option<Unavailable>,
}

/// Why a tap cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// `no permission to capture`
    pub reason: SafeText,
    /// `sudo make install`
    pub remedy: SafeText,
}

impl Unavailable {
    fn new(reason: impl AsRef<str>, remedy: impl AsRef<str>) -> Self {
        Self {
            reason: SafeText::with_limit(reason.as_ref(), 200),
            remedy: SafeText::with_limit(remedy.as_ref(), 200),
        }
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (remedy: {})", self.reason, self.remedy)
    }
}

/// The possible taps of `attachment`, best first.
pub fn tap_candidates(target: &Target, attachment: &Attachment, rights: &TapRights) -> Vec<TapCandidate> {
    let mut candidates = Vec::new();
    let container = &target.container;
    if TapKind::from_tap(&attachment.tap) == TapKind::Host {
        let mut unavailable = (!rights.capture).then(|| {
            Unavailable::new(
                "no permission to capture",
                "make install, become a member of the group wireshark (sudo usermod -aG wireshark \"$USER\", then log in again)",
            )
        });
        if unavailable.is_none() && target.down.contains(&attachment.tap) {
            let device = SafeText::new(attachment.tap.device());
            unavailable =
                Some(Unavailable::new("the host veth is down", format!("sudo ip link set {device} up")));
        }
        candidates.push(TapCandidate { tap: attachment.tap.clone(), unavailable });
    }
    // With the host network there is no namespace to enter.
    let to_enter = target.holder.is_ok() && !attachment.tap.is_host_interface();
    if let Some(name) = attachment.inside.clone().filter(|_| to_enter) {
        let may_enter = rights.enter || target.rootless.is_some();
        candidates.push(TapCandidate {
            tap: Tap::Inside { name },
            unavailable: (!may_enter).then(|| entry_denied(container)),
        });
    }
    if container.engine == EngineKind::Kernel {
        return candidates;
    }
    let better = candidates.iter().filter_map(|candidate| {
        candidate.unavailable.as_ref().map(|unavailable| {
            format!("{}: {}", TapKind::from_tap(&candidate.tap).as_str(), unavailable.reason)
        })
    });
    let why = match &target.holder {
        Ok(_) => SafeText::with_limit(&better.collect::<Vec<_>>().join(", "), 100),
        Err(_) => SafeText::new("its engine runs on another host"),
    };
    let unavailable = rights
        .missing_program
        .as_ref()
        .map(|error| Unavailable::new(error.message().as_str(), error.remedy().as_str()));
    candidates
        .push(TapCandidate { tap: Tap::ThroughEngine { name: attachment.inside.clone(), why }, unavailable });
    candidates
}

fn entry_denied(container: &Container) -> Unavailable {
    if container.endpoint.is_rootless() {
        Unavailable::new("it belongs to another user", "capture as the user who runs its engine")
    } else {
        Unavailable::new("only root may enter it", format!("sudo containerdump capture {}", container.name))
    }
}
