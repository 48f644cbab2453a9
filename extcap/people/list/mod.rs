//! `containerdump list`.

mod listed;
mod table;
mod taps;

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use clap::Args;
use containerdump::container::Container;
use containerdump::engine::Patience;
use containerdump::link::{Attachment, Entered, Links};
use containerdump::privilege::Privilege;
use containerdump::tap::{self, Means, Offer};
use containerdump::text::Label;
use containerdump::trouble::Trouble;

use super::far_list;
use super::hosts::Hosts;
use listed::Listed;
pub(super) use taps::of_host as taps_of_host;

/// Show running containers, their networks, addresses, and where their packets are taken
#[derive(Args)]
#[command(after_help = "\
Examples:
  containerdump list
  containerdump list -v      # which taps there are, and what the others would need
  containerdump list --json | jq -r '.name + \" \" + (.attachments[].host_veth | values)'
  containerdump list --host ann@build1 --host build2
  containerdump list -v --host build2

TAPS tells where a capture takes packets. Needs no right but to speak to the engines.")]
pub(super) struct List {
    /// Print one JSON object per container and line (see docs/list-json.md)
    #[arg(long)]
    json: bool,

    /// Tell of each attachment which taps there are, best first, and what those that cannot be
    /// used would need
    #[arg(short, long, conflicts_with = "json")]
    verbose: bool,

    #[command(flatten)]
    hosts: Hosts,
}

/// How a list of other hosts is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Table,
    Json,
    /// Which taps there are.
    Taps,
}

/// Containers of another host that are shown.
const MOST_OF_A_HOST: usize = 10_000;
/// Those that Wireshark may show.
const MOST_KEPT: usize = 1000;
/// The longest that looking up all containers may take.
const LONGEST: Duration = Duration::from_secs(10);

impl List {
    pub(super) fn run(self, mut privilege: Privilege) -> Result<(), Trouble> {
        if !self.hosts.is_empty() {
            privilege.become_caller()?;
            privilege.give_up()?;
            let form = match (self.json, self.verbose) {
                (true, _) => Form::Json,
                (false, true) => Form::Taps,
                (false, false) => Form::Table,
            };
            return far_list::show(&self.hosts, form);
        }
        let latest = Instant::now() + LONGEST;
        let means = Means::of(&privilege);
        let entered = tap::entered(&privilege)?;
        let running = tap::running(&entered, Patience::PEOPLE)?;
        let links = Links::now()?;
        let containers = running.containers.into_iter();
        let found: Vec<Found> =
            containers.map(|container| Found::new(container, (&links, &entered), &means, latest)).collect();
        let text = match (self.json, self.verbose) {
            (true, _) => found.iter().map(|one| Listed::from(one).line()).collect(),
            (false, true) => taps::explained(&found),
            (false, false) => table::table(&found.iter().map(Listed::from).collect::<Vec<_>>(), false),
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

/// What hosts told, as text: each with the lines of its answer.
///
/// Fails with the host whose answer is no list.
pub(super) fn of_hosts(told: &[(Label, String)], as_json: bool) -> Result<String, (Label, String)> {
    let mut listed = Vec::new();
    for (host, lines) in told {
        for line in lines.lines().take(MOST_OF_A_HOST) {
            listed.push(Listed::of_host(host, line).map_err(|why| (host.clone(), why))?);
        }
    }
    Ok(if as_json { listed.iter().map(Listed::line).collect() } else { table::table(&listed, true) })
}

/// As much of what `host` told as the list of Wireshark needs.
pub(super) fn to_keep(host: &Label, lines: &str) -> String {
    let listed = lines.lines().take(MOST_KEPT).filter_map(|line| Listed::of_host(host, line).ok());
    listed.map(|one| one.bare().line()).collect()
}

/// The containers in what `host` told, but for those that make no sense.
pub(crate) fn containers_of(host: &Label, lines: &str) -> Vec<Container> {
    let listed = lines.lines().take(MOST_OF_A_HOST).filter_map(|line| Listed::of_host(host, line).ok());
    listed.filter_map(|one| one.container()).collect()
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
}

impl Passes {
    /// The tap that a capture takes; `None` where none can be used.
    fn best(&self) -> Option<&Offer> {
        self.offers.iter().find(|offer| offer.lack.is_none())
    }
}
