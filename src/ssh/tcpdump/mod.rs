//! A capture with tcpdump or dumpcap on a host where the program cannot run: one container, at its host veth.
//!
//! The kernel reports both ends of the veth pair, never the container; each must name the other.

pub(crate) mod savefile;
mod veth;

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use self::veth::VethCapture;
use super::lines::{OUTPUT_ENDED, OutputLines};
use super::session::StartSession;
use super::{Elevation, SshSession};
use crate::error::Error;
use crate::pcapng::InterfaceDescription;
use crate::safe_text::SafeText;

const TCPDUMP_TIMEOUT: Duration = Duration::from_secs(20);
/// Begins each line of [`LOOKUP_SCRIPT`]. A login shell may print before it, without a line end.
const LOOKUP_MARKER: &str = "containerdump-lookup ";

/// Runs a script from standard input; the prefix of an elevation is inserted between the parts.
const SHELL: [&str; 2] = ["exec ", r#"sh -c 'read -r script && eval "$script"'"#];

/// Lists the interfaces of a container and of the host, and checks that it is the same container before and after.
const LOOKUP_SCRIPT: &str = r#"read -r name; PATH=$PATH:/usr/sbin:/sbin:/usr/local/sbin:/usr/local/bin:/snap/bin; say() { echo "containerdump-lookup $*"; };
for tool in tcpdump dumpcap; do if command -v $tool >/dev/null; then say tool $tool; fi; done;
pid_of() { $1 inspect --type container --format '{{.State.Pid}}' "$name" 2>/dev/null </dev/null; };
links() { while read -r number link rest; do say $1 "$number" "$link"; done; };
for engine in docker podman; do command -v $engine >/dev/null && pid=$(pid_of $engine) || continue;
[ "$pid" -gt 1 ] 2>/dev/null || continue; say engine $engine;
say container "$($engine inspect --type container --format '{{.Id}} {{.Name}}' "$name" 2>/dev/null </dev/null)";
if [ "$(readlink /proc/$pid/ns/net)" = "$(readlink /proc/self/ns/net)" ]; then say shared; fi;
nsenter -t "$pid" -n ip -o link | links inside; ip -o link | links host;
if [ "$(pid_of $engine)" = "$pid" ]; then say unchanged; fi; break; done; say done"#;

/// Captures until standard input ends or is silent for ten seconds. A removed interface is not a failure.
const CAPTURE_SCRIPT: &str = r#"read -r tool && read -r veth && read -r snap && read -r options && read -r filter || exit 1;
PATH=$PATH:/usr/sbin:/sbin:/usr/local/sbin:/usr/local/bin; exec 3<&0; echo containerdump-savefile;
case $tool in tcpdump) set -- tcpdump -n -U --immediate-mode -B 16384 $options -i "$veth" -s "$snap" -w -; [ -z "$filter" ] || set -- "$@" -- "$filter" ;;
*) set -- dumpcap -q -P -B 16 $options -i "$veth" -s "$snap" -w -; [ -z "$filter" ] || set -- "$@" -f "$filter" ;; esac;
"$@" </dev/null & p=$!; trap 'kill $p' HUP INT TERM;
{ if command -v timeout; then while [ -n "$(timeout 10 dd bs=512 count=1 2>/dev/null <&3)" ]; do :; done; else cat <&3; fi;
kill $p; } >/dev/null 2>&1 & w=$!; exec 3<&-;
wait $p; s=$?; kill $w 2>/dev/null; [ -e "/sys/class/net/$veth" ] || s=0; exit $s"#;

/// A capture that tcpdump can do as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpdumpCapture {
    /// The name or id of the container.
    pub container: String,
    /// An interface inside the container; `None` for its first.
    pub interface: Option<String>,
    /// The capture filter.
    pub filter: Option<String>,
    /// Bytes recorded per packet.
    pub snap_length: u32,
    /// Whether the host veth is put into promiscuous mode.
    pub promiscuous: bool,
}

impl TcpdumpCapture {
    /// Starts it. Returns a notice for the user, the remote program, and a pcapng stream.
    ///
    /// # Errors
    /// Why it cannot be started.
    pub(super) fn start(
        &self,
        elevation: Elevation,
        start: StartSession<'_>,
    ) -> Result<(String, SshSession, UnixStream), String> {
        if !veth::is_name(&self.container, 255) {
            return Err("it needs the name of one container".to_owned());
        }
        let filter = self.filter.as_deref().unwrap_or_default().replace(['\n', '\r', '\0'], " ");
        let mut words = filter.split(|one: char| !one.is_alphanumeric());
        if words.any(|word| word == "inbound" || word == "outbound") {
            return Err("inbound and outbound have the opposite meaning at a host veth".to_owned());
        }
        let command = [SHELL[0], elevation.command_prefix(), SHELL[1]].concat();
        let veth = self.find_veth(&command, start)?;
        let VethCapture { tool, engine, interface, host_veth, others } = &veth;
        let options = if self.promiscuous { "" } else { "-p" };
        let snap_length = self.snap_length.to_string();
        let input = [*tool, host_veth, &snap_length, options, &filter];
        let message = |error: Error| error.message().to_string();
        let (mut session, _) = run_script(&command, CAPTURE_SCRIPT, &input, start).map_err(message)?;
        let container = SafeText::new(&self.container);
        let description = InterfaceDescription {
            name: SafeText::new(&format!("{container}:{interface}")),
            description: SafeText::with_limit(
                &format!("{engine} container {container}, {interface} by {tool} at host veth {host_veth}"),
                200,
            ),
            hardware_address: None,
            filter: self.filter.as_deref().map(Into::into),
            snap_length: self.snap_length,
            link_type: 1,
        };
        let stream = session.stream().map_err(message)?;
        let stream = savefile::convert(stream, description, TCPDUMP_TIMEOUT)
            .map_err(|cause| failure_cause(&mut session, cause))?;
        let others = match others {
            0 => String::new(),
            count => format!(" (not its {count} others)"),
        };
        let notice = format!(
            "{tool} on that host captures {interface} of {container}{others} at host veth {host_veth} instead; the \
             file has no directions and no drop counts"
        );
        Ok((notice, session, stream))
    }

    fn find_veth(&self, command: &str, start: StartSession<'_>) -> Result<VethCapture, String> {
        let (mut session, mut lines) = run_script(command, LOOKUP_SCRIPT, &[&self.container], start)
            .map_err(|error| error.message().to_string())?;
        let mut facts = Vec::new();
        let deadline = Instant::now() + TCPDUMP_TIMEOUT;
        loop {
            let line = lines.next_line(deadline).map_err(|cause| failure_cause(&mut session, cause))?;
            match line.split_once(LOOKUP_MARKER) {
                Some((_, "done")) => break,
                Some((_, fact)) => facts.push(fact.to_owned()),
                None => {}
            }
        }
        // The server may allow one session at a time (`MaxSessions 1`).
        drop(session);
        VethCapture::from_facts(&facts, &self.container, self.interface.as_deref())
    }
}

/// Whether tcpdump or dumpcap print this line on every run without losses.
pub fn is_routine_output(line: &SafeText) -> bool {
    const PREFIXES: [&str; 5] = [
        "tcpdump: listening on ",
        "tcpdump: data link type ",
        "Capturing on ",
        "File: -",
        "Packets captured: ",
    ];
    const SUFFIXES: [&str; 3] = [" packets captured", " packet captured", " received by filter"];
    let line = line.as_str();
    let has_no_loss = line == "0 packets dropped by kernel"
        || line.starts_with("Packets received/dropped on interface ") && line.contains("/0 (pcap:0/");
    has_no_loss
        || PREFIXES.iter().any(|prefix| line.starts_with(prefix))
        || SUFFIXES.iter().any(|suffix| line.ends_with(suffix))
}

/// Why a script ended: what it reported, if the output just ended.
fn failure_cause(session: &mut SshSession, cause: String) -> String {
    if cause != OUTPUT_ENDED {
        return cause;
    }
    session.failure().map_or(cause, |error| error.message().to_string())
}

fn run_script(
    command: &str,
    script: &str,
    input: &[&str],
    start: StartSession<'_>,
) -> Result<(SshSession, OutputLines), Error> {
    let session = start(command)?;
    let lines = OutputLines::new(&session)?;
    let input = format!("{}\n{}\n", script.replace('\n', " "), input.join("\n"));
    // If the connection is lost, reading reports it.
    let _ = session.stream()?.write_all(input.as_bytes());
    Ok((session, lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_output_without_losses_is_routine() {
        let routine = |line: &str| is_routine_output(&SafeText::with_limit(line, 200));
        let dumpcap = "Packets received/dropped on interface 'veth1': 7/0 (pcap:0/dumpcap:0/flushed:0/ps_ifdrop:0) (100.0%)";
        assert!(routine(dumpcap) && routine("0 packets dropped by kernel") && routine("12 packets captured"));
        let lost = dumpcap.replace("7/0 (pcap:0", "7/3 (pcap:3");
        assert!(!routine(&lost) && !routine("10 packets dropped by kernel"));
        assert!(!routine("tcpdump: pcap_loop: no"));
    }

    #[test]
    fn command_needs_no_quoting() {
        let script = SHELL[1].strip_prefix("sh -c '").and_then(|rest| rest.strip_suffix('\''));
        let script = script.expect("quotes");
        assert!(!script.contains(['\'', '\\', '!', '\n']), "{script}");
    }
}
