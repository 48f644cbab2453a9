//! Whether engines answer.

use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};

use containerdump::container::EngineKind;
use containerdump::engine::{self, EngineListing, EngineStatus};
use containerdump::error::Error;
use containerdump::link::NamedNamespaces;

use super::report::DoctorReport;
use crate::membership;

const CHECK: &str = "engine";

/// Lists the containers of each engine.
pub(super) fn check(report: &mut DoctorReport) -> Vec<EngineListing> {
    let listings = engine::list(&NamedNamespaces::default(), engine::EngineTimeouts::COMMAND_LINE);
    if let Some(error) = engine::docker_config_error() {
        report.warning(CHECK, &error);
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
            EngineStatus::Unavailable(error) => match closed_socket(listing.endpoint.as_str()) {
                Some(why) => report.failed(CHECK, &why),
                None => report.failed(CHECK, error),
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
        let error = Error::new(
            format!("no container engine answers{looked}"),
            "start one (Docker: sudo systemctl start docker; Podman: systemctl --user enable --now podman.socket), \
             or set DOCKER_HOST or CONTAINER_HOST to where it listens",
        );
        // Network namespaces can be captured without an engine.
        if others > 0 { report.warning(CHECK, &error) } else { report.failed(CHECK, &error) }
    }
    listings
}

/// Why this user may not use the socket of an engine; `None` where permissions are not the reason.
fn closed_socket(endpoint: &str) -> Option<Error> {
    let socket = Path::new(endpoint.strip_prefix("unix://")?);
    (access(socket, AccessFlags::W_OK) == Err(Errno::EACCES) && socket.exists())
        .then(|| membership::not_writable(socket))
}

/// Reports network namespaces that belong to no engine; returns their number.
fn check_kernel(report: &mut DoctorReport, outcome: &EngineStatus) -> usize {
    match outcome {
        EngineStatus::Available { containers, .. } if !containers.is_empty() => {
            let names: Vec<&str> = containers.iter().map(|one| one.name.as_str()).take(5).collect();
            let more = if containers.len() > names.len() { ", …" } else { "" };
            let found = format!(
                "network namespaces without an engine: {} ({}{more})",
                containers.len(),
                names.join(", ")
            );
            report.ok(CHECK, found);
            containers.len()
        }
        EngineStatus::Available { .. } | EngineStatus::Absent => 0,
        EngineStatus::Unavailable(error) => {
            report.warning(CHECK, error);
            0
        }
    }
}

fn counted(containers: usize) -> String {
    format!("{containers} container{}", if containers == 1 { "" } else { "s" })
}

fn not_understood(engine: &str, left_out: usize) -> Error {
    Error::new(
        format!(
            "{} of {engine} cannot be captured: the engine's description could not be parsed",
            counted(left_out)
        ),
        "inspect them (docker inspect, podman inspect); if nothing is wrong with them, report a bug",
    )
}
