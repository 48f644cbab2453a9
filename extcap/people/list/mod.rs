//! `containerdump list`.

mod json;
mod table;
mod taps;

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use clap::Args;
use containerdump::container::Container;
use containerdump::engine;
use containerdump::link::{Attachment, Entered, Links};
use containerdump::privilege::Privilege;
use containerdump::tap::{self, Means, Offer};
use containerdump::trouble::Trouble;

/// Show running containers, their networks, addresses, and where their packets are taken
#[derive(Args)]
#[command(after_help = "\
Examples:
  containerdump list
  containerdump list -v      # which taps there are, and what the others would need
  containerdump list --json | jq -r '.name + \" \" + (.attachments[].host_veth | values)'

TAPS tells where a capture takes packets. Needs no right but to speak to the engines.")]
pub(super) struct List {
    /// Print one JSON object per container and line (see docs/list-json.md)
    #[arg(long)]
    json: bool,

    /// Tell of each attachment which taps there are, best first, and what those that cannot be
    /// used would need
    #[arg(short, long, conflicts_with = "json")]
    verbose: bool,
}

/// The longest that looking up all containers may take.
const LONGEST: Duration = Duration::from_secs(10);

impl List {
    pub(super) fn run(self, privilege: &Privilege) -> Result<(), Trouble> {
        let latest = Instant::now() + LONGEST;
        let means = Means::of(privilege);
        let entered = tap::entered(privilege)?;
        let running = tap::running(&entered, engine::FOR_A_LIST)?;
        let links = Links::now()?;
        let containers = running.containers.into_iter();
        let found: Vec<Found> =
            containers.map(|container| Found::new(container, (&links, &entered), &means, latest)).collect();
        let text = match (self.json, self.verbose) {
            (true, _) => json::lines(&found),
            (false, true) => taps::explained(&found),
            (false, false) => table::table(&found),
        };
        // A reader who has left does not want the rest.
        let _ = io::stdout().write_all(text.as_bytes());
        for trouble in running.troubles {
            // Beside the list, which scripts read.
            let _ = writeln!(io::stderr(), "{trouble}");
        }
        Ok(())
    }
}

/// A container, and where its packets pass or why that is not known.
struct Found {
    container: Container,
    passes: Vec<Passes>,
    trouble: Option<Trouble>,
}

/// An attachment, and the taps there are for it.
struct Passes {
    attachment: Attachment,
    offers: Vec<Offer>,
    /// Whether it is captured where nothing is asked for.
    is_default: bool,
}

impl Found {
    /// Looks a container up, unless it is later than `latest` already.
    fn new(
        mut container: Container,
        (links, entered): (&Links, &Entered),
        means: &Means,
        latest: Instant,
    ) -> Self {
        let looked_up = if Instant::now() < latest {
            tap::look_up(&mut container, links, entered)
        } else {
            Err(Trouble::new(
                format!("container {} was not looked up: the engine answers too slowly", container.name),
                format!("see whether the engine hangs: {} ps", container.engine.word()),
            ))
        };
        let target = match looked_up {
            Ok(target) => target,
            Err(trouble) => return Self { container, passes: Vec::new(), trouble: Some(trouble) },
        };
        let passes = target.attachments.iter().map(|attachment| Passes {
            attachment: attachment.clone(),
            offers: tap::offers(&target, attachment, means),
            is_default: tap::is_default(attachment, &target.attachments),
        });
        Self { passes: passes.collect(), container, trouble: None }
    }

    /// What a capture takes where nothing else is asked for.
    fn captured(&self) -> impl Iterator<Item = &Passes> {
        self.passes.iter().filter(|one| one.is_default)
    }
}

impl Passes {
    /// The tap that a capture takes; `None` where none can be used.
    fn best(&self) -> Option<&Offer> {
        self.offers.iter().find(|offer| offer.lack.is_none())
    }
}
