//! `containerdump tap`: what another containerdump starts where a container's interfaces are.

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
use containerdump::session::{CaptureSession, Duplicates, Member, Output, Source};
use containerdump::stop::Stop;

/// Capture the interfaces of the network namespace this runs in, for another containerdump
///
/// Asks no engine. Writes pcapng to standard output: interfaces, statistics of each, packets, and
/// statistics every 3 seconds. Somebody has to be at the other end of standard input.
#[derive(Args)]
#[command(after_help = "\
Examples:
  (while sleep 2; do echo; done) | containerdump tap --interface eth0 | tshark -r -

Ends, with status 0, when standard input ends or was silent for 10 seconds (a byte every
2 seconds keeps it up; the byte 4, Ctrl-D, ends it), when nobody reads its standard output
any more, on SIGTERM and SIGINT. When something fails, one line on standard error says what,
and the status is 1. Needs CAP_NET_RAW, which it gives up before the first packet is read,
and /proc, to see that it is gone.")]
pub(super) struct TapArgs {
    /// Interface to capture; may be repeated [default: all Ethernet interfaces that are up, lo where
    /// there is none]
    #[arg(short, long, value_name = "NAME")]
    interface: Vec<String>,

    /// Hardware address of an interface to capture; may be repeated
    #[arg(short, long, value_name = "ADDRESS")]
    mac: Vec<HardwareAddress>,

    /// Leave out interfaces that are not there any more, as long as one is
    #[arg(long)]
    if_there: bool,

    /// Capture filter, as in tcpdump (man pcap-filter); inbound and outbound are as the interface
    /// sees them
    #[arg(short, long)]
    filter: Option<String>,

    /// Snap length: bytes kept of each packet
    #[arg(short, long, value_name = "LEN", default_value_t = capture::MAX_SNAP_LEN,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(capture::MAX_SNAP_LEN)))]
    snap_length: u32,

    /// Kernel buffer of each interface in MiB [default: 224 shared by all interfaces]
    #[arg(short = 'B', long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..=2046))]
    buffer_size: Option<u32>,

    /// Instead of interfaces here: what an opener asks for on standard input
    #[arg(long, hide = true, conflicts_with_all = ["interface", "mac", "if_there", "filter", "buffer_size"])]
    asked: bool,
}

impl TapArgs {
    pub(super) fn run(self, mut privilege: Privilege) -> Result<(), Error> {
        let stop = Stop::watch(false)?;
        let request = if self.asked {
            let Some(request) = broker::receive_request()? else { return Ok(()) };
            Some(request)
        } else {
            None
        };
        let stop = stop.with_lifeline()?;
        if io::stdout().is_terminal() {
            return Err(Error::new("cannot write a capture to a terminal", "pipe it on: | tshark -r -"));
        }
        let (interfaces, block_timeout) = match request {
            Some(request) => {
                let block_timeout = capture::block_timeout_within(request.ring_mib);
                (request.open(block_timeout, &privilege, &stop)?, block_timeout)
            }
            None => self.open_here(&privilege)?,
        };
        privilege.become_caller()?;
        let output = Output::stdout()?;
        let proof = privilege.give_up()?;
        let rings = |(interface, rings)| Source::Rings(interface, rings);
        let sources = interfaces.into_iter().map(rings).collect();
        let session = CaptureSession {
            // Whoever reads it knows what others capture.
            duplicates: Duplicates::Keep,
            feeds_session: true,
            ..CaptureSession::new(vec![Member { sources, ..Member::default() }], block_timeout, output)
        };
        session.run(&stop, &proof, None).map(|_| ())
    }

    /// Opens interfaces of the network namespace this runs in, which count from now on. Also returns the block timeout.
    fn open_here(&self, privilege: &Privilege) -> Result<(Rings, Duration), Error> {
        let settings = CaptureSettings {
            filter: capture::combined(self.filter.as_deref(), None)?,
            snap_length: self.snap_length,
            ring_mib: self.buffer_size,
            promiscuous: false,
            ..CaptureSettings::default()
        };
        let devices = self.chosen(link::devices(&Links::now()?))?;
        let block_timeout = capture::block_timeout(devices.len() * 2);
        let ring_mib = capture::RingBudget::new(settings.ring_mib, devices.len()).take(devices.len());
        let (mut interfaces, mut gone) = (Vec::new(), None);
        for device in devices {
            let attachment = attachment(&device);
            let open = || capture::open(&attachment, &settings, ring_mib, block_timeout);
            let opened = match privilege.with_net_raw(open)? {
                Ok(opened) => opened,
                Err(why) if self.if_there && !link::devices(&Links::now()?).contains(&device) => {
                    gone = Some(why);
                    continue;
                }
                Err(why) => return Err(why),
            };
            let interface = InterfaceDescription {
                name: attachment.name(),
                description: attachment.name(),
                hardware_address: device.address,
                filter: settings.filter.clone(),
                snap_length: settings.snap_length,
                link_type: opened.link_type(),
            };
            interfaces.push((interface, opened.filtered(&attachment, &settings)?));
        }
        if let Some(why) = gone.filter(|_| interfaces.is_empty()) {
            return Err(why);
        }
        let begin = capture::now();
        interfaces.iter_mut().flat_map(|(_, rings)| rings).for_each(|ring: &mut Ring| ring.begin(begin));
        Ok((interfaces, block_timeout))
    }

    /// Those of `devices` that are named, or have one of the hardware addresses, each once; where nothing
    /// is asked for, what has packets of others.
    ///
    /// Fails when one that is asked for is not there.
    fn chosen(&self, devices: Vec<Device>) -> Result<Vec<Device>, Error> {
        let mut wanted = Vec::new();
        let here = || {
            let shown = devices.iter().map(|device| match device.address {
                Some(address) => format!("{} ({address})", device.name),
                None => device.name.clone(),
            });
            shown.collect::<Vec<_>>().join(", ")
        };
        let mut absent = None;
        for name in &self.interface {
            match devices.iter().position(|device| device.name == *name) {
                Some(found) => wanted.push(found),
                None => absent = absent.or_else(|| Some(missing(&format!("called {name}"), &here()))),
            }
        }
        for mac in &self.mac {
            // A VLAN or bridge made upon an interface has its address, too, and a later index.
            match devices.iter().position(|device| device.address == Some(*mac)) {
                Some(found) => wanted.push(found),
                None => {
                    absent = absent.or_else(|| Some(missing(&format!("with the address {mac}"), &here())));
                }
            }
        }
        if let Some(why) = absent.filter(|_| wanted.is_empty() || !self.if_there) {
            return Err(why);
        }
        if wanted.is_empty() {
            let is_used = |device: &Device| device.is_ethernet && device.is_up && !device.is_loopback();
            wanted = (0..devices.len()).filter(|at| is_used(&devices[*at])).collect();
        }
        if wanted.is_empty() {
            let loopback = devices.iter().position(Device::is_loopback);
            wanted.push(loopback.ok_or_else(|| missing("to capture", &here()))?);
        }
        let is_wanted = |(at, device)| wanted.contains(&at).then_some(device);
        Ok(devices.into_iter().enumerate().filter_map(is_wanted).collect())
    }
}

/// The rings of each interface.
type Rings = Vec<(InterfaceDescription, Vec<Ring>)>;

/// An interface of the container this runs in.
fn attachment(device: &Device) -> Attachment {
    Attachment {
        container: SafeText::default(),
        interface: SafeText::new(&device.name),
        network: SafeText::default(),
        inside: Some(device.name.clone()),
        tap: link::Tap::Inside { name: device.name.clone() },
    }
}

fn missing(which: &str, here: &str) -> Error {
    Error::new(
        format!("no network interface {which} is here"),
        if here.is_empty() { "see ip link".to_owned() } else { format!("choose from: {here}") },
    )
}
