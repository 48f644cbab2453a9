//! Hosts that lie, flood, stall and break off, played by an `ssh` of our own: the real one would only carry it.

mod program;

use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use containerdump::pcapng::{Blocks, Interface};
use containerdump::ssh;
use containerdump::text::Label;
use program::{Ended, NOWHERE, Running, program};
use tempfile::TempDir;

const PROBE: &str = "echo containerdump-probe; echo system Linux x86_64; echo user 0; \
    echo program containerdump-far 1 0.1.0";
const HELLO: &str = "echo containerdump-far 1 0.1.0; read -r request";
const ESCAPE: &str = r"\033]0;x\007\033[2J\302\233\342\200\256";

/// A host whose answers are shell scripts: to being looked at, and to being asked.
struct FakeHost(TempDir);

impl FakeHost {
    fn new(probe: &str, far: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ssh");
        let script = format!(
            "#!/bin/sh\nprintf '%s\\n' \"$@\" -- >>{0}/arguments\nfor last; do :; done\n\
             case $last in *containerdump-probe*) {probe} ;; *far*) cd {0}; {far} ;; esac\n",
            folder.path().display(),
        );
        std::fs::write(&path, script).expect("a script");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("its mode");
        Self(folder)
    }

    /// One that is asked as it should be, and answers with `far`.
    fn answering(far: &str) -> Self {
        Self::new(PROBE, &format!("{HELLO}; {far}"))
    }

    /// A file for its scripts.
    fn with(self, name: &str, content: &[u8]) -> Self {
        std::fs::write(self.0.path().join(name), content).expect("a file");
        self
    }

    fn start(&self, arguments: &[&str]) -> Running {
        let path = format!("{}:{}", self.0.path().display(), std::env::var("PATH").expect("a PATH"));
        Running::start(program(NOWHERE).env("PATH", path).args(arguments))
    }

    fn list(&self) -> Ended {
        self.start(&["list", "--host", "ann@build1"]).ended()
    }

    /// What a capture that fails says.
    fn complaint_of_capture(&self) -> String {
        let ended = self.start(&["capture", "--host", "build1", "web", "-w", "-"]).ended_with_bytes();
        assert_eq!(ended.0, Some(1), "{}", ended.1);
        ended.1
    }

    /// What `ssh` was called with, each time.
    fn arguments(&self) -> Vec<Vec<String>> {
        let all = std::fs::read_to_string(self.0.path().join("arguments")).expect("it was called");
        all.split("\n--\n").map(|call| call.lines().map(str::to_owned).collect()).collect()
    }
}

/// A stream such as ours, up to its first packet.
fn begin(name: &str) -> Vec<u8> {
    let mut blocks = Blocks::begin_section();
    blocks.interface(&Interface {
        name: Label::new(name),
        description: Label::new("y"),
        hardware_address: None,
        filter: None,
        snap_length: 2000,
        link_type: 1,
    });
    blocks.take()
}

#[test]
fn a_host_cannot_become_an_option_nor_reach_a_shell() {
    let host = FakeHost::answering("true");
    for hostile in ["-oProxyCommand=touch x", "a;b", "$(x)", "a\nb", "ann@-x", ""] {
        let argument = format!("--host={hostile}");
        assert_eq!(host.start(&["list", &argument]).ended().status.code(), Some(2), "{hostile:?}");
    }
    assert!(!host.0.path().join("arguments").exists(), "ssh was called");
    host.list();
    for call in host.arguments() {
        let Some(at) = call.iter().position(|word| word == "ann") else { continue };
        assert_eq!(call[at - 1], "-l");
    }
}

#[test]
fn nothing_of_wiresharks_dialog_becomes_an_option_or_reaches_a_shell() {
    let host = FakeHost::answering("cat list").with("list", b"");
    let load = |options: &[&str]| {
        let question = ["--extcap-config", "--extcap-interface", "containerdump-ssh"];
        let reload = ["--extcap-reload-option", "remote-container"];
        host.start(&[&question[..], &reload, options].concat()).ended().answer()
    };
    for hostile in ["-oProxyCommand=touch x", "a;b", "$(x)", "a\nb", "ann@-x", ""] {
        for options in [
            &["--remote-host", hostile][..],
            &["--remote-host=build1", "--remote-username", &format!("-{hostile}")],
            &["--remote-host=build1", "--remote-port", &format!("22 {hostile}x")],
            &["--remote-host=build1", "--sshkey", &format!("{hostile}\n")],
            &["--remote-host=build1", "--sshkey", "/${HOME}/key"],
            &["--remote-host=build1", "--proxycommand", &format!("nc\n{hostile}x")],
            &["--remote-host=build1", "--remote-priv", &format!("sudo;{hostile}x")],
        ] {
            let told = load(options);
            assert!(told.contains("{value=}{display=cannot "), "{options:?}: {told}");
        }
    }
    assert!(!host.0.path().join("arguments").exists(), "ssh was called");
    let key = ["--sshkey", "-oX=y 100%", "--proxycommand", "nc -x 'a b' %h %p"];
    let told = load(&[&["--remote-host", "ann@build1", "--remote-port", "22"], &key[..]].concat());
    assert!(!told.contains("cannot "), "{told}");
    // It is cut at `--`, behind which the host stands.
    let calls = host.arguments();
    let (first, rest) = (&calls[0], &calls[1]);
    assert_eq!(rest[0], "build1");
    for pair in [["-i", "-oX=y 100%%"], ["-o", "ProxyCommand=nc -x 'a b' %h %p"], ["-l", "ann"], ["-p", "22"]]
    {
        assert!(first.windows(2).any(|words| words == pair), "{pair:?}: {first:?}");
    }
}

#[test]
fn a_list_that_lies_is_a_list_of_values_to_wireshark() {
    let one = |interface: &str, name: &str| {
        format!(
            r#"{{"addresses":[],"attachments":[],"created":1,"engine":"docker","id":"{0}","interface":"{interface}",
            "image":"{name}","name":"{name}","network_mode":"own","networks":[],"project":"{name}","trouble":null}}"#,
            "0".repeat(64)
        )
        .replace('\n', "")
    };
    let hostile = r"x}{value=stolen}\u001b[2J\n\u202evalue {arg=0}{value=y}{display=z}";
    let interfaces = ["docker-web", "docker-a}{b", "docker-", "-web", "docker-a b", "docker-\u{e9}", hostile];
    let list: Vec<String> = interfaces.iter().map(|value| one(value, hostile)).collect();
    let host = FakeHost::answering("cat list").with("list", list.join("\n").as_bytes());
    let question = ["--extcap-config", "--extcap-interface", "containerdump-ssh"];
    let reload = ["--extcap-reload-option=remote-container", "--remote-host=build1"];
    let told = host.start(&[question, [reload[0], reload[1], ""]].concat()).ended().answer();
    let values = ["all", "docker-all", "compose-x--value-stolen-", "docker-web"];
    assert_eq!(told.lines().count(), values.len(), "{told}");
    for (line, value) in told.lines().zip(values) {
        assert!(line.starts_with(&format!("value {{arg=5}}{{value={value}")), "{line}");
        assert!(!line.contains("{value=stolen}"), "{line}");
    }
}

#[test]
fn nothing_of_a_request_is_in_a_command_line() {
    let host = FakeHost::answering(
        "printf %s \"$request\" >request; echo 'containerdump: no. Remedy: x.' >&2; exit 1",
    );
    let filter = "host 192.0.2.77";
    let ended = host.start(&["capture", "--host", "build1", "-f", filter, "-w", "-", "--", "we;b"]).ended();
    assert_eq!(ended.status.code(), Some(1));
    let all = host.arguments().concat().join(" ");
    assert!(!all.contains("192.0.2.77") && !all.contains("we;b"), "{all}");
    let request = std::fs::read_to_string(host.0.path().join("request")).expect("a request");
    let request = ssh::Request::read(format!("{request}\n").as_bytes()).expect("it can be read");
    assert!(request.arguments.contains(&format!("--filter={filter}")), "{request:?}");
    assert_eq!(request.arguments.last().map(String::as_str), Some("we;b"));
}

#[test]
fn no_option_of_ssh_weakens_its_policy_for_host_keys() {
    let host = FakeHost::answering("true");
    host.list();
    let all = host.arguments().concat().join(" ").to_lowercase();
    assert!(!all.contains("stricthostkeychecking") && !all.contains("knownhosts"), "{all}");
    assert!(all.contains("forwardagent=no") && all.contains("clearallforwardings=yes"), "{all}");
}

#[test]
fn escape_sequences_reach_no_terminal() {
    // What is said is looked at by `Running::ended`.
    let container = format!(
        r#"{{"addresses":[],"attachments":[],"created":1,"engine":"docker","id":"1","interface":"docker-web",
        "image":"{0}","name":"{0}","network_mode":"own","networks":[],"project":null,"trouble":
        {{"what":"{0}","remedy":"{0}"}}}}"#,
        r"a\u001b]0;x\u0007\u009b\u202e"
    )
    .replace('\n', "");
    let host = FakeHost::answering(&format!("printf '{ESCAPE}\\n' >&2; cat list"))
        .with("list", container.as_bytes());
    let ended = host.list();
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(
        ended.stdout.contains("a\u{FFFD}]0;x\u{FFFD}") && ended.stderr.contains("build1: "),
        "{}",
        ended.stderr
    );
    let host = FakeHost::answering(&format!("printf '{ESCAPE}\\n' >&2; exit 3"));
    assert!(host.list().complaint().contains("containerdump on ann@build1 ended before"));
    let host = FakeHost::new(&format!("printf '{ESCAPE}\\n' >&2; exit 255"), "");
    assert!(host.list().complaint().contains("cannot connect to ann@build1: "));
    let host = FakeHost::new(&PROBE.replace(" 1 0.1.0", &format!(" 2 $(printf '{ESCAPE}')")), "");
    assert!(host.list().complaint().contains("does not understand this one"));
}

#[test]
fn what_is_no_answer_ends_in_one_message() {
    let is_no_shell = FakeHost::new("echo This account is not available.; exit 1", "");
    assert!(is_no_shell.list().complaint().contains("no shell that runs commands"));
    let floods = FakeHost::new(PROBE, "cat /dev/zero");
    assert!(floods.list().complaint().contains("it says something else, and goes on and on"));
    let says_more = FakeHost::new(PROBE, &format!("echo Welcome; echo; {HELLO}; true"));
    assert_eq!(says_more.list().stdout.lines().count(), 1, "what a login shell says is passed over");
    let garbage = FakeHost::answering("echo '<html>'");
    assert!(garbage.list().complaint().contains("cannot read the list of build1: "));
    let endless = FakeHost::answering("cat /dev/zero");
    assert!(endless.list().complaint().contains("is longer than any list"));
    let absent = FakeHost::new(PROBE.rsplit_once("; echo program").expect("a probe").0, "");
    assert!(absent.list().complaint().contains("is not installed on ann@build1"));
    let unusable = FakeHost::new(&PROBE.replace(" containerdump-far 1 0.1.0", ""), "");
    assert!(unusable.list().complaint().contains("cannot be started on ann@build1"));
}

#[test]
fn a_stream_that_is_none_ends_in_one_message() {
    let garbage = FakeHost::answering("head -c 100000 /dev/urandom");
    assert!(garbage.complaint_of_capture().contains("cannot read packets of build1: "));
    let mut huge = begin("x");
    huge.extend([6, 0, 0, 0, 0xfc, 0xff, 0xff, 0xff]);
    let huge = FakeHost::answering("cat stream; cat").with("stream", &huge);
    assert!(huge.complaint_of_capture().contains("a block of it has 4294967292 bytes"));
    let again = FakeHost::answering("cat stream stream; cat").with("stream", &begin("x"));
    assert!(again.complaint_of_capture().contains("a second section begins in it"));
    let breaks_off = FakeHost::answering("cat stream; exit 255").with("stream", &begin("x")[..100]);
    assert!(breaks_off.complaint_of_capture().contains("build1"));
}

#[test]
fn a_packed_stream_that_is_none_ends_in_one_message() {
    let chunk = |zstd: &[u8], says: u32| {
        let length = u32::try_from(zstd.len()).expect("few").to_le_bytes();
        [&b"cd-z"[..], &length, &says.to_le_bytes(), zstd].concat()
    };
    let packed = |bytes: &[u8]| zstd::bulk::compress(bytes, 1).expect("memory");
    let (begins, bomb) = (begin("x"), packed(&vec![0; 64 << 20]));
    let says = u32::try_from(begins.len()).expect("few");
    let good = chunk(&packed(&begins), says);
    for (stream, why) in [
        (chunk(b"garbage, and not by zstd", 1000), "a chunk of it cannot be unpacked"),
        (chunk(&bomb, 128 << 10), "build1: "),
        ([&good[..], &chunk(&bomb, 128 << 10)].concat(), "a block of the unknown kind 0"),
        ([&good[..], &chunk(&packed(&begins), says)].concat(), "a second section begins in it"),
        ([&good[..], b"cd-0\xff\xff\xff\xff"].concat(), "a chunk of it has 4294967295 bytes"),
        ([&good[..], &begins].concat(), "a chunk of it is of an unknown kind"),
    ] {
        let host = FakeHost::answering("cat stream; cat").with("stream", &stream);
        let said = host.complaint_of_capture();
        assert!(said.contains("cannot read packets of build1: ") && said.contains(why), "{why}: {said}");
    }
    let breaks_off =
        FakeHost::answering("cat stream; exit 255").with("stream", &[&good[..], &good[..20]].concat());
    assert!(breaks_off.complaint_of_capture().contains("build1"));
    // One that stops within a chunk.
    let stalls =
        FakeHost::answering("cat stream; exec sleep 600").with("stream", &[&good[..], &good[..20]].concat());
    assert!(stalls.complaint_of_capture().contains("nothing came from it for 10 seconds"));
}

#[test]
fn interfaces_without_end_are_the_end() {
    let mut blocks = Blocks::begin_section();
    let interface = Interface {
        name: Label::new("x"),
        description: Label::new("y"),
        hardware_address: None,
        filter: None,
        snap_length: 2000,
        link_type: 1,
    };
    for _ in 0..5000 {
        blocks.interface(&interface);
    }
    let host = FakeHost::answering("cat stream; cat").with("stream", &blocks.take());
    assert!(host.complaint_of_capture().contains("it tells more and more interfaces"));
}

#[test]
fn a_flood_on_standard_error_is_the_end() {
    let host = FakeHost::answering("cat stream; yes >&2").with("stream", &begin("x"));
    let said = host.complaint_of_capture();
    assert!(said.contains("floods its standard error"), "{said}");
    assert!(said.lines().count() < 200, "{} lines", said.lines().count());
}

#[test]
fn a_stall_is_the_end() {
    let begun = Instant::now();
    let host = FakeHost::answering("cat stream; exec sleep 600").with("stream", &begin("x"));
    let said = host.complaint_of_capture();
    assert!(said.contains("nothing came from it for 10 seconds"), "{said}");
    assert!(begun.elapsed().as_secs() >= 10);
}
