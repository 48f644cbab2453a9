//! `containerdump list`.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use clap::Args;
use containerdump::container::{Container, NetworkMode};
use containerdump::link::{Attachment, Links, Tap};
use containerdump::tap;
use containerdump::text::Label;
use containerdump::trouble::Trouble;
use serde_json::{Value, json};

/// Show running containers, their networks, addresses and host veths
#[derive(Args)]
#[command(after_help = "\
Examples:
  containerdump list
  containerdump list --json | jq -r '.name + \" \" + (.attachments[].host_veth | values)'

TAPS tells where packets are taken. Needs no right but to speak to the engines.")]
pub(super) struct List {
    /// Print one JSON object per container and line (see docs/list-json.md)
    #[arg(long)]
    json: bool,
}

/// The longest that looking up all containers may take.
const LONGEST: Duration = Duration::from_secs(10);

impl List {
    pub(super) fn run(self) -> Result<(), Trouble> {
        let latest = Instant::now() + LONGEST;
        let running = tap::running()?;
        let links = Links::now()?;
        let found: Vec<Found> =
            running.containers.into_iter().map(|container| Found::new(container, &links, latest)).collect();
        let text = if self.json { lines(&found) } else { table(&found) };
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
    attachments: Vec<Attachment>,
    trouble: Option<Trouble>,
}

impl Found {
    /// Looks a container up, unless it is later than `latest` already.
    fn new(mut container: Container, links: &Links, latest: Instant) -> Self {
        let looked_up = if Instant::now() < latest {
            tap::look_up(&mut container, links)
        } else {
            Err(Trouble::new(
                format!("container {} was not looked up: the engine answers too slowly", container.name),
                format!("see whether the engine hangs: {} ps", container.engine.word()),
            ))
        };
        match looked_up {
            Ok(target) => Self { container, attachments: target.attachments, trouble: None },
            Err(trouble) => Self { container, attachments: Vec::new(), trouble: Some(trouble) },
        }
    }

    /// What a capture takes where nothing else is asked for.
    fn captured(&self) -> impl Iterator<Item = &Attachment> {
        self.attachments.iter().filter(|attachment| tap::is_default(attachment, &self.attachments))
    }

    fn row(&self) -> [String; 6] {
        let joined = |words: Vec<String>| if words.is_empty() { "-".to_owned() } else { words.join(", ") };
        let networks = &self.container.networks;
        [
            self.container.name.to_string(),
            self.container.engine.word().to_owned(),
            self.container.image.to_string(),
            joined(networks.iter().map(|network| network.name.to_string()).collect()),
            joined(networks.iter().flat_map(|network| &network.addresses).map(ToString::to_string).collect()),
            joined(self.captured().map(in_words).collect()),
        ]
    }

    fn json(&self) -> Value {
        let container = &self.container;
        let networks = container.networks.iter().map(|network| {
            json!({
                "name": network.name.as_str(),
                "id": network.id,
                "addresses": network.addresses,
                "mac": network.mac.as_str(),
            })
        });
        let attachments = self.attachments.iter().map(|attachment| {
            json!({
                "interface": attachment.interface.as_str(),
                "network": attachment.network.as_str(),
                "tap": match attachment.tap {
                    Tap::HostVeth { .. } => "host veth",
                    Tap::Inside { .. } => "inside",
                },
                "host_veth": match &attachment.tap {
                    Tap::HostVeth { name, .. } => Some(name),
                    Tap::Inside { .. } => None,
                },
                "host_index": match &attachment.tap {
                    Tap::HostVeth { index, .. } => Some(index.0),
                    Tap::Inside { .. } => None,
                },
                "default": tap::is_default(attachment, &self.attachments),
            })
        });
        let trouble = self
            .trouble
            .as_ref()
            .map(|trouble| json!({ "what": trouble.what().as_str(), "remedy": trouble.remedy().as_str() }));
        json!({
            "interface": container.value,
            "engine": container.engine.word(),
            "id": container.id.as_str(),
            "name": container.name.as_str(),
            "image": container.image.as_str(),
            "created": container.created,
            "project": container.project.as_ref().map(Label::as_str),
            "network_mode": match container.mode {
                NetworkMode::Own => "own",
                NetworkMode::Host => "host",
                NetworkMode::None => "none",
                NetworkMode::Shared => "shared",
            },
            "networks": networks.collect::<Vec<_>>(),
            "attachments": attachments.collect::<Vec<_>>(),
            "trouble": trouble,
        })
    }
}

/// `veth01f0f9d`, or `eth0 (inside)`.
fn in_words(attachment: &Attachment) -> String {
    match &attachment.tap {
        Tap::HostVeth { name, .. } => name.clone(),
        Tap::Inside { .. } => format!("{} (inside)", attachment.interface),
    }
}

fn lines(found: &[Found]) -> String {
    let objects: Vec<String> = found.iter().map(|one| one.json().to_string() + "\n").collect();
    objects.concat()
}

fn table(found: &[Found]) -> String {
    let head = ["NAME", "ENGINE", "IMAGE", "NETWORKS", "ADDRESSES", "TAPS"].map(str::to_owned);
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(found.iter().map(Found::row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    let roots = found.iter().filter(|one| !one.container.endpoint.is_of_ordinary_user());
    if roots.flat_map(Found::captured).any(|attachment| attachment.tap.is_inside()) {
        text.push_str(
            "\n(inside): has no veth on this host; root can capture it: sudo containerdump capture NAME\n",
        );
    }
    for one in found {
        let name = &one.container.name;
        if let Some(trouble) = &one.trouble {
            let _ = writeln!(text, "\n{name}: {trouble}");
        }
    }
    text
}
