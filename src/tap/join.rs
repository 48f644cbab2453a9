//! Opening what joins a capture that runs: the program itself has no right any more.

use super::{Target, description, through_engine};
use crate::capture::Settings;
use crate::engine::TapContainer;
use crate::link::{Attachment, Holder, Process, Tap};
use crate::opener::{Opener, Place, Request};
use crate::session::Source;
use crate::text::Label;
use crate::trouble::Trouble;

/// What was opened for a container that joins.
pub struct Joined {
    /// Where its packets come from.
    pub sources: Vec<Source>,
    /// What has to run meanwhile.
    pub tap_containers: Vec<TapContainer>,
}

/// Opens what the taps of `target` need, with rings of `ring_mib` MiB for each attachment: by `opener`,
/// or through the engine. `notice` is told of what takes long.
///
/// Fails when there is no opener for what needs one, or whoever was asked says why it cannot.
pub fn join(
    target: &Target,
    settings: &Settings,
    ring_mib: u32,
    opener: Option<&Opener>,
    notice: &(dyn Fn(&str) + Sync),
) -> Result<Joined, Trouble> {
    let process = target.holder.as_ref().ok().and_then(Holder::process).and_then(Process::seen);
    let mut sources = Vec::new();
    let mut inside = Vec::new();
    let mut by_engine = Vec::new();
    for attachment in &target.attachments {
        match &attachment.tap {
            Tap::HostVeth { name, index } => {
                let place = Place::HostVeth { name: name.clone(), index: index.0, leads_to: process };
                sources.push(opened(target, &[attachment], place, settings, ring_mib, opener)?);
            }
            Tap::Inside { .. } => inside.push(attachment),
            Tap::ThroughEngine { .. } => by_engine.push((by_engine.len(), (target, attachment))),
            Tap::Host { .. } => return Err(needs_capture_anew(target)),
        }
    }
    if !inside.is_empty() {
        let process = process.ok_or_else(|| needs_capture_anew(target))?;
        let interfaces = inside.iter().map(|attachment| attachment.tap.device().to_owned()).collect();
        let place = Place::Inside { process, interfaces };
        sources.push(opened(target, &inside, place, settings, ring_mib, opener)?);
    }
    let mut tap_containers = Vec::new();
    for (_, source, tap_container) in through_engine::start(&by_engine, settings, ring_mib, notice)? {
        sources.push(source);
        tap_containers.push(tap_container);
    }
    Ok(Joined { sources, tap_containers })
}

/// What the opener opens at `place`: the interfaces of `attachments`, in that order.
fn opened(
    target: &Target,
    attachments: &[&Attachment],
    place: Place,
    settings: &Settings,
    ring_mib: u32,
    opener: Option<&Opener>,
) -> Result<Source, Trouble> {
    let opener = opener.ok_or_else(|| needs_capture_anew(target))?;
    let from = Label::new(&format!("the tap of {}", target.container.name));
    let (told, remote) = opener.open(&Request::new(place, settings, ring_mib), &from)?;
    let of_ours = attachments.iter().zip(&told);
    let interfaces: Vec<_> =
        of_ours.map(|(one, told)| description::of(target, one, settings, told.link_type)).collect();
    if interfaces.len() != told.len() {
        return Err(needs_capture_anew(target));
    }
    Ok(Source::Remote { interfaces, remote, unwatched: false })
}

fn needs_capture_anew(target: &Target) -> Trouble {
    Trouble::new(
        format!("container {} cannot join a capture that runs", target.container.name),
        "end the capture and begin it anew",
    )
}
