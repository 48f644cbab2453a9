//! Hosts that other programs know: entries of ssh's settings, Docker's contexts, Podman's connections.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::{Saved, ssh_config};
use crate::engine;
use crate::error::Error;
use crate::ssh::{Gain, Host};

/// Who knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `~/.ssh/config`.
    SshConfig,
    /// Docker's contexts.
    Docker,
    /// Podman's connections.
    Podman,
}

/// One that is known there, by its name there; why it cannot be saved, where it cannot.
#[derive(Debug)]
pub struct Found {
    /// What it is called there.
    pub name: String,
    /// What to save.
    pub saved: Result<Saved, String>,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::SshConfig, Self::Docker, Self::Podman];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::SshConfig => "ssh-config",
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }
}

/// The hosts that `source` knows and that ssh leads to.
///
/// Fails when it cannot be read or asked.
pub fn found(source: Source) -> Result<Vec<Found>, Error> {
    match source {
        Source::SshConfig => of_ssh(),
        Source::Docker => Ok(of_docker()),
        Source::Podman => of_podman(),
    }
}

/// ssh itself says where they lead.
fn of_ssh() -> Result<Vec<Found>, Error> {
    let host = |name: String| Found { saved: saved(&name, None), name };
    Ok(ssh_config::names()?.into_iter().map(host).collect())
}

fn of_docker() -> Vec<Found> {
    let all = engine::docker_contexts().into_iter();
    all.filter_map(|(name, address)| Some(Found { saved: of_url(&address, None)?, name })).collect()
}

/// A connection, as `podman system connection list` tells of it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OfPodman {
    name: String,
    #[serde(rename = "URI")]
    uri: String,
    #[serde(default)]
    identity: String,
}

fn of_podman() -> Result<Vec<Found>, Error> {
    let cannot = |why: String| {
        Error::new(
            format!("cannot ask podman for its connections: {why}"),
            "see what this prints: podman system connection list --format json",
        )
    };
    let mut podman = Command::new("podman");
    podman.args(["system", "connection", "list", "--format", "json"]).stdin(Stdio::null());
    let told = podman.output().map_err(|error| cannot(error.to_string()))?;
    if !told.status.success() {
        let said = String::from_utf8_lossy(&told.stderr).into_owned();
        return Err(cannot(said.lines().last().unwrap_or("it does not say why").to_owned()));
    }
    let all: Option<Vec<OfPodman>> =
        serde_json::from_slice(&told.stdout).map_err(|error| cannot(error.to_string()))?;
    let found = all.unwrap_or_default().into_iter().filter_map(|one| {
        let key = Some(one.identity).filter(|key| !key.is_empty()).map(PathBuf::from);
        // The one that is in use has a star in some versions.
        Some(Found { saved: of_url(&one.uri, key)?, name: one.name.trim_end_matches('*').to_owned() })
    });
    Ok(found.collect())
}

/// What an engine's address says of the host; `None` where ssh does not lead there.
fn of_url(url: &str, key: Option<PathBuf>) -> Option<Result<Saved, String>> {
    let rest = url.strip_prefix("ssh://")?;
    // Behind that is the engine's socket.
    Some(saved(rest.split('/').next().unwrap_or_default(), key))
}

fn saved(address: &str, key: Option<PathBuf>) -> Result<Saved, String> {
    address.parse::<Host>().map(|host| Saved { host, gain: Gain::default(), key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_engines_are_those_of_their_hosts() {
        let of = |url: &str| of_url(url, None).map(|saved| saved.map(|saved| saved.host.address()));
        assert_eq!(of("ssh://ann@build1:2222/run/podman.sock"), Some(Ok("ann@build1:2222".to_owned())));
        assert_eq!(of("ssh://build1"), Some(Ok("build1".to_owned())));
        assert_eq!(of("unix:///var/run/docker.sock"), None);
        assert!(matches!(of("ssh://-oProxyCommand=x/"), Some(Err(_))));
    }
}
