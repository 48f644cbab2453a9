//! The kinds of tap, and which of them a capture is asked to use.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::link::Tap;

/// A kind of tap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TapKind {
    /// At an interface of this host: the host veth, or the host's own where the container uses the host network.
    Host,
    /// Inside the container's network namespace.
    Inside,
    /// By a tap container, which the engine joins to the container's network namespace.
    Engine,
}

impl TapKind {
    /// The value of `--tap` that asks for it: `host`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Inside => "inside",
            Self::Engine => "engine",
        }
    }

    /// The kind of `tap`.
    pub const fn from_tap(tap: &Tap) -> Self {
        match tap {
            Tap::HostVeth { .. } | Tap::Host { .. } => Self::Host,
            Tap::Inside { .. } => Self::Inside,
            Tap::ThroughEngine { .. } => Self::Engine,
        }
    }
}

/// Which tap a capture uses, as `--tap` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TapChoice {
    /// The first that can be used.
    #[default]
    Auto,
    /// At the host veth.
    Host,
    /// Inside the container.
    Inside,
    /// By a tap container that the engine joins to it.
    Engine,
}

impl TapChoice {
    /// The kind that was asked for; `None` leaves the choice to the program.
    pub const fn kind(self) -> Option<TapKind> {
        match self {
            Self::Auto => None,
            Self::Host => Some(TapKind::Host),
            Self::Inside => Some(TapKind::Inside),
            Self::Engine => Some(TapKind::Engine),
        }
    }
}
