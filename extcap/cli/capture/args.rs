//! What a capture is asked for on the command line.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Args;
use containerdump::capture::{self, CaptureSettings};
use containerdump::error::Error;
use containerdump::peer::compression::CompressionMode;
use containerdump::session::{Duplicates, Limit, Limits, OutputFiles, timestamp};
use containerdump::ssh::{ConnectionEvent, Host, TcpdumpCapture};
use containerdump::tap::TapKind;

use super::selectors::SelectorArgs;
use crate::capture::{CaptureJob, OutputTarget};
use crate::cli::host_args::HostArgs;
use crate::cli::notices;
use crate::cli::progress::Progress;
use crate::log_file;

/// Capture the packets of containers, both directions, in pcapng
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

NAMEs are captured, and beside them what fits: --all, or all of the projects that have all
of the labels. Of these, one that cannot be captured is left out with a word why, and so is
one in the host's network, whose packets are those of the whole host: name it.

Ends by itself when every container has stopped (--follow goes on) or the reader of the pipe has left.
The exit status is 0 then, and after Ctrl-C; it is 1 when something failed.")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct CaptureArgs {
    #[command(flatten)]
    pub(super) selected: SelectorArgs,

    #[command(flatten)]
    pub(in crate::cli) hosts: HostArgs,

    /// Whether Wireshark asks for it.
    #[arg(skip)]
    pub(in crate::cli) is_of_window: bool,

    /// Only the attachments to this network, or with this name (eth0); may be repeated [default: all]
    #[arg(short = 'i', long, alias = "interface", value_name = "NETWORK")]
    network: Vec<String>,

    /// Capture filter, as in tcpdump (man pcap-filter); inbound and outbound are as the container
    /// sees them
    #[arg(short, long)]
    filter: Option<String>,

    /// Snap length: bytes kept of each packet; 0 keeps whole packets
    #[arg(short, long, aliases = ["snaplen", "snapshot-length"], value_name = "LEN",
          default_value_t = capture::MAX_SNAP_LEN,
          value_parser = clap::value_parser!(u32).range(..=i64::from(capture::MAX_SNAP_LEN)))]
    snap_length: u32,

    /// Stop after this many packets
    #[arg(short, long, value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// File to write, - for standard output [default: standard output unless it is a terminal,
    /// then a file named after what is captured first and the time]
    #[arg(short, long, value_name = "FILE")]
    write: Option<PathBuf>,

    /// Overwrite the file if it exists
    #[arg(long)]
    overwrite: bool,

    /// Ring buffer: write multiple files; the next begins after duration:SECONDS, filesize:KB or
    /// packets:COUNT, or when the time of day is a multiple of interval:SECONDS; files:COUNT keeps the
    /// newest ones only; may be repeated
    #[arg(short = 'b', long, value_name = "CONDITION")]
    ring_buffer: Vec<Limit>,

    /// Stop after duration:SECONDS, filesize:KB, packets:COUNT or files:COUNT; may be repeated
    #[arg(short, long, value_name = "CONDITION", value_parser = Limit::parse_autostop)]
    autostop: Vec<Limit>,

    /// Kernel buffer of each attachment in MiB, 2 to 2046; 0 shares 224 MiB among all attachments
    #[arg(short = 'B', long, value_name = "MIB", default_value_t = 0, value_parser = buffer_size)]
    buffer_size: u32,

    /// Where packets are taken: at the host veth, inside the container, or by a tap container that
    /// the engine joins to it; auto takes the first that can be used (see list -v)
    #[arg(long, value_name = "TAP", default_value = "auto",
          value_parser = ["auto", TapKind::Host.as_str(), TapKind::Inside.as_str(), TapKind::Engine.as_str()])]
    tap: String,

    /// What to do with the second copy of a packet that one captured container sends to another
    #[arg(long, value_name = "ACTION", default_value = Duplicates::ALL[0].word(),
          value_parser = Duplicates::ALL.map(Duplicates::word))]
    duplicates: String,

    /// Whether packets of other hosts are compressed on their way here: auto leaves out what does not become
    /// smaller, and all where the link is faster than that
    #[arg(long, value_name = "WHEN", requires = "host", default_value = CompressionMode::ALL[0].word(),
          value_parser = CompressionMode::ALL.map(CompressionMode::word))]
    compress: String,

    /// Do not put the host veths into promiscuous mode
    #[arg(short = 'p', long, alias = "no-promiscuous-mode")]
    no_promiscuous: bool,

    /// Also capture containerdump's own traffic: connections to engines over TCP, and the ssh session it
    /// runs in
    #[arg(long)]
    own_traffic: bool,

    /// No counter on the terminal, no line about dropped packets
    #[arg(short, long)]
    quiet: bool,

    /// How much to log; message is least, noisy is most
    #[arg(long, value_name = "LEVEL", default_value = "message",
          value_parser = log_file::LEVELS.map(|(word, _)| word))]
    log_level: String,

    /// File to log to; without it nothing is logged
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
}

/// What means standard output where a file is named.
const STANDARD_OUTPUT: [&str; 4] = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];

/// A kernel buffer that an attachment can have, in MiB, or 0.
fn buffer_size(text: &str) -> Result<u32, String> {
    let size = text.parse().ok().filter(|size| *size == 0 || (2..=2046).contains(size));
    size.ok_or_else(|| "not 0, nor a number from 2 to 2046".to_owned())
}

impl CaptureArgs {
    /// Begins the log, if there is to be one.
    ///
    /// Fails when it cannot be written.
    pub(super) fn open_log(&self) -> Result<(), Error> {
        log_file::open(Some(&self.log_level), self.log_file.as_deref())
    }

    /// The capture filter; `None` for every packet.
    ///
    /// Fails when it is not valid.
    pub(super) fn filter(&self) -> Result<Option<String>, Error> {
        capture::combine_filters(self.filter.as_deref(), None)
    }

    /// What is shown meanwhile.
    pub(super) fn progress(&self) -> Progress {
        Progress::new(self.quiet)
    }

    /// The same of this host, into `target`.
    pub(super) fn job(self, target: OutputTarget) -> Result<CaptureJob, Error> {
        Ok(CaptureJob {
            follow: self.selected.follows(),
            limits: self.limits(),
            settings: self.settings()?,
            networks: self.network,
            tap: TapKind::parse(&self.tap),
            duplicates: Duplicates::parse(&self.duplicates).unwrap_or_default(),
            own_traffic: self.own_traffic,
            selection: self.selected.selection(),
            target,
            toolbar: None,
            confirmation: None,
        })
    }

    /// Bytes kept of each packet: 0 is tcpdump's word for all of them.
    fn snap_length(&self) -> u32 {
        if self.snap_length == 0 { capture::MAX_SNAP_LEN } else { self.snap_length }
    }

    /// How rings are opened.
    ///
    /// Fails when the capture filter is not valid.
    pub(super) fn settings(&self) -> Result<CaptureSettings, Error> {
        Ok(CaptureSettings {
            filter: self.filter()?,
            exclusion: None,
            remote_exclusion: None,
            snap_length: self.snap_length(),
            ring_mib: Some(self.buffer_size).filter(|size| *size > 0),
            promiscuous: !self.no_promiscuous,
        })
    }

    pub(super) fn limits(&self) -> Limits {
        self.autostop.iter().copied().chain(self.count.map(Limit::Packets)).collect()
    }

    /// What another host is asked for, as a command line: all but where to and until when.
    pub(super) fn for_far(&self) -> Vec<String> {
        let mut arguments = vec!["capture".to_owned(), "--write=-".to_owned()];
        arguments.extend(self.network.iter().map(|network| format!("--network={network}")));
        arguments.extend(self.filter.iter().map(|filter| format!("--filter={filter}")));
        arguments.push(format!("--snap-length={}", self.snap_length));
        arguments.push(format!("--buffer-size={}", self.buffer_size));
        arguments.push(format!("--tap={}", self.tap));
        arguments.push(format!("--duplicates={}", self.duplicates));
        arguments.extend(self.no_promiscuous.then(|| "--no-promiscuous".to_owned()));
        arguments.extend(self.own_traffic.then(|| "--own-traffic".to_owned()));
        arguments.extend(self.selected.for_far());
        arguments
    }

    pub(super) fn compress(&self) -> CompressionMode {
        CompressionMode::parse(&self.compress).unwrap_or_default()
    }

    /// The same for who knows nothing of containers; else why not.
    pub(super) fn plain(&self) -> Result<TcpdumpCapture, String> {
        let only = |why: &str| Err(format!("it serves {why} only"));
        let Some(container) = self.selected.only(self.is_of_window) else {
            return only("one container, not followed,");
        };
        if self.network.len() > 1 {
            return only("one interface");
        }
        if self.tap != "auto" && self.tap != TapKind::Host.as_str() {
            return only("host veths");
        }
        Ok(TcpdumpCapture {
            container: container.to_owned(),
            interface: self.network.first().cloned(),
            filter: self.filter.clone(),
            snap_length: self.snap_length(),
            promiscuous: !self.no_promiscuous,
        })
    }

    /// How it tells what goes on with other hosts.
    pub(super) fn tell(&self) -> fn(&Host, &ConnectionEvent) {
        match self.quiet {
            _ if !self.hosts.are_from_terminal() => notices::log,
            true => notices::say_nothing,
            false => notices::tell,
        }
    }

    /// Where the packets go.
    ///
    /// Fails when that makes no sense, or is a terminal.
    pub(super) fn target(&self) -> Result<OutputTarget, Error> {
        let each: Option<Limits> =
            (!self.ring_buffer.is_empty()).then(|| self.ring_buffer.iter().copied().collect());
        if each.is_some_and(|each| Limits { files: None, ..each } == Limits::default()) {
            return Err(Error::new(
                "cannot write multiple files: nothing says when the next one begins",
                "add one of -b duration:SECONDS, -b interval:SECONDS, -b filesize:KB, -b packets:COUNT",
            ));
        }
        let to_pipe = match &self.write {
            Some(path) => STANDARD_OUTPUT.iter().any(|other| path == Path::new(other)),
            None => !io::stdout().is_terminal(),
        };
        if !to_pipe {
            let path =
                self.write.clone().unwrap_or_else(|| default_path(self.selected.word(), SystemTime::now()));
            return Ok(OutputTarget::Files(OutputFiles::new(path, self.overwrite, each)));
        }
        if each.is_some() {
            return Err(Error::new("cannot cut standard output into files", "name one: -w FILE"));
        }
        if io::stdout().is_terminal() {
            return Err(Error::new(
                "cannot write a capture to a terminal",
                "name a file (-w FILE), or pipe it on: -w - | wireshark -k -i -",
            ));
        }
        Ok(OutputTarget::StandardOutput)
    }
}

/// Characters of a container's name in the name of a file, which may have 255 bytes.
const MAX_FILE_WORD_LEN: usize = 100;

/// `web_20261123140500-123456.pcapng`: two captures of one container may start in the same second.
fn default_path(word: &str, now: SystemTime) -> PathBuf {
    let plain = |one: char| if one.is_ascii_alphanumeric() { one } else { '-' };
    let name: String = word.chars().take(MAX_FILE_WORD_LEN).map(plain).collect();
    let micros = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().subsec_micros();
    PathBuf::from(format!("{name}_{}-{micros:06}.pcapng", timestamp(now)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn captures_that_start_in_the_same_second_have_files_of_their_own() {
        // Two captures of one container in a second: the second one failed, since the file existed.
        let at =
            |micros: u64| default_path("web:eth0", SystemTime::UNIX_EPOCH + Duration::from_micros(micros));
        assert_eq!(at(1_000_042), Path::new("web-eth0_19700101000001-000042.pcapng"));
        assert_ne!(at(1_000_042), at(1_000_043));
        let long = default_path(&"x".repeat(500), SystemTime::UNIX_EPOCH);
        assert!(long.as_os_str().len() < 255);
    }
}
