//! Does an engine answer?

use containerdump::engine::{self, Listing, Outcome};
use containerdump::trouble::Trouble;

use super::report::Report;

const CHECK: &str = "engine";

/// Asks every engine.
pub(super) fn check(report: &mut Report) -> Vec<Listing> {
    let listings = engine::list();
    let mut absent = Vec::new();
    for listing in &listings {
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
    if absent.len() == listings.len() {
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

fn counted(containers: usize) -> String {
    format!("{containers} container{}", if containers == 1 { "" } else { "s" })
}

fn not_understood(engine: &str, left_out: usize) -> Trouble {
    Trouble::new(
        format!("{} of {engine} could not be understood and cannot be captured", counted(left_out)),
        "look at them with `docker ps` and `docker inspect`; report it if they look as they should",
    )
}
