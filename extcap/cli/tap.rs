//! `containerdump tap`: captures inside a network namespace, for the containerdump that has started it.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use clap::Args;
use containerdump::broker;
use containerdump::capture::{self, CaptureSettings, Ring};
use containerdump::error::Error;
use containerdump::link::{self, Attachment, Device, HardwareAddress, Links};
use containerdump::pcapng::InterfaceDescription;
use containerdump::privilege::Privilege;
use containerdump::safe_text::SafeText;
use containerdump::sandbox;
use containerdump::session::{CaptureSession, Duplicates, Member, Output, Source};
use containerdump::stop::Stop;
use log::debug;

/// Capture the interfaces of the current network namespace, for another containerdump
///
/// Queries no engine. Writes pcapng to standard output: interfaces and their statistics, then packets, and
/// statistics every 3 seconds. Standard input keeps the capture alive.
#[derive(Args)]
#[command(after_help = "\
Examples:
  (while sleep 2; do echo; done) | containerdump tap --interface eth0 | tshark -r -

The capture ends when standard input ends or is silent for 10 seconds (send a byte every 2
seconds; the byte 4, Ctrl-D, ends it), when the reader of standard output has closed it, and on
SIGTERM and SIGINT; the exit status is 0. On failure, one line is written to standard error and
the exit status is 1. Needs CAP_NET_RAW, which is dropped before the first packet is read, and
/proc, to verify that.")]
pub(super) struct TapArgs {
    /// Interface to capture; may be repeated [default: all Ethernet interfaces that are up, or else lo]
    #[arg(short, long, value_name = "NAME")]
    interface: Vec<String>,

    /// Hardware address of an interface to capture; may be repeated
    #[arg(short, long, value_name = "ADDRESS")]
    mac: Vec<HardwareAddress>,

    /// Skip named interfaces that do not exist, as long as one does
    #[arg(long)]
    skip_missing: bool,

    /// Capture filter, as in tcpdump (man pcap-filter); inbound and outbound are from the interface's
    /// point of view
    #[arg(short, long)]
    filter: Option<String>,

    /// Snapshot length: bytes kept of each packet
    #[arg(short, long, value_name = "LEN", default_value_t = capture::MAX_SNAP_LEN,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(capture::MAX_SNAP_LEN)))]
    snap_length: u32,

    /// Kernel buffer of each interface in MiB [default: 112, or a share of 128 for more than one]
    #[arg(short = 'B', long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..=2046))]
    buffer_size: Option<u32>,

    /// Read the request of the broker from standard input
    #[arg(long, hide = true, conflicts_with_all = ["interface", "mac", "skip_missing", "filter", "buffer_size"])]
    from_broker: bool,
}

impl TapArgs {
    pub(super) fn run(self, mut privilege: Privilege) -> Result<(), Error> {
        let stop = Stop::watch(false)?;
        let request = if self.from_broker {
            let Some(request) = broker::receive_request()? else { return Ok(()) };
            Some(request)
        } else {
            None
        };
        let stop = stop.with_lifeline()?;
        if io::stdout().is_terminal() {
            return Err(Error::new("cannot write a capture to a terminal", "use a pipe: | tshark -r -"));
        }
        let (interfaces, block_timeout) = match request {
            Some(request) => {
                let block_timeout = capture::block_timeout_for_size(request.ring_kib);
                (request.open(block_timeout, &privilege, &stop)?, block_timeout)
            }
            None => self.open_here(&privilege)?,
        };
        privilege.become_caller()?;
        let output = Output::stdout()?;
        let proof = privilege.give_up()?;
        let restrictions = sandbox::restrict_tap(&proof);
        debug!("sandbox: {restrictions}");
        let source = |(interface, ring)| Source::Ring(interface, ring);
        let sources = interfaces.into_iter().map(source).collect();
        let session = CaptureSession {
            // The reader knows the other taps of the capture.
            duplicates: Duplicates::Keep,
            feeds_session: true,
            ..CaptureSession::new(vec![Member { sources, ..Member::default() }], block_timeout, output)
        };
        session.run(&stop, &proof, None).map(|_| ())
    }

    /// Opens interfaces of the current network namespace, all from the same time on. Also returns the block timeout.
    fn open_here(&self, privilege: &Privilege) -> Result<(OpenedInterfaces, Duration), Error> {
        let settings = CaptureSettings {
            filter: capture::combine_filters(self.filter.as_deref(), None)?,
            snap_length: self.snap_length,
            ring_kib: self.buffer_size.map(|size| size * 1024),
            promiscuous: false,
            ..CaptureSettings::default()
        };
        let devices = self.select(link::devices(&Links::now()?))?;
        let block_timeout = capture::block_timeout(devices.len());
        let ring_kib = capture::RingBudget::new(settings.ring_kib, devices.len()).allocate(devices.len());
        let (mut interfaces, mut missing_device) = (Vec::new(), None);
        for device in devices {
            let attachment = attachment(&device);
            let open = || capture::open(&attachment, &settings, ring_kib, block_timeout);
            let opened = match privilege.with_net_raw(open)? {
                Ok(opened) => opened,
                Err(error) if self.skip_missing && !link::devices(&Links::now()?).contains(&device) => {
                    missing_device = Some(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let interface = InterfaceDescription {
                name: attachment.name(),
                description: attachment.name(),
                hardware_address: device.address,
                filter: settings.filter.as_deref().map(Into::into),
                snap_length: settings.snap_length,
                link_type: opened.link_type(),
            };
            interfaces.push((interface, opened.filtered(&attachment, &settings)?));
        }
        if let Some(error) = missing_device.filter(|_| interfaces.is_empty()) {
            return Err(error);
        }
        let start = capture::now();
        for (_, ring) in &mut interfaces {
            ring.count_from(start);
        }
        Ok((interfaces, block_timeout))
    }

    /// The devices that are named or have one of the hardware addresses, each once; the default devices where there are
    /// no such options.
    ///
    /// Fails when a device does not exist.
    fn select(&self, devices: Vec<Device>) -> Result<Vec<Device>, Error> {
        let mut wanted = Vec::new();
        let existing = || {
            let shown = devices.iter().map(|device| match device.address {
                Some(address) => format!("{} ({address})", device.name),
                None => device.name.clone(),
            });
            shown.collect::<Vec<_>>().join(", ")
        };
        let mut error = None;
        for name in &self.interface {
            match devices.iter().position(|device| device.name == *name) {
                Some(found) => wanted.push(found),
                None => error = error.or_else(|| Some(missing(&format!("named {name}"), &existing()))),
            }
        }
        for mac in &self.mac {
            // A VLAN or bridge made upon an interface has its address, too, and a later index.
            match devices.iter().position(|device| device.address == Some(*mac)) {
                Some(found) => wanted.push(found),
                None => {
                    error = error.or_else(|| Some(missing(&format!("with the address {mac}"), &existing())));
                }
            }
        }
        if let Some(error) = error.filter(|_| wanted.is_empty() || !self.skip_missing) {
            return Err(error);
        }
        if wanted.is_empty() {
            let is_used = |device: &Device| device.is_ethernet && device.is_up && !device.is_loopback();
            wanted = (0..devices.len()).filter(|at| is_used(&devices[*at])).collect();
        }
        if wanted.is_empty() {
            let loopback = devices.iter().position(Device::is_loopback);
            wanted.push(loopback.ok_or_else(|| missing("to capture", &existing()))?);
        }
        let is_wanted = |(at, device)| wanted.contains(&at).then_some(device);
        Ok(devices.into_iter().enumerate().filter_map(is_wanted).collect())
    }
}

/// Interfaces with their rings.
type OpenedInterfaces = Vec<(InterfaceDescription, Ring)>;

fn attachment(device: &Device) -> Attachment {
    Attachment {
        container: SafeText::default(),
        interface: SafeText::new(&device.name),
        network: SafeText::default(),
        inside: Some(device.name.clone()),
        tap: link::Tap::Inside { name: device.name.clone() },
    }
}

fn missing(which: &str, existing: &str) -> Error {
    Error::new(
        format!("no network interface {which} exists"),
        if existing.is_empty() { "see ip link".to_owned() } else { format!("choose from: {existing}") },
    )
}
