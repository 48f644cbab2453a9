//! The options of `containerdump capture`.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Args;
use containerdump::capture::MAX_SNAP_LEN;
use containerdump::error::Error;
use containerdump::peer::compression::CompressionMode;
use containerdump::request::{BUFFER_MIB, CaptureRequest};
use containerdump::session::{Duplicates, Limit, Limits, OutputFiles, timestamp};
use containerdump::tap::TapChoice;

use super::selectors::SelectorArgs;
use crate::capture::OutputTarget;
use crate::cli::host_args::HostArgs;
use crate::log_file::{self, LogLevel};

/// Capture the packets of containers in both directions, as pcapng
#[derive(Args)]
#[command(after_help = "\
Examples:
  containerdump capture web                    # to a file, until Ctrl-C
  containerdump capture web -i front -s 128    # one network, 128 bytes of each packet
  containerdump capture web -f 'tcp port 80' -c 100 -w web.pcapng
  containerdump capture web db -a duration:60 -w both.pcapng
  containerdump capture --all -i shop_default -w shop.pcapng
  containerdump capture --project shop --label tier=web
  containerdump capture web -b filesize:100000 -b files:5 -w web.pcapng
  containerdump capture web -w - | wireshark -k -i -
  containerdump capture --host ann@build1 web -w web.pcapng

A capture contains the named containers and those that match --all, or --project and --label.
Of the latter, a container that cannot be captured is skipped with a message, and so is one in
the host's network, whose packets are those of the whole host: name it to capture it.

The capture ends when all containers have stopped (with --follow it continues), or when the
reader of the pipe has closed it. The exit status is 0 then and after Ctrl-C, and 1 on failure.")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct CaptureArgs {
    #[command(flatten)]
    pub(super) selectors: SelectorArgs,

    #[command(flatten)]
    pub(super) hosts: HostArgs,

    /// Capture only the attachments to this network or with this interface name (eth0); may be repeated
    /// [default: all]
    #[arg(short = 'i', long, alias = "interface", value_name = "NETWORK")]
    network: Vec<String>,

    /// Capture filter, as in tcpdump (man pcap-filter); inbound and outbound are from the
    /// container's point of view
    #[arg(short, long)]
    filter: Option<String>,

    /// Snapshot length: bytes kept of each packet; 0 keeps whole packets
    #[arg(short, long, aliases = ["snaplen", "snapshot-length"], value_name = "LEN",
          default_value_t = MAX_SNAP_LEN,
          value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_SNAP_LEN)))]
    snap_length: u32,

    /// Stop after this many packets
    #[arg(short, long, value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// File to write, - for standard output [default: standard output unless it is a terminal,
    /// otherwise a file named after the first container and the time]
    #[arg(short, long, value_name = "FILE")]
    write: Option<PathBuf>,

    /// Overwrite the file if it exists
    #[arg(long)]
    overwrite: bool,

    /// Ring buffer: write multiple files; switch to the next after duration:SECONDS, filesize:KB or
    /// packets:COUNT, or when the time of day is a multiple of interval:SECONDS; files:COUNT keeps
    /// only the newest; may be repeated
    #[arg(short = 'b', long, value_name = "CONDITION")]
    ring_buffer: Vec<Limit>,

    /// Stop after duration:SECONDS, filesize:KB, packets:COUNT or files:COUNT; may be repeated
    #[arg(short, long, value_name = "CONDITION", value_parser = Limit::parse_autostop)]
    autostop: Vec<Limit>,

    /// Kernel buffer of each attachment in MiB, 2 to 2046; 0: 112 MiB, or a share of 128 MiB for more than one
    #[arg(short = 'B', long, value_name = "MIB", default_value_t = 0, value_parser = buffer_size)]
    buffer_size: u32,

    /// Where to capture packets: host (the host veth), inside (the network namespace of the container),
    /// engine (a tap container), or auto, the first of these that can be used (see list -v)
    #[arg(long, value_enum, hide_possible_values = true, default_value_t)]
    tap: TapChoice,

    /// What to do with the second copy of a packet that one captured container sends to another: drop
    /// (the sender's copy is kept) or keep
    #[arg(long, value_enum, hide_possible_values = true, value_name = "ACTION", default_value_t)]
    duplicates: Duplicates,

    /// Compress packets on their way from another host: on, off, or auto, which skips what does not become
    /// smaller
    #[arg(long, value_enum, hide_possible_values = true, value_name = "MODE", requires = "host",
          default_value_t = CompressionMode::Auto)]
    compress: CompressionMode,

    /// Do not put host veths into promiscuous mode
    #[arg(short = 'p', long, alias = "no-promiscuous-mode")]
    no_promiscuous: bool,

    /// Also capture containerdump's own traffic: connections to engines over TCP, and the ssh session it
    /// runs in
    #[arg(long)]
    own_traffic: bool,

    /// Do not show packet counts or dropped packets on the terminal
    #[arg(short, long)]
    pub(super) quiet: bool,

    /// Log level: message logs the least, noisy the most
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t)]
    log_level: LogLevel,

    /// File to log to; without it nothing is logged
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
}

/// File names that mean standard output.
const STANDARD_OUTPUT: [&str; 4] = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];

fn buffer_size(text: &str) -> Result<u32, String> {
    let size = text.parse().ok().filter(|size| *size == 0 || BUFFER_MIB.contains(size));
    size.ok_or_else(|| format!("neither 0 nor a number from {} to {}", BUFFER_MIB.start(), BUFFER_MIB.end()))
}

impl CaptureArgs {
    /// Opens the log file, if one is named.
    ///
    /// Fails when it cannot be written.
    pub(super) fn open_log(&self) -> Result<(), Error> {
        log_file::open(self.log_level, self.log_file.as_deref())
    }

    /// What to capture, on this host or another.
    pub(super) fn request(&self) -> CaptureRequest {
        CaptureRequest {
            networks: self.network.clone(),
            filter: self.filter.clone(),
            // As in tcpdump, 0 keeps whole packets.
            snap_length: if self.snap_length == 0 { MAX_SNAP_LEN } else { self.snap_length },
            buffer_mib: Some(self.buffer_size).filter(|size| *size > 0),
            tap: self.tap,
            duplicates: self.duplicates,
            promiscuous: !self.no_promiscuous,
            own_traffic: self.own_traffic,
            compress: self.compress,
            ..self.selectors.request()
        }
    }

    pub(super) fn limits(&self) -> Limits {
        self.autostop.iter().copied().chain(self.count.map(Limit::Packets)).collect()
    }

    /// Where the packets go.
    ///
    /// Fails when options contradict each other, or the output is a terminal.
    pub(super) fn target(&self) -> Result<OutputTarget, Error> {
        let each: Option<Limits> =
            (!self.ring_buffer.is_empty()).then(|| self.ring_buffer.iter().copied().collect());
        if each.is_some_and(|each| Limits { files: None, ..each } == Limits::default()) {
            return Err(Error::new(
                "cannot write multiple files: no condition for the next file is given",
                "add one of -b duration:SECONDS, -b interval:SECONDS, -b filesize:KB, -b packets:COUNT",
            ));
        }
        let to_pipe = match &self.write {
            Some(path) => STANDARD_OUTPUT.iter().any(|other| path == Path::new(other)),
            None => !io::stdout().is_terminal(),
        };
        if !to_pipe {
            let default = || default_path(self.selectors.first_name(), SystemTime::now());
            let path = self.write.clone().unwrap_or_else(default);
            return Ok(OutputTarget::Files(OutputFiles::new(path, self.overwrite, each)));
        }
        if each.is_some() {
            return Err(Error::new("cannot write multiple files to standard output", "name a file: -w FILE"));
        }
        if io::stdout().is_terminal() {
            return Err(Error::new(
                "cannot write a capture to a terminal",
                "name a file (-w FILE), or use a pipe: -w - | wireshark -k -i -",
            ));
        }
        Ok(OutputTarget::StandardOutput)
    }
}

/// Characters of a container's name in a file name, which may have 255 bytes.
const MAX_FILE_NAME_PART_LEN: usize = 100;

/// `web_20261123140500-123456.pcapng`: two captures of one container may start in the same second.
fn default_path(name: &str, now: SystemTime) -> PathBuf {
    let plain = |one: char| if one.is_ascii_alphanumeric() { one } else { '-' };
    let name: String = name.chars().take(MAX_FILE_NAME_PART_LEN).map(plain).collect();
    let micros = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().subsec_micros();
    PathBuf::from(format!("{name}_{}-{micros:06}.pcapng", timestamp(now)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn captures_that_start_in_the_same_second_have_different_file_names() {
        // The second of two captures of one container failed, since the file existed.
        let at =
            |micros: u64| default_path("web:eth0", SystemTime::UNIX_EPOCH + Duration::from_micros(micros));
        assert_eq!(at(1_000_042), Path::new("web-eth0_19700101000001-000042.pcapng"));
        assert_ne!(at(1_000_042), at(1_000_043));
        let long = default_path(&"x".repeat(500), SystemTime::UNIX_EPOCH);
        assert!(long.as_os_str().len() < 255);
    }
}
