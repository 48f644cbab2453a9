//! Opening what a request asks for, in a program of its own.

use std::io;
use std::time::Duration;

use super::Place;
use crate::capture::{self, Ring, Settings};
use crate::endpoint::SeenProcess;
use crate::link::{self, Attachment, Holder, LinkIndex, Tap};
use crate::pcapng::Interface;
use crate::privilege::Privilege;
use crate::text::Label;
use crate::trouble::Trouble;

impl Place {
    /// Opens rings of `ring_mib` MiB for each interface. Needs `CAP_NET_RAW`, and inside another network
    /// namespace what entering it takes.
    ///
    /// Fails when a right is missing, a cable leads elsewhere, a process is another, or the filter is
    /// refused.
    pub fn open(
        &self,
        settings: &Settings,
        ring_mib: u32,
        block_timeout: Duration,
        privilege: &Privilege,
    ) -> Result<Vec<(Interface, Vec<Ring>)>, Trouble> {
        let open = |attachment: &Attachment| capture::open(attachment, settings, ring_mib, block_timeout);
        match self {
            Self::HostVeth { name, index, leads_to } => {
                let holder = leads_to.map(|seen| hold(name, seen)).transpose()?;
                let attachment =
                    attachment(name, Tap::HostVeth { name: name.clone(), index: LinkIndex(*index) });
                let opened = privilege.raised(|| open(&attachment))??;
                // Asked after the opening: the name may have gone to another link before.
                let is_cable = link::is_cable_of(&attachment.tap, holder.as_ref());
                if !is_cable.map_err(|error| cannot_look(name, &error))? {
                    return Err(Trouble::new(
                        format!("{} is no cable into that container", Label::new(name)),
                        "see that the container runs, then capture again",
                    ));
                }
                let interface = interface(&attachment, settings, opened.link_type());
                Ok(vec![(interface, opened.filtered(&attachment, settings)?)])
            }
            Self::Inside { process, interfaces } => {
                let holder = hold(&interfaces.join(", "), *process)?;
                let attachments: Vec<Attachment> = interfaces
                    .iter()
                    .map(|name| attachment(name, Tap::Inside { name: name.clone() }))
                    .collect();
                let opened = privilege.apart(|| {
                    let entered = holder.namespace().and_then(|namespace| namespace.enter());
                    entered.map_err(|error| cannot_look(&interfaces.join(", "), &error))?;
                    attachments.iter().map(open).collect::<Result<Vec<_>, _>>()
                })??;
                let filtered = |(opened, attachment): (capture::Opened, &Attachment)| {
                    let interface = interface(attachment, settings, opened.link_type());
                    Ok((interface, opened.filtered(attachment, settings)?))
                };
                opened.into_iter().zip(&attachments).map(filtered).collect()
            }
        }
    }
}

fn hold(interface: &str, seen: SeenProcess) -> Result<Holder, Trouble> {
    Holder::of_process(&Label::new(&format!("behind {interface}")), seen)
}

fn attachment(name: &str, tap: Tap) -> Attachment {
    Attachment {
        container: Label::default(),
        interface: Label::new(name),
        network: Label::default(),
        inside: None,
        tap,
    }
}

fn interface(attachment: &Attachment, settings: &Settings, link_type: u32) -> Interface {
    Interface {
        name: attachment.name(),
        description: attachment.name(),
        hardware_address: None,
        filter: settings.filter.clone(),
        snap_length: settings.snap_length,
        link_type,
    }
}

fn cannot_look(interface: &str, error: &io::Error) -> Trouble {
    Trouble::new(
        format!("cannot look for {} where it was seen: {error}", Label::new(interface)),
        "see that the container runs, and capture as root of this host",
    )
}
