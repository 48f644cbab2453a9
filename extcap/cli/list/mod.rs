//! `containerdump list`.

mod record;
mod remote;
mod remote_json;
mod table;
mod taps;

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use clap::Args;
use containerdump::container::Container;
use containerdump::container::selection::Selection;
use containerdump::engine::EngineTimeouts;
use containerdump::error::Error;
use containerdump::link::{Attachment, Links};
use containerdump::privilege::Privilege;
use containerdump::tap::{self, TapCandidate, TapRights, Target};

use super::host_args::HostArgs;
use record::ContainerRecord;
pub(super) use remote::of as of_host;
use remote_json::Form;
pub(crate) use remote_json::containers as containers_of;
pub(super) use remote_json::to_keep;

/// Show running containers, their networks, addresses, and where their packets are taken
#[derive(Args)]
#[command(after_help = "\
Examples:
  containerdump list
  containerdump list web
  containerdump list -v      # which taps there are, and what the others would need
  containerdump list --json | jq -r '.name + \" \" + (.attachments[].host_veth | values)'
  containerdump list --host ann@build1 --host build2
  containerdump list -v --host build2

TAPS tells where a capture takes packets. Needs no right but to speak to the engines.")]
pub(super) struct ListArgs {
    /// Containers to list, by name, interface (docker-web) or id; all where none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// Print one JSON object per container and line (see docs/list-json.md)
    #[arg(long)]
    json: bool,

    /// Tell of each attachment which taps there are, best first, and what those that cannot be
    /// used would need
    #[arg(short, long, conflicts_with = "json")]
    verbose: bool,

    /// Print whole columns, also where they are wider than the terminal
    #[arg(long)]
    wide: bool,

    #[command(flatten)]
    hosts: HostArgs,
}

/// The longest that looking up all containers may take.
const LONGEST: Duration = Duration::from_secs(10);

impl ListArgs {
    pub(super) fn run(self, mut privilege: Privilege) -> Result<(), Error> {
        if !self.hosts.is_empty() {
            privilege.become_caller()?;
            privilege.give_up()?;
            let form = match (self.json, self.verbose) {
                (true, _) => Form::Json,
                (false, true) => Form::Taps,
                (false, false) => Form::Table,
            };
            return remote::show(&self.hosts, &self.names, form, self.width());
        }
        let latest = Instant::now() + LONGEST;
        let means = TapRights::from_privilege(&privilege);
        let entered = tap::scan_named_namespaces(&privilege)?;
        let running = tap::running_containers(&entered, EngineTimeouts::COMMAND_LINE)?;
        let links = Links::now()?;
        let mut containers = if self.names.is_empty() {
            running.containers
        } else {
            tap::select(&Selection { names: self.names.clone(), ..Selection::default() }, &running)?
        };
        let looked_up = tap::look_up_each(&mut containers, &links, &entered, latest);
        let found: Vec<ContainerTaps> = containers
            .into_iter()
            .zip(looked_up)
            .map(|(container, looked_up)| ContainerTaps::new(container, looked_up, &means))
            .collect();
        let text = match (self.json, self.verbose) {
            (true, _) => found.iter().map(|one| ContainerRecord::from(one).line()).collect(),
            (false, true) => taps::explained(&found),
            (false, false) => table::table(
                &found.iter().map(ContainerRecord::from).collect::<Vec<_>>(),
                false,
                self.width(),
            ),
        };
        // A reader who has left does not want the rest.
        let _ = io::stdout().write_all(text.as_bytes());
        for trouble in running.errors {
            // Beside the list, which scripts read.
            let _ = writeln!(io::stderr(), "{trouble}");
        }
        Ok(())
    }

    /// Columns of the terminal that the table has to fit; `None` where it may be as wide as it is.
    fn width(&self) -> Option<usize> {
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok().filter(|_| !self.wide)?;
        Some(usize::from(size.ws_col)).filter(|width| *width > 0)
    }
}

/// A container, and where its packets pass or why that is not known.
struct ContainerTaps {
    container: Container,
    passes: Vec<AttachmentTaps>,
    trouble: Option<Error>,
}

/// An attachment, and the taps there are for it.
struct AttachmentTaps {
    attachment: Attachment,
    offers: Vec<TapCandidate>,
    /// Whether it is captured where nothing is asked for.
    is_default: bool,
}

impl ContainerTaps {
    fn new(container: Container, looked_up: Result<Target, Error>, means: &TapRights) -> Self {
        let target = match looked_up {
            Ok(target) => target,
            Err(trouble) => return Self { container, passes: Vec::new(), trouble: Some(trouble) },
        };
        let passes = target.attachments.iter().map(|attachment| AttachmentTaps {
            attachment: attachment.clone(),
            offers: tap::tap_candidates(&target, attachment, means),
            is_default: tap::is_default(attachment, &target.attachments),
        });
        Self { passes: passes.collect(), container, trouble: None }
    }
}

impl AttachmentTaps {
    /// The tap that a capture takes; `None` where none can be used.
    fn best(&self) -> Option<&TapCandidate> {
        self.offers.iter().find(|offer| offer.unavailable.is_none())
    }
}
