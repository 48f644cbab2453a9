//! Taps through the engine: tap containers and their streams.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use log::info;

use super::remote_engine::remote_exclusion;
use super::{Target, description};
use crate::capture::{self, CaptureSettings};
use crate::container::Container;
use crate::engine::{self, TapContainer};
use crate::error::Error;
use crate::link::{Attachment, Tap};
use crate::pcapng::InterfaceDescription;
use crate::peer;
use crate::safe_text::SafeText;
use crate::session::Source;
use crate::static_program::{Architecture, StaticProgram};

/// How long a started tap container may take to describe its interfaces.
const TAP_CONTAINER_START_TIMEOUT: Duration = Duration::from_secs(30);

/// An attachment of a target, and its index among all that are captured.
type NumberedAttachment<'a> = (usize, (&'a Target, &'a Attachment));

/// Starts a tap container for each target in `attachments`. Returns their sources, each with the index of its first
/// attachment. Slow steps are reported to `notice`.
///
/// Fails when there is no static program for an engine's architecture, the engine refuses, or the program does not
/// start.
pub(super) fn start(
    attachments: &[NumberedAttachment],
    settings: &CaptureSettings,
    ring_kib: u32,
    notice: &(dyn Fn(&str) + Sync),
) -> Result<Vec<(usize, Source, TapContainer)>, Error> {
    let of_targets: Vec<&[NumberedAttachment]> =
        attachments.chunk_by(|(_, (one, _)), (_, (other, _))| std::ptr::eq(*one, *other)).collect();
    let Some((first, others)) = of_targets.split_first() else { return Ok(Vec::new()) };
    let programs = StaticPrograms::default();
    // The first imports the image for all others.
    let mut started = vec![start_one(first, &programs, settings, ring_kib, notice)?];
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for target in others {
            let programs = &programs;
            threads.push(scope.spawn(move || start_one(target, programs, settings, ring_kib, notice)));
        }
        for thread in threads {
            started.push(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(started)
    })
}

/// Static programs, read once for all tap containers that are started together.
#[derive(Default)]
struct StaticPrograms(Mutex<Vec<StaticProgram>>);

impl StaticPrograms {
    fn find(&self, architecture: Architecture) -> Result<StaticProgram, Error> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(program) = known.iter().find(|program| program.architecture() == architecture) {
            return Ok(program.clone());
        }
        let program = StaticProgram::find(architecture)?;
        known.push(program.clone());
        Ok(program)
    }
}

/// Starts one for `attachments`, all of one target.
fn start_one(
    attachments: &[NumberedAttachment],
    programs: &StaticPrograms,
    settings: &CaptureSettings,
    ring_kib: u32,
    notice: &(dyn Fn(&str) + Sync),
) -> Result<(usize, Source, TapContainer), Error> {
    let (number, (target, _)) = attachments[0];
    let container = &target.container;
    let program = programs.find(engine::engine_architecture(container)?)?;
    let arguments = arguments(container, attachments, settings, ring_kib);
    let tap_container = TapContainer::start(container, &program, &arguments, |image| {
        notice(&format!("importing {image} into {}, this once", container.engine.as_str()));
    })?;
    info!("a tap container takes the packets of {}", container.name);
    let from = SafeText::new(&format!("the tap container of {}", container.name));
    let opened = tap_container.stream().map_err(|error| {
        Error::new(format!("cannot read from {from}: {error}"), "free some file descriptors: ulimit -n")
    });
    match opened.and_then(|stream| peer::open_tap_stream(stream, &from, TAP_CONTAINER_START_TIMEOUT)) {
        Ok((described, remote)) => {
            let interfaces = interfaces(attachments, described, settings);
            let source = Source::Remote { interfaces, remote, outlives_holders: target.holder.is_err() };
            Ok((number, source, tap_container))
        }
        // With the reason that the program gave, if any.
        Err(error) => Err(error.reported_by(from.as_str(), tap_container.end().stderr.as_str())),
    }
}

/// The interfaces `described` by the tap container, described like those of this host.
fn interfaces(
    attachments: &[NumberedAttachment],
    described: Vec<InterfaceDescription>,
    settings: &CaptureSettings,
) -> Vec<InterfaceDescription> {
    let describe_one = |interface: InterfaceDescription| {
        let address = interface.hardware_address.map(|address| address.to_string());
        let is_this = |(_, (target, attachment)): &&NumberedAttachment| {
            attachment.interface == interface.name
                || address.is_some() && mac(&target.container, attachment) == address.as_deref()
        };
        let (_, (target, asked_for)) = *attachments.iter().find(is_this).unwrap_or(&attachments[0]);
        let mut attachment = Attachment { interface: interface.name.clone(), ..asked_for.clone() };
        if let Tap::ThroughEngine { name, .. } = &mut attachment.tap {
            *name = Some(interface.name.to_string());
        }
        description::describe(target, &attachment, settings, interface.link_type)
    };
    described.into_iter().map(describe_one).collect()
}

/// Arguments of the program in the tap container.
fn arguments(
    container: &Container,
    attachments: &[NumberedAttachment],
    settings: &CaptureSettings,
    ring_kib: u32,
) -> Vec<String> {
    let mut arguments = vec!["tap".to_owned()];
    let mut add = |flag: &str, value: String| arguments.extend([flag.to_owned(), value]);
    for (_, (_, attachment)) in attachments {
        let Tap::ThroughEngine { name, .. } = &attachment.tap else { continue };
        match (name, mac(container, attachment)) {
            (Some(name), _) => add("--interface", name.clone()),
            (None, Some(mac)) => add("--mac", mac.to_owned()),
            // All that are there.
            (None, None) => {}
        }
    }
    if container.uses_host_network() {
        // Engines make and remove networks while they run, each with an interface of the host.
        arguments.push("--skip-missing".to_owned());
    }
    let mut add = |flag: &str, value: String| arguments.extend([flag.to_owned(), value]);
    let filter = settings.combined_filter();
    if let Some(filter) = capture::with_exclusion(remote_exclusion(container, settings), filter.as_deref()) {
        add("--filter", filter);
    }
    add("--snap-length", settings.snap_length.to_string());
    add("--buffer-size", ring_kib.div_ceil(1024).to_string());
    arguments
}

/// The hardware address of an attachment, where its engine tells it.
fn mac<'a>(container: &'a Container, attachment: &Attachment) -> Option<&'a str> {
    let network = container.networks.iter().find(|network| network.name == attachment.network)?;
    Some(network.mac.as_str()).filter(|mac| !mac.is_empty())
}
