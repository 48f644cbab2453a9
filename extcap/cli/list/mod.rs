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
use containerdump::request::{ListFormat, ListRequest};
use containerdump::tap::{self, TapCandidate, TapRights, Target};

use super::host_args::HostArgs;
use record::ContainerRecord;
pub(super) use remote::query as query_host;
pub(crate) use remote_json::containers as containers_from_json;
pub(super) use remote_json::to_cache;

/// Show running containers, their networks and addresses, and where their packets are captured
#[derive(Args)]
#[command(after_help = "\
Examples:
  containerdump list
  containerdump list web
  containerdump list -v      # all taps, and what the unavailable ones need
  containerdump list --json | jq -r '.name + \" \" + (.attachments[].host_veth | values)'
  containerdump list --host ann@build1 --host build2
  containerdump list -v --host build2

TAPS shows where a capture takes packets. No privilege is needed except access to the engines.")]
pub(super) struct ListArgs {
    /// Containers to list, by name, interface (docker-web) or ID [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// Print one JSON object per container and line (see docs/list-json.md)
    #[arg(long)]
    json: bool,

    /// Show all taps of each attachment, best first, and what the unavailable ones need
    #[arg(short, long, conflicts_with = "json")]
    verbose: bool,

    /// Do not shorten columns to the width of the terminal
    #[arg(long)]
    wide: bool,

    #[command(flatten)]
    hosts: HostArgs,
}

/// For looking up all containers.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(10);

/// What a list looks like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ListOutput {
    /// A table of this width; `None` for any.
    Table(Option<usize>),
    Json,
    Taps,
}

impl ListArgs {
    pub(super) fn run(self, mut privilege: Privilege) -> Result<(), Error> {
        let output = match (self.json, self.verbose) {
            (true, _) => ListOutput::Json,
            (false, true) => ListOutput::Taps,
            (false, false) => ListOutput::Table(self.width()),
        };
        if self.hosts.is_empty() {
            return show(self.names, output, &privilege);
        }
        privilege.become_caller()?;
        privilege.give_up()?;
        remote::show(&self.hosts, &self.names, output)
    }

    /// The width of the terminal; `None` where the table may be wider.
    fn width(&self) -> Option<usize> {
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok().filter(|_| !self.wide)?;
        Some(usize::from(size.ws_col)).filter(|width| *width > 0)
    }
}

/// Prints the list that containerdump on another host requests.
pub(super) fn serve(request: ListRequest, privilege: &Privilege) -> Result<(), Error> {
    let output = match request.format {
        ListFormat::Json => ListOutput::Json,
        ListFormat::Taps => ListOutput::Taps,
    };
    show(request.names, output, privilege)
}

/// Prints the containers of this host that `names` select; all where there is none.
fn show(names: Vec<String>, output: ListOutput, privilege: &Privilege) -> Result<(), Error> {
    let deadline = Instant::now() + LOOK_UP_TIMEOUT;
    let rights = TapRights::from_privilege(privilege);
    let namespaces = tap::scan_named_namespaces(privilege)?;
    let running = tap::running_containers(&namespaces, EngineTimeouts::COMMAND_LINE)?;
    let links = Links::now()?;
    let mut containers = if names.is_empty() {
        running.containers
    } else {
        tap::select(&Selection { names, ..Selection::default() }, &running)?
    };
    let looked_up = tap::look_up_each(&mut containers, &links, &namespaces, deadline);
    let containers: Vec<ContainerTaps> = containers
        .into_iter()
        .zip(looked_up)
        .map(|(container, looked_up)| ContainerTaps::new(container, looked_up, &rights))
        .collect();
    let records = || containers.iter().map(ContainerRecord::from);
    let text = match output {
        ListOutput::Json => records().map(|record| record.to_line()).collect(),
        ListOutput::Taps => taps::describe(&containers),
        ListOutput::Table(width) => table::table(&records().collect::<Vec<_>>(), false, width),
    };
    // A closed pipe is a normal end.
    let _ = io::stdout().write_all(text.as_bytes());
    for error in running.errors {
        // Not in the list, which scripts read.
        let _ = writeln!(io::stderr(), "{error}");
    }
    Ok(())
}

/// A container, and the taps of its attachments or why they are unknown.
struct ContainerTaps {
    container: Container,
    attachments: Vec<AttachmentTaps>,
    error: Option<Error>,
}

/// An attachment, and its taps, best first.
struct AttachmentTaps {
    attachment: Attachment,
    candidates: Vec<TapCandidate>,
    /// Whether it is captured if no network is named.
    is_default: bool,
}

impl ContainerTaps {
    fn new(container: Container, looked_up: Result<Target, Error>, rights: &TapRights) -> Self {
        let target = match looked_up {
            Ok(target) => target,
            Err(error) => return Self { container, attachments: Vec::new(), error: Some(error) },
        };
        let attachments = target.attachments.iter().map(|attachment| AttachmentTaps {
            attachment: attachment.clone(),
            candidates: tap::tap_candidates(&target, attachment, rights),
            is_default: tap::is_default(attachment, &target.attachments),
        });
        Self { attachments: attachments.collect(), container, error: None }
    }
}

impl AttachmentTaps {
    /// The tap that a capture uses; `None` where none can be used.
    fn best(&self) -> Option<&TapCandidate> {
        self.candidates.iter().find(|candidate| candidate.unavailable.is_none())
    }
}
