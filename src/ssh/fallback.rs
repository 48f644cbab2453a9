//! Where our program cannot run on a host: tcpdump or dumpcap there, at the host veth of one container.
//!
//! Both ends of the veth are told by the kernel there, never by the container: each must name the other.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::lines::{BROKE_OFF, Lines};
use super::sent::Start;
use super::{Session, savefile};
use crate::container::ContainerId;
use crate::error::Error;
use crate::pcapng::InterfaceDescription;
use crate::safe_text::SafeText;

const PATIENCE: Duration = Duration::from_secs(20);
/// Starts each line of [`LOOK`]. A login shell may print before the first one, without a line end.
const MARKER: &str = "containerdump-look ";
/// Bytes of a name of an interface, without the zero (IFNAMSIZ, linux/if.h).
const LONGEST_INTERFACE: usize = 15;

/// Runs a script that comes through standard input, as whoever `before` says.
const SHELL: [&str; 2] = ["exec ", r#"sh -c 'read -r script && eval "$script"'"#];

/// Looks for a container's interfaces, and for the host's. It is the same container before and after.
const LOOK: &str = r#"read -r name; PATH=$PATH:/usr/sbin:/sbin:/usr/local/sbin:/usr/local/bin:/snap/bin; say() { echo "containerdump-look $*"; };
for tool in tcpdump dumpcap; do if command -v $tool >/dev/null; then say tool $tool; fi; done;
pid_of() { $1 inspect --type container --format '{{.State.Pid}}' "$name" 2>/dev/null </dev/null; };
links() { while read -r number link rest; do say $1 "$number" "$link"; done; };
for engine in docker podman; do command -v $engine >/dev/null && pid=$(pid_of $engine) || continue;
[ "$pid" -gt 1 ] 2>/dev/null || continue; say engine $engine;
say called "$($engine inspect --type container --format '{{.Id}} {{.Name}}' "$name" 2>/dev/null </dev/null)";
if [ "$(readlink /proc/$pid/ns/net)" = "$(readlink /proc/self/ns/net)" ]; then say shared; fi;
nsenter -t "$pid" -n ip -o link | links inside; ip -o link | links host;
if [ "$(pid_of $engine)" = "$pid" ]; then say same; fi; break; done; say done"#;

/// Captures until standard input ends, or nothing came there for ten seconds. That an interface went is no failure.
const CAPTURE: &str = r#"read -r tool && read -r veth && read -r snap && read -r options && read -r filter || exit 1;
PATH=$PATH:/usr/sbin:/sbin:/usr/local/sbin:/usr/local/bin; exec 3<&0; echo containerdump-savefile;
case $tool in tcpdump) set -- tcpdump -n -U --immediate-mode -B 16384 $options -i "$veth" -s "$snap" -w -; [ -z "$filter" ] || set -- "$@" -- "$filter" ;;
*) set -- dumpcap -q -P -B 16 $options -i "$veth" -s "$snap" -w -; [ -z "$filter" ] || set -- "$@" -f "$filter" ;; esac;
"$@" </dev/null & p=$!; trap 'kill $p' HUP INT TERM;
{ if command -v timeout; then while [ -n "$(timeout 10 dd bs=512 count=1 2>/dev/null <&3)" ]; do :; done; else cat <&3; fi;
kill $p; } >/dev/null 2>&1 & w=$!; exec 3<&-;
wait $p; s=$?; kill $w 2>/dev/null; [ -e "/sys/class/net/$veth" ] || s=0; exit $s"#;

/// A capture that tcpdump could do as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plain {
    /// One container, by name or id.
    pub container: String,
    /// One interface of it; the first where none is named.
    pub interface: Option<String>,
    /// The capture filter.
    pub filter: Option<String>,
    /// Bytes kept of each packet.
    pub snap_length: u32,
    /// Whether the veth is put into promiscuous mode.
    pub promiscuous: bool,
}

/// What does it there.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    tool: &'static str,
    engine: &'static str,
    /// The container's interface, and the host veth.
    inside: SafeText,
    veth: String,
    /// Others that the container has.
    others: usize,
}

impl Plain {
    /// Begins it. Returns what it is, the program there, and a stream such as our own.
    ///
    /// Fails with why it cannot be.
    pub(super) fn begin(
        &self,
        before: &'static str,
        start: Start<'_>,
    ) -> Result<(String, Session, UnixStream), String> {
        if !is_name(&self.container, 255) {
            return Err("it needs the name of one container".to_owned());
        }
        let filter = self.filter.as_deref().unwrap_or_default().replace(['\n', '\r', '\0'], " ");
        if filter
            .split(|one: char| !one.is_alphanumeric())
            .any(|word| word == "inbound" || word == "outbound")
        {
            return Err("inbound and outbound have the opposite meaning at a host veth".to_owned());
        }
        let command = [SHELL[0], before, SHELL[1]].concat();
        let says = |trouble: Error| trouble.message().to_string();
        let (mut session, mut lines) = run(&command, LOOK, &[&self.container], start).map_err(says)?;
        let mut told = Vec::new();
        loop {
            let line = lines.next(Instant::now() + PATIENCE).map_err(|why| explained(&mut session, why))?;
            match line.split_once(MARKER) {
                Some((_, "done")) => break,
                Some((_, words)) => told.push(words.to_owned()),
                None => {}
            }
        }
        // The host may not allow a second session beside it (`MaxSessions 1`).
        drop(session);
        let found = Found::among(&told, &self.container, self.interface.as_deref())?;
        let Found { tool, engine, inside, veth, others } = &found;
        let options = if self.promiscuous { "" } else { "-p" };
        let snap = self.snap_length.to_string();
        let asked = [*tool, veth, &snap, options, &filter];
        let (mut session, _) = run(&command, CAPTURE, &asked, start).map_err(says)?;
        let name = SafeText::new(&self.container);
        let interface = InterfaceDescription {
            name: SafeText::new(&format!("{name}:{inside}")),
            description: SafeText::with_limit(
                &format!("{engine} container {name}, {inside} by {tool} at host veth {veth}"),
                200,
            ),
            hardware_address: None,
            filter: self.filter.clone(),
            snap_length: self.snap_length,
            link_type: 1,
        };
        let stream = session.stream().map_err(says)?;
        let stream =
            savefile::rewritten(stream, interface, PATIENCE).map_err(|why| explained(&mut session, why))?;
        let others = match others {
            0 => String::new(),
            some => format!(" (not its {some} others)"),
        };
        let line = format!(
            "{tool} there captures {inside} of {name}{others} at host veth {veth} instead; directions and losses are not in the file"
        );
        Ok((line, session, stream))
    }
}

/// Whether tcpdump or dumpcap say it whenever they run, and nothing was lost.
pub fn is_routine(line: &SafeText) -> bool {
    const BEGINS: [&str; 5] = [
        "tcpdump: listening on ",
        "tcpdump: data link type ",
        "Capturing on ",
        "File: -",
        "Packets captured: ",
    ];
    const ENDS: [&str; 3] = [" packets captured", " packet captured", " received by filter"];
    let line = line.as_str();
    let is_without_loss = line == "0 packets dropped by kernel"
        || line.starts_with("Packets received/dropped on interface ") && line.contains("/0 (pcap:0/");
    is_without_loss
        || BEGINS.iter().any(|begin| line.starts_with(begin))
        || ENDS.iter().any(|end| line.ends_with(end))
}

/// Why something ended: in the words of what ran there, where it failed by itself.
fn explained(session: &mut Session, why: String) -> String {
    if why != BROKE_OFF {
        return why;
    }
    session.failure().map_or(why, |trouble| trouble.message().to_string())
}

fn run(command: &str, script: &str, lines: &[&str], start: Start<'_>) -> Result<(Session, Lines), Error> {
    let session = start(command)?;
    let answers = Lines::of(&session)?;
    let asked = format!("{}\n{}\n", script.replace('\n', " "), lines.join("\n"));
    // Where the link is gone, reading will tell.
    let _ = session.stream()?.write_all(asked.as_bytes());
    Ok((session, answers))
}

/// Whether a text is a name such as engines and the kernel give, and no option.
fn is_name(text: &str, longest: usize) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    text.len() <= longest
        && text.bytes().all(fits)
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
}

/// A link as `ip -o link` begins: its number, name, and the number of its other end, in another namespace.
fn link(words: &str) -> Option<(u32, &str, u32)> {
    let (number, link) = words.split_once(' ')?;
    let (name, other) = link.strip_suffix(':')?.split_once("@if")?;
    Some((number.strip_suffix(':')?.parse().ok()?, name, other.parse().ok()?))
}

/// Whether an id and a name, as an engine tells them, are those of the `wanted` container.
fn is_called(words: &str, wanted: &str) -> bool {
    let Some((id, name)) = words.split_once(' ') else { return false };
    name.trim_start_matches('/') == wanted || ContainerId::parse(id).is_some_and(|id| id.matches(wanted))
}

impl Found {
    /// Reads what was told of a container, and of the host.
    fn among(told: &[String], container: &str, wanted: Option<&str>) -> Result<Self, String> {
        let all = |word: &'static str| {
            told.iter().filter_map(move |line| line.strip_prefix(word)?.strip_prefix(' '))
        };
        let known =
            |word, names: [&'static str; 2]| names.into_iter().find(|name| all(word).any(|one| one == *name));
        let tool = known("tool", ["tcpdump", "dumpcap"]).ok_or("neither tcpdump nor dumpcap is installed")?;
        let engine = known("engine", ["docker", "podman"])
            .ok_or("neither docker nor podman there tells of a running container of that name")?;
        // Engines take any first digits of an id, and a mistyped name may be some.
        if !all("called").any(|words| is_called(words, container)) {
            return Err("the engine there has no running container of that name or id".to_owned());
        }
        if told.iter().any(|line| line == "shared") {
            return Err("the container is in the host's network".to_owned());
        }
        if !told.iter().any(|line| line == "same") {
            return Err("the container ended meanwhile".to_owned());
        }
        let veth = |(number, _, other): (u32, &str, u32)| {
            let mut ends = all("host").filter_map(link).filter(|end| end.0 == other && end.2 == number);
            ends.next().map(|end| end.1).filter(|name| is_name(name, LONGEST_INTERFACE)).map(str::to_owned)
        };
        let inside: Vec<(&str, String)> =
            all("inside").filter_map(link).filter_map(|link| Some((link.1, veth(link)?))).collect();
        let is_wanted = |(name, _): &&(&str, String)| wanted.is_none_or(|wanted| wanted == *name);
        let Some((name, veth)) = inside.iter().find(is_wanted) else {
            return Err(match wanted {
                Some(wanted) if !inside.is_empty() => {
                    format!("the container has no {}", SafeText::new(wanted))
                }
                _ if all("inside").next().is_none() => {
                    "only root can look into the container's network".to_owned()
                }
                _ => "the container has no host veth".to_owned(),
            });
        };
        let others = inside.len() - 1;
        Ok(Self { tool, engine, inside: SafeText::new(name), veth: veth.clone(), others })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn among(told: &str, wanted: Option<&str>) -> Result<Found, String> {
        Found::among(&told.lines().map(str::to_owned).collect::<Vec<_>>(), "web", wanted)
    }

    const TOLD: &str = "tool dumpcap\nengine docker\ncalled ID /web\ninside 1: lo:\ninside 12: eth0@if13:\ninside 14: eth1@if15:\n\
        host 2: eth0:\nhost 13: veth1@if12:\nhost 15: veth2@if14:\nsame";

    #[test]
    fn a_veth_is_found_by_both_of_its_ends() {
        let found = among(TOLD, None).expect("one");
        assert_eq!((found.tool, found.engine, found.others), ("dumpcap", "docker", 1));
        assert_eq!((found.inside.as_str(), found.veth.as_str()), ("eth0", "veth1"));
        assert_eq!(among(TOLD, Some("eth1")).expect("one").veth, "veth2");
    }

    #[test]
    fn what_is_no_veth_of_the_container_is_not_captured() {
        let why = |from: &str, to: &str| among(&TOLD.replace(from, to), Some("eth0")).expect_err("none");
        assert_eq!(why("@if12", "@if99"), "the container has no eth0");
        assert_eq!(why("veth1", "-w"), "the container has no eth0");
        assert_eq!(why("veth1", "a;b"), "the container has no eth0");
        assert_eq!(why("veth1", "averyveryverylongname"), "the container has no eth0");
        assert_eq!(why("host", "hos"), "the container has no host veth");
        assert_eq!(why("inside", "insid"), "only root can look into the container's network");
        assert_eq!(why("same", "sam"), "the container ended meanwhile");
        assert_eq!(why("same", "same\nshared"), "the container is in the host's network");
        assert!(why("docker", "docker2").starts_with("neither docker nor podman"));
        assert_eq!(why("dumpcap", "rm"), "neither tcpdump nor dumpcap is installed");
    }

    #[test]
    fn a_container_is_meant_by_its_name_or_twelve_digits_of_its_id() {
        let id = "64ab".repeat(16);
        for wanted in ["web", &id[..12], &id] {
            assert!(is_called(&format!("{id} /web"), wanted), "{wanted}");
        }
        for wanted in ["64", &id[..11], "we", "64ab64ab64ac"] {
            assert!(!is_called(&format!("{id} /web"), wanted), "{wanted}");
        }
        let other = among(&TOLD.replace("/web", "/webs"), None).expect_err("another");
        assert_eq!(other, "the engine there has no running container of that name or id");
    }

    #[test]
    fn what_is_lost_is_told() {
        let routine = |line: &str| is_routine(&SafeText::with_limit(line, 200));
        let of_dumpcap = "Packets received/dropped on interface 'veth1': 7/0 (pcap:0/dumpcap:0/flushed:0/ps_ifdrop:0) (100.0%)";
        assert!(
            routine(of_dumpcap) && routine("0 packets dropped by kernel") && routine("12 packets captured")
        );
        let lost = of_dumpcap.replace("7/0 (pcap:0", "7/3 (pcap:3");
        assert!(
            !routine(&lost) && !routine("10 packets dropped by kernel") && !routine("tcpdump: pcap_loop: no")
        );
    }

    #[test]
    fn the_command_is_the_same_to_every_shell() {
        let script =
            SHELL[1].strip_prefix("sh -c '").and_then(|rest| rest.strip_suffix('\'')).expect("quotes");
        assert!(!script.contains(['\'', '\\', '!', '\n']), "{script}");
    }
}
