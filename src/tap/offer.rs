//! The taps there are for an attachment, best first, and what each would need.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::Target;
use crate::container::{Container, EngineKind};
use crate::error::Error;
use crate::link::{Attachment, Tap};
use crate::privilege::Privilege;
use crate::safe_text::SafeText;
use crate::static_program::{self, Architecture, StaticProgram};

/// A kind of tap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// At an interface of this host: the host veth, or its own where the container uses its network.
    Host,
    /// Inside the container's network namespace.
    Inside,
    /// By a tap container, which the engine joins to the container's network namespace.
    Engine,
}

impl Kind {
    /// All, the best first: the one that needs least.
    pub const ALL: [Self; 3] = [Self::Host, Self::Inside, Self::Engine];

    /// The word that asks for it: `host`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Inside => "inside",
            Self::Engine => "engine",
        }
    }

    /// The kind that `word` asks for; `None` where it asks for none of them.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// Of which kind `tap` is.
    pub const fn of(tap: &Tap) -> Self {
        match tap {
            Tap::HostVeth { .. } | Tap::Host { .. } => Self::Host,
            Tap::Inside { .. } => Self::Inside,
            Tap::ThroughEngine { .. } => Self::Engine,
        }
    }
}

/// The tap that a capture is to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum TapChoice {
    /// The first of the others that can be used
    #[default]
    Auto,
    /// The host veth, or the interface of the host whose network the container uses
    Host,
    /// Inside the network namespace of the container
    Inside,
    /// A tap container, which the engine joins to the network namespace of the container
    Engine,
}

impl TapChoice {
    /// The kind of tap; `None` for [`TapChoice::Auto`].
    pub const fn kind(self) -> Option<Kind> {
        match self {
            Self::Auto => None,
            Self::Host => Some(Kind::Host),
            Self::Inside => Some(Kind::Inside),
            Self::Engine => Some(Kind::Engine),
        }
    }
}

/// What the program may do, as far as taps need it.
#[derive(Clone, Debug)]
pub struct Means {
    /// Open rings in this network namespace: `CAP_NET_RAW`.
    pub capture: bool,
    /// Go into a container of the caller's own rootless engine, for good.
    pub goes_there: bool,
    /// Enter another network namespace and open rings there.
    pub enter: bool,
    /// Why no tap container can be made here; `None` where it can.
    pub no_program: Option<Error>,
}

impl Means {
    /// What `privilege` allows, on this machine as it is installed.
    pub fn of(privilege: &Privilege) -> Self {
        let is_there = Architecture::own().is_some_and(StaticProgram::is_there);
        let no_program = (!is_there).then(|| {
            Error::new("no containerdump without shared libraries is installed", static_program::REMEDY)
        });
        Self { capture: privilege.may_capture(), goes_there: true, enter: privilege.may_enter(), no_program }
    }
}

/// A tap that could serve an attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Where the packets would be taken.
    pub tap: Tap,
    /// What is missing for that; `None` where it can be used.
    pub lack: Option<Lack>,
}

/// Why a tap cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// `no permission to capture`
    pub why: SafeText,
    /// `sudo make install`
    pub remedy: SafeText,
}

impl Lack {
    fn new(why: impl AsRef<str>, remedy: impl AsRef<str>) -> Self {
        Self {
            why: SafeText::with_limit(why.as_ref(), 200),
            remedy: SafeText::with_limit(remedy.as_ref(), 200),
        }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (remedy: {})", self.why, self.remedy)
    }
}

/// The taps that packets of `attachment` pass, best first.
pub fn offers(target: &Target, attachment: &Attachment, means: &Means) -> Vec<Offer> {
    let mut offers = Vec::new();
    let container = &target.container;
    if Kind::of(&attachment.tap) == Kind::Host {
        let mut lack = (!means.capture).then(|| {
            Lack::new(
                "no permission to capture",
                "make install, become a member of the group wireshark (sudo usermod -aG wireshark \"$USER\", then log in again)",
            )
        });
        if lack.is_none() && target.down.contains(&attachment.tap) {
            let device = SafeText::new(attachment.tap.device());
            lack = Some(Lack::new("the host veth is down", format!("sudo ip link set {device} up")));
        }
        offers.push(Offer { tap: attachment.tap.clone(), lack });
    }
    // Where the network is the host's there is nothing to enter.
    let to_enter = target.holder.is_ok() && !attachment.tap.is_hosts();
    if let Some(name) = attachment.inside.clone().filter(|_| to_enter) {
        let may_enter = means.enter || target.rootless.is_some();
        offers.push(Offer {
            tap: Tap::Inside { name },
            lack: (!may_enter).then(|| not_ours_to_enter(container)),
        });
    }
    if container.engine == EngineKind::Kernel {
        return offers;
    }
    let better = offers.iter().filter_map(|offer| {
        offer.lack.as_ref().map(|lack| format!("{}: {}", Kind::of(&offer.tap).word(), lack.why))
    });
    let why = match &target.holder {
        Ok(_) => SafeText::with_limit(&better.collect::<Vec<_>>().join(", "), 100),
        Err(_) => SafeText::new("its engine runs elsewhere"),
    };
    let lack = means
        .no_program
        .as_ref()
        .map(|trouble| Lack::new(trouble.message().as_str(), trouble.remedy().as_str()));
    offers.push(Offer { tap: Tap::ThroughEngine { name: attachment.inside.clone(), why }, lack });
    offers
}

fn not_ours_to_enter(container: &Container) -> Lack {
    if container.endpoint.is_rootless() {
        Lack::new("it belongs to another user", "capture as the user who runs its engine")
    } else {
        Lack::new("only root may enter it", format!("sudo containerdump capture {}", container.name))
    }
}
