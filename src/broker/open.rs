//! Opening what a request asks for, in a program of its own.

use std::io;
use std::time::Duration;

use super::{TapLocation, TapRequest};
use crate::capture::{self, CaptureSettings, Ring};
use crate::container::endpoint::NamespaceRef;
use crate::error::Error;
use crate::link::{self, Attachment, LinkIndex, NamespaceHandle, RootlessNamespaces, Tap};
use crate::pcapng::InterfaceDescription;
use crate::privilege::Privilege;
use crate::safe_text::SafeText;
use crate::stop::Stop;

/// How often it is looked whether a cable leads away: the kernel tells that late, and then the first packet may have
/// come.
const LOOK_EVERY: Duration = Duration::from_millis(10);

impl TapRequest {
    /// Opens rings for each interface, which count from now on. Needs `CAP_NET_RAW`, and inside another network
    /// namespace what entering it takes; inside the user's own rootless container nothing, but that there is no
    /// other thread. Where it is not known yet whose a cable is, waits until it leads into another namespace: what
    /// came before that is nobody's, and they count from then on.
    ///
    /// Fails when a right is missing, a cable leads elsewhere, a process is another, or the filter is
    /// refused.
    pub fn open(
        &self,
        block_timeout: Duration,
        privilege: &Privilege,
        stop: &Stop,
    ) -> Result<Vec<(InterfaceDescription, Vec<Ring>)>, Error> {
        let settings = &self.settings();
        let open =
            |attachment: &Attachment| capture::open(attachment, settings, self.ring_mib, block_timeout);
        match &self.place {
            TapLocation::HostVeth { name, index, expected_holder } => {
                let tap = Tap::HostVeth { name: name.clone(), index: LinkIndex(*index) };
                let attachment = attachment(name, tap);
                let opened = privilege.with_net_raw(|| open(&attachment))??;
                let interface = interface(&attachment, settings, opened.link_type());
                let mut rings = opened.filtered(&attachment, settings)?;
                // Asked after the opening: the name may have gone to another link before.
                if let Some(seen) = expected_holder {
                    let is_cable = link::is_veth_of(&attachment.tap, &hold(name, seen)?);
                    if !is_cable.map_err(|error| cannot_look(name, &error))? {
                        return Err(no_cable(name));
                    }
                    begin(&mut rings);
                } else {
                    let since = comes_to_lead_away(name, LinkIndex(*index), stop)?;
                    for ring in &mut rings {
                        ring.count_since(since);
                    }
                }
                Ok(vec![(interface, rings)])
            }
            TapLocation::Inside { holder, interfaces } => {
                let holder = hold(&interfaces.join(", "), holder)?;
                let attachments: Vec<Attachment> = interfaces
                    .iter()
                    .map(|name| attachment(name, Tap::Inside { name: name.clone() }))
                    .collect();
                let cannot = |error: io::Error| cannot_look(&interfaces.join(", "), &error);
                let open = || attachments.iter().map(open).collect::<Result<Vec<_>, _>>();
                let rootless = holder
                    .process()
                    .and_then(RootlessNamespaces::of_process)
                    .filter(|_| !privilege.may_enter());
                let opened = if let Some(namespaces) = rootless {
                    namespaces.enter().map_err(cannot)?;
                    let opened = open();
                    // Whoever enters a user namespace has every right in it.
                    privilege.drop_gained()?;
                    opened?
                } else {
                    privilege.on_entering_thread(|| {
                        holder.namespace().and_then(|namespace| namespace.enter()).map_err(cannot)?;
                        open()
                    })??
                };
                let filtered = |(opened, attachment): (capture::OpenedRings, &Attachment)| {
                    let interface = interface(attachment, settings, opened.link_type());
                    Ok((interface, opened.filtered(attachment, settings)?))
                };
                let mut interfaces: Vec<_> =
                    opened.into_iter().zip(&attachments).map(filtered).collect::<Result<_, Error>>()?;
                for (_, rings) in &mut interfaces {
                    begin(rings);
                }
                Ok(interfaces)
            }
        }
    }
}

/// Waits until the cable of that name and index leads into another namespace. Returns a time just before it did, or
/// now, where it did already.
///
/// Fails when it is no cable, or nobody wants it any more.
fn comes_to_lead_away(name: &str, index: LinkIndex, stop: &Stop) -> Result<u64, Error> {
    let mut before = capture::now();
    loop {
        let now = capture::now();
        match link::peer_is_in_other_namespace(name, index).map_err(|error| cannot_look(name, &error))? {
            Some(true) => return Ok(before),
            Some(false) => before = now,
            None => return Err(no_cable(name)),
        }
        stop.sleep(LOOK_EVERY).map_err(|_| no_cable(name))?;
    }
}

fn begin(rings: &mut [Ring]) {
    let now = capture::now();
    for ring in rings {
        ring.count_from(now);
    }
}

fn no_cable(name: &str) -> Error {
    Error::new(
        format!("{} is no cable into that container", SafeText::new(name)),
        "see that the container runs, then capture again",
    )
}

fn hold(interface: &str, seen: &NamespaceRef) -> Result<NamespaceHandle, Error> {
    NamespaceHandle::reopen(&SafeText::new(&format!("behind {interface}")), seen)
}

fn attachment(name: &str, tap: Tap) -> Attachment {
    Attachment {
        container: SafeText::default(),
        interface: SafeText::new(name),
        network: SafeText::default(),
        inside: None,
        tap,
    }
}

fn interface(attachment: &Attachment, settings: &CaptureSettings, link_type: u32) -> InterfaceDescription {
    InterfaceDescription {
        name: attachment.name(),
        description: attachment.name(),
        hardware_address: None,
        filter: settings.filter.clone(),
        snap_length: settings.snap_length,
        link_type,
    }
}

fn cannot_look(interface: &str, error: &io::Error) -> Error {
    Error::new(
        format!("cannot look for {} where it was seen: {error}", SafeText::new(interface)),
        "see that the container runs, and capture as root of this host",
    )
}
