//! Does an engine answer?

use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};

use containerdump::container::EngineKind;
use containerdump::engine::{self, EngineListing, EngineStatus};
use containerdump::error::Error;
use containerdump::link::NamedNamespaces;

use super::report::Report;
use crate::membership;

const CHECK: &str = "engine";

/// Asks every engine.
pub(super) fn check(report: &mut Report) -> Vec<EngineListing> {
    let listings = engine::list(&NamedNamespaces::default(), engine::EngineTimeouts::COMMAND_LINE);
    if let Some(trouble) = engine::docker_config_error() {
        report.warning(CHECK, &trouble);
    }
    let mut absent = Vec::new();
    let (of_kernel, of_engines): (Vec<&EngineListing>, Vec<&EngineListing>) =
        listings.iter().partition(|listing| listing.engine == EngineKind::Kernel);
    for listing in &of_engines {
        let name = listing.engine.as_str();
        match &listing.status {
            EngineStatus::Available { containers, unreadable: left_out } => {
                report
                    .ok(CHECK, format!("{name} at {} runs {}", listing.endpoint, counted(containers.len())));
                if *left_out > 0 {
                    report.warning(CHECK, &not_understood(name, *left_out));
                }
            }
            EngineStatus::Absent => absent.push(format!("{name} at {}", listing.endpoint)),
            EngineStatus::Unavailable(trouble) => match closed_socket(listing.endpoint.as_str()) {
                Some(why) => report.failed(CHECK, &why),
                None => report.failed(CHECK, trouble),
            },
        }
    }
    let mut others = 0;
    for listing in of_kernel {
        others += check_kernel(report, &listing.status);
    }
    if absent.len() == of_engines.len() {
        let looked =
            if absent.is_empty() { String::new() } else { format!(" (looked for {})", absent.join(", ")) };
        let trouble = Error::new(
            format!("no container engine answers{looked}"),
            "start one (Docker: sudo systemctl start docker; Podman: systemctl --user enable --now podman.socket), \
             or set DOCKER_HOST or CONTAINER_HOST to where it listens",
        );
        // What the kernel shows can be captured all the same.
        if others > 0 { report.warning(CHECK, &trouble) } else { report.failed(CHECK, &trouble) }
    }
    listings
}

/// Why this user may not use the socket of an engine, where that is the reason. The session matters: a group that
/// was joined just now counts from the next login on.
fn closed_socket(endpoint: &str) -> Option<Error> {
    let socket = Path::new(endpoint.strip_prefix("unix://")?);
    (access(socket, AccessFlags::W_OK) == Err(Errno::EACCES) && socket.exists())
        .then(|| membership::not_writable(socket))
}

/// What the kernel shows beside the engines' containers; how many namespaces that are. There are none
/// on most machines.
fn check_kernel(report: &mut Report, outcome: &EngineStatus) -> usize {
    match outcome {
        EngineStatus::Available { containers, .. } if !containers.is_empty() => {
            let names: Vec<&str> = containers.iter().map(|one| one.name.as_str()).take(5).collect();
            let more = if containers.len() > names.len() { ", …" } else { "" };
            let found =
                format!("network namespaces of no engine: {} ({}{more})", containers.len(), names.join(", "));
            report.ok(CHECK, found);
            containers.len()
        }
        EngineStatus::Available { .. } | EngineStatus::Absent => 0,
        EngineStatus::Unavailable(trouble) => {
            report.warning(CHECK, trouble);
            0
        }
    }
}

fn counted(containers: usize) -> String {
    format!("{containers} container{}", if containers == 1 { "" } else { "s" })
}

fn not_understood(engine: &str, left_out: usize) -> Error {
    Error::new(
        format!("{} of {engine} could not be understood and cannot be captured", counted(left_out)),
        "look at them with `docker ps` and `docker inspect`; report it if they look as they should",
    )
}
