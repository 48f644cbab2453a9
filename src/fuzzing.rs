//! Entry points of the fuzz targets (fuzz/targets) to what is private otherwise.

use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::broker::TapRequest;
use crate::container::endpoint::Endpoint;
use crate::container::{Container, ContainerId, EngineKind};
use crate::engine::ContainerInspection;
use crate::engine::client::container_fields::ContainerJson;
use crate::engine::client::container_list::ContainerList;
use crate::engine::kernel::runtime_id::RuntimeId;
use crate::engine::tap_container::stream::{FrameDecoder, StderrTail};
use crate::engine::watch::events::{self, EventHint, LineSplitter};
use crate::link::netlink::{LinkNotification, parse_notifications};
use crate::pcapng::InterfaceDescription;
use crate::safe_text::SafeText;
use crate::saved_hosts::{CachedHost, SavedHost, SavedHosts};
use crate::ssh::Probe;
use crate::ssh::deploy::scripts::ScriptMessage;
use crate::ssh::tcpdump::savefile;

/// Converts the output of tcpdump to a stream in `output`. Its link type replaces that of `description`.
pub fn convert_savefile(
    input: UnixStream,
    description: InterfaceDescription,
    output: UnixStream,
) -> Result<(), String> {
    let (reader, format, link_type) = savefile::begin(input, Duration::from_secs(5))?;
    savefile::write(reader, format, &InterfaceDescription { link_type, ..description }, output);
    Ok(())
}

/// The containers in an engine's list, and how many of it could not be read; `None` if it is no list.
pub fn container_list(json: &str) -> Option<(Vec<Container>, usize)> {
    let endpoint = Endpoint::Unix("/run/docker.sock".into());
    let list = ContainerList::parse(json, Instant::now() + Duration::from_mins(1)).ok()?;
    list.containers.iter().for_each(|container| drop(container.tap_target()));
    let containers = list.containers.iter().filter_map(|one| one.container(EngineKind::Docker, &endpoint));
    Some((containers.collect(), list.unreadable))
}

/// The answer to an inspect request, and whether the container is restarting.
pub fn container_inspection(json: &str) -> Option<(Option<ContainerInspection>, bool)> {
    let container: ContainerJson = serde_json::from_str(json).ok()?;
    Some((container.inspection(), container.is_restarting()))
}

/// The attach stream of a tap container.
#[derive(Default)]
pub struct AttachStream {
    frames: FrameDecoder,
    stderr: StderrTail,
}

impl AttachStream {
    /// Moves the content for stdout to the start of `bytes` and returns its length.
    pub fn decode(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.frames.decode(bytes, &self.stderr)
    }

    /// The end of stderr.
    pub fn stderr(&self) -> SafeText {
        self.stderr.text()
    }
}

impl fmt::Debug for AttachStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AttachStream").finish_non_exhaustive()
    }
}

/// The lines of an engine's event stream that comes in `pieces`; `None` for one that is too long.
pub fn event_lines<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Option<Vec<u8>>> {
    let (mut splitter, mut lines) = (LineSplitter::default(), Vec::new());
    for piece in pieces {
        splitter.push(piece, |line| lines.push(line.map(<[u8]>::to_vec)));
    }
    lines
}

/// Whether an event is a hint, and the container that it says was started.
pub fn event_hint(line: &[u8]) -> (bool, Option<ContainerId>) {
    match events::hint(line) {
        Some(EventHint::Started(id)) => (true, Some(id)),
        Some(EventHint::Changed) => (true, None),
        None => (false, None),
    }
}

/// A request to the broker.
pub fn tap_request(message: &[u8]) -> Result<TapRequest, String> {
    TapRequest::parse(message)
}

/// The file of saved hosts.
pub fn saved_hosts(bytes: &[u8]) -> Result<SavedHosts, String> {
    SavedHosts::parse(bytes)
}

/// The same file, as it is written.
pub fn saved_hosts_json(hosts: &SavedHosts) -> String {
    hosts.to_json()
}

/// What is known of a saved host.
pub fn cached_host(text: &str, host: &SavedHost) -> Option<CachedHost> {
    CachedHost::parse(text, host)
}

/// The answer of a host to the first command.
pub fn probe(output: &str) -> Option<Probe> {
    Probe::parse(output)
}

/// The folder number in a line of the upload script; `None` if the line is none, or has no such number.
pub fn script_folder(line: &str) -> Option<u8> {
    match ScriptMessage::parse(line)? {
        ScriptMessage::Exists(folder) | ScriptMessage::Stored(folder) | ScriptMessage::Failed(folder) => {
            Some(folder)
        }
        _ => None,
    }
}

/// Names and hardware addresses of the links in a datagram of notifications.
pub fn links(datagram: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut links = Vec::new();
    parse_notifications(datagram, |notification| {
        if let LinkNotification::Changed(link) = notification {
            links.push((link.name, link.address));
        }
    });
    links
}

/// A container that the kernel shows: its runtime, key, id and name.
pub type RuntimeContainer = (&'static str, String, Option<ContainerId>, String);

/// The container in the text of `/proc/PID/cgroup`.
pub fn container_of_cgroup(cgroup: &str) -> Option<RuntimeContainer> {
    RuntimeId::from_cgroup(cgroup).map(parts)
}

/// The container whose monitor has this command line.
pub fn container_of_monitor(command: &[u8]) -> Option<RuntimeContainer> {
    RuntimeId::from_monitor_command(command).map(parts)
}

fn parts(container: RuntimeId) -> RuntimeContainer {
    let (id, name) = (container.id(), container.name());
    (container.runtime, container.key, id, name)
}
