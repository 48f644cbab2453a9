//! Opens taps of containers added to a running capture, by the broker: the process itself has dropped its privileges.

use super::{Target, description, through_engine};
use crate::broker::{Broker, PendingTap, TapLocation, TapRequest};
use crate::capture::CaptureSettings;
use crate::engine::TapContainer;
use crate::error::Error;
use crate::link::{Attachment, NamespaceHandle, Tap};
use crate::pcapng::InterfaceDescription;
use crate::peer::PeerStream;
use crate::safe_text::SafeText;
use crate::session::Source;

/// The opened taps of a container added to a capture.
pub struct AddedSources {
    /// The sources of its packets.
    pub sources: Vec<Source>,
    /// The tap containers, to be kept while the capture runs.
    pub tap_containers: Vec<TapContainer>,
}

/// The source of a tap that was opened before its container was known (see `follow::preopen`).
///
/// Fails with the error of that tap.
pub fn adopt_preopened(
    target: &Target,
    attachment: &Attachment,
    asked: PendingTap,
    settings: &CaptureSettings,
) -> Result<Source, Error> {
    source(target, &[attachment], asked.wait(&stream_label(target))?, settings)
}

/// Opens the taps of `attachments`, with rings of `ring_kib` KiB each: by the broker or the engine. Slow steps are
/// reported to `notice`.
///
/// Fails when a broker is needed and there is none, or with its or the engine's error.
pub fn open_added(
    target: &Target,
    attachments: &[Attachment],
    settings: &CaptureSettings,
    ring_kib: u32,
    broker: Option<&Broker>,
    notice: &(dyn Fn(&str) + Sync),
) -> Result<AddedSources, Error> {
    let holder = target.holder.as_ref().ok().and_then(NamespaceHandle::to_seen);
    let open = |place: TapLocation, attachments: &[&Attachment]| {
        let broker = broker.ok_or_else(|| cannot_add(target, "nothing was kept to open it with"))?;
        let asked = broker.request_tap(&TapRequest::new(place, settings, ring_kib), &stream_label(target))?;
        source(target, attachments, asked.wait(&stream_label(target))?, settings)
    };
    let gone = || cannot_add(target, "it stopped meanwhile");
    let mut sources = Vec::new();
    let mut inside = Vec::new();
    let mut by_engine = Vec::new();
    for attachment in attachments {
        match &attachment.tap {
            Tap::HostVeth { name, index } => {
                let expected_holder = Some(holder.clone().ok_or_else(gone)?);
                let place = TapLocation::HostVeth { name: name.clone(), index: index.0, expected_holder };
                sources.push(open(place, &[attachment])?);
            }
            Tap::Inside { .. } => inside.push(attachment),
            Tap::ThroughEngine { .. } => by_engine.push((by_engine.len(), (target, attachment))),
            Tap::Host { .. } => return Err(cannot_add(target, "it uses the host's network")),
        }
    }
    if !inside.is_empty() {
        let interfaces = inside.iter().map(|attachment| attachment.tap.device().to_owned()).collect();
        let place = TapLocation::Inside { holder: holder.clone().ok_or_else(gone)?, interfaces };
        sources.push(open(place, &inside)?);
    }
    let mut tap_containers = Vec::new();
    for (_, source, tap_container) in through_engine::start(&by_engine, settings, ring_kib, notice)? {
        sources.push(source);
        tap_containers.push(tap_container);
    }
    Ok(AddedSources { sources, tap_containers })
}

/// The source of a tap at `attachments`, whose stream described the interfaces as `described`.
fn source(
    target: &Target,
    attachments: &[&Attachment],
    (described, remote): (Vec<InterfaceDescription>, PeerStream),
    settings: &CaptureSettings,
) -> Result<Source, Error> {
    if attachments.len() != described.len() {
        return Err(cannot_add(target, "its tap described other interfaces"));
    }
    let of_ours = attachments.iter().zip(&described);
    let interfaces = of_ours
        .map(|(one, described)| description::describe(target, one, settings, described.link_type))
        .collect();
    Ok(Source::Remote { interfaces, remote, outlives_holders: false })
}

fn stream_label(target: &Target) -> SafeText {
    SafeText::new(&format!("the tap of {}", target.container.name))
}

fn cannot_add(target: &Target, why: &str) -> Error {
    Error::new(
        format!("container {} cannot join a capture that runs: {why}", target.container.name),
        "stop the capture and start it again",
    )
}
