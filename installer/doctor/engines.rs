//! Does an engine answer?

use containerdump::container::EngineKind;
use containerdump::engine::{self, Listing, Outcome};
use containerdump::link::Entered;
use containerdump::trouble::Trouble;

use super::report::Report;

const CHECK: &str = "engine";

/// Asks every engine.
pub(super) fn check(report: &mut Report) -> Vec<Listing> {
    let listings = engine::list(&Entered::default());
    let mut absent = Vec::new();
    for listing in &listings {
        if listing.engine == EngineKind::Kernel {
            check_kernel(report, &listing.outcome);
            continue;
        }
        let name = listing.engine.word();
        match &listing.outcome {
            Outcome::Containers { containers, left_out } => {
                report
                    .ok(CHECK, format!("{name} at {} runs {}", listing.endpoint, counted(containers.len())));
                if *left_out > 0 {
                    report.warning(CHECK, &not_understood(name, *left_out));
                }
            }
            Outcome::Absent => absent.push(format!("{name} at {}", listing.endpoint)),
            Outcome::Unusable(trouble) => report.failed(CHECK, trouble),
        }
    }
    if listings.iter().all(is_none) {
        let looked =
            if absent.is_empty() { String::new() } else { format!(" (looked for {})", absent.join(", ")) };
        report.failed(
            CHECK,
            &Trouble::new(
                format!("no container engine answers{looked}"),
                "start one (Docker: sudo systemctl start docker; Podman: systemctl --user enable --now podman.socket), \
                 or set DOCKER_HOST or CONTAINER_HOST to where it listens",
            ),
        );
    }
    listings
}

/// What the kernel shows beside the engines' containers. That is nothing on most machines.
fn check_kernel(report: &mut Report, outcome: &Outcome) {
    match outcome {
        Outcome::Containers { containers, .. } if containers.is_empty() => {}
        Outcome::Containers { containers, .. } => {
            let names: Vec<&str> = containers.iter().map(|one| one.name.as_str()).take(5).collect();
            let more = if containers.len() > names.len() { ", …" } else { "" };
            let found =
                format!("network namespaces of no engine: {} ({}{more})", containers.len(), names.join(", "));
            report.ok(CHECK, found);
        }
        Outcome::Absent => {}
        Outcome::Unusable(trouble) => report.warning(CHECK, trouble),
    }
}

/// Whether nothing came of it: no engine there, no network namespace to be seen.
fn is_none(listing: &Listing) -> bool {
    match &listing.outcome {
        Outcome::Containers { containers, .. } => {
            listing.engine == EngineKind::Kernel && containers.is_empty()
        }
        Outcome::Absent => true,
        Outcome::Unusable(_) => listing.engine == EngineKind::Kernel,
    }
}

fn counted(containers: usize) -> String {
    format!("{containers} container{}", if containers == 1 { "" } else { "s" })
}

fn not_understood(engine: &str, left_out: usize) -> Trouble {
    Trouble::new(
        format!("{} of {engine} could not be understood and cannot be captured", counted(left_out)),
        "look at them with `docker ps` and `docker inspect`; report it if they look as they should",
    )
}
