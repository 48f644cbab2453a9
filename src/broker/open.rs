//! Opens the rings that a request asks for, in a tap process.

use std::io;
use std::time::Duration;

use super::{TapLocation, TapRequest};
use crate::capture::{self, CaptureSettings, Ring};
use crate::container::endpoint::NamespaceRef;
use crate::error::Error;
use crate::link::{self, Attachment, LinkIndex, Namespace, NamespaceHandle, RootlessNamespaces, Tap};
use crate::pcapng::InterfaceDescription;
use crate::privilege::Privilege;
use crate::safe_text::SafeText;
use crate::stop::Stop;

/// Polled, since the kernel reports the move of a veth late: the first packet may have passed by then.
const VETH_POLL_INTERVAL: Duration = Duration::from_millis(10);

impl TapRequest {
    /// Opens the ring of each interface. Needs `CAP_NET_RAW`, and the capabilities to enter another network namespace;
    /// for the user's rootless containers none, but a process without threads. Without a known container, waits until the
    /// other end of the veth pair is in another namespace, and counts from then.
    ///
    /// Fails when a capability is missing, the veth or process is a different one, or the filter is rejected.
    pub fn open(
        &self,
        block_timeout: Duration,
        privilege: &Privilege,
        stop: &Stop,
    ) -> Result<Vec<(InterfaceDescription, Ring)>, Error> {
        let settings = &self.settings();
        let open =
            |attachment: &Attachment| capture::open(attachment, settings, self.ring_kib, block_timeout);
        match &self.place {
            TapLocation::HostVeth { name, index, expected_holder } => {
                let tap = Tap::HostVeth { name: name.clone(), index: LinkIndex(*index) };
                let attachment = attachment(name, tap);
                let opened = privilege.with_net_raw(|| open(&attachment))??;
                let interface = interface(&attachment, settings, opened.link_type());
                let mut ring = opened.filtered(&attachment, settings)?;
                // Checked after opening: the name may have been reused before.
                if let Some(seen) = expected_holder {
                    let is_veth = link::is_veth_of(&attachment.tap, &hold(name, seen)?);
                    if !is_veth.map_err(|error| cannot_find(name, &error))? {
                        return Err(not_a_veth(name));
                    }
                    ring.count_from(capture::now());
                } else {
                    let since = wait_until_moved(name, LinkIndex(*index), stop)?;
                    ring.count_since(since);
                }
                Ok(vec![(interface, ring)])
            }
            TapLocation::Inside { holder, interfaces } => {
                let holder = hold(&interfaces.join(", "), holder)?;
                let attachments: Vec<Attachment> = interfaces
                    .iter()
                    .map(|name| attachment(name, Tap::Inside { name: name.clone() }))
                    .collect();
                let cannot = |error: io::Error| cannot_find(&interfaces.join(", "), &error);
                let open = || attachments.iter().map(open).collect::<Result<Vec<_>, _>>();
                let rootless = holder
                    .process()
                    .and_then(RootlessNamespaces::of_process)
                    .filter(|_| !privilege.may_enter());
                let opened = if let Some(namespaces) = rootless {
                    refuse_own(namespaces.network()).map_err(cannot)?;
                    namespaces.enter().map_err(cannot)?;
                    let opened = open();
                    // Entering a user namespace grants all capabilities in it.
                    privilege.drop_gained()?;
                    opened?
                } else {
                    privilege.on_entering_thread(|| {
                        let namespace = holder.namespace().map_err(cannot)?;
                        refuse_own(&namespace).and_then(|()| namespace.enter()).map_err(cannot)?;
                        open()
                    })??
                };
                let filtered = |(opened, attachment): (capture::OpenedRing, &Attachment)| {
                    let interface = interface(attachment, settings, opened.link_type());
                    Ok((interface, opened.filtered(attachment, settings)?))
                };
                let mut interfaces: Vec<_> =
                    opened.into_iter().zip(&attachments).map(filtered).collect::<Result<_, Error>>()?;
                let begin = capture::now();
                for (_, ring) in &mut interfaces {
                    ring.count_from(begin);
                }
                Ok(interfaces)
            }
        }
    }
}

/// Fails for the network namespace of this process: only host veths of containers are captured in it.
fn refuse_own(namespace: &Namespace) -> io::Result<()> {
    if namespace.is_own()? {
        return Err(io::Error::other("it is the network of the host, which is not captured for others"));
    }
    Ok(())
}

/// Waits until the other end of a veth pair is in another namespace. Returns a time just before that.
///
/// Fails when it is no veth pair, or the capture ends.
fn wait_until_moved(name: &str, index: LinkIndex, stop: &Stop) -> Result<u64, Error> {
    let mut earlier = capture::now();
    loop {
        let now = capture::now();
        match link::peer_is_in_other_namespace(name, index).map_err(|error| cannot_find(name, &error))? {
            Some(true) => return Ok(earlier),
            Some(false) => earlier = now,
            None => return Err(not_a_veth(name)),
        }
        stop.sleep(VETH_POLL_INTERVAL).map_err(|_| not_a_veth(name))?;
    }
}

fn not_a_veth(name: &str) -> Error {
    Error::new(
        format!("{} is not a veth of that container", SafeText::new(name)),
        "check that the container is running, then capture again",
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
        filter: settings.filter.as_deref().map(Into::into),
        snap_length: settings.snap_length,
        link_type,
    }
}

fn cannot_find(interface: &str, error: &io::Error) -> Error {
    Error::new(
        format!("cannot find {} where it was listed: {error}", SafeText::new(interface)),
        "check that the container is running, and capture as root of this host",
    )
}
