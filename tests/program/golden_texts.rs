//! The full text that Wireshark and users read, compared with `tests/golden`.
//!
//! `UPDATE_GOLDEN=1 cargo test --test program golden` rewrites it; check the diff.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use crate::support::fake_engine::{FakeEngine, container};
use crate::support::program::ask;

/// Asserts that `text` is the golden text `name`.
fn assert_golden(text: &str, name: &str) {
    let text = text.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        std::fs::write(&path, &text).expect("the golden text can be written");
    }
    let kept = std::fs::read_to_string(&path).expect("UPDATE_GOLDEN=1 makes it");
    assert!(text == kept, "not as in {}:\n{}", path.display(), diff(&kept, &text));
}

/// Removed, added and unchanged lines.
fn diff(before: &str, after: &str) -> String {
    let (before, after): (Vec<_>, Vec<_>) = (before.split('\n').collect(), after.split('\n').collect());
    let (mut shown, mut at) = (String::new(), 0);
    for line in before {
        if let Some(ahead) = after[at..].iter().position(|new| *new == line) {
            after[at..at + ahead].iter().for_each(|new| writeln!(shown, "+ {new}").expect("a string grows"));
            at += ahead + 1;
            writeln!(shown, "  {line}").expect("a string grows");
        } else {
            writeln!(shown, "- {line}").expect("a string grows");
        }
    }
    after[at..].iter().for_each(|new| writeln!(shown, "+ {new}").expect("a string grows"));
    shown
}

/// Three containers: alone, in a project, and in the host network.
fn three_containers() -> FakeEngine {
    FakeEngine::running([
        container("web"),
        container("shop-db-1")
            .image("postgres:17.2-alpine")
            .label("com.docker.compose.project", "shop")
            .network("shop_default"),
        container("node_exporter")
            .image("sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")
            .with("HostConfig", serde_json::json!({ "NetworkMode": "host" })),
    ])
}

/// The output without an engine.
fn answer(line: &str) -> String {
    ask("unix:///none", line.split(' ')).answer()
}

/// Asserts that nothing is printed.
fn is_nothing(line: &str) {
    assert_eq!(answer(line), "", "{line}");
}

#[test]
fn interfaces_match_the_golden_text() {
    let engine = three_containers();
    let lines = [
        &["--extcap-interfaces"][..],
        &["--extcap-interfaces", "--extcap-version=4.0"],
        &["--extcap-interfaces", "--extcap-version", "4.6"],
        &["--new-option", "new value", "--extcap-interfaces", "stray"],
        // The first of several calls counts.
        &["--extcap-config", "--extcap-dlts", "--capture", "--extcap-interfaces"],
    ];
    for line in lines {
        assert_golden(&ask(&engine.address(), line).answer(), "interfaces.txt");
    }
}

#[test]
fn link_types_match_the_golden_text() {
    for line in [
        "--extcap-dlts --extcap-interface docker-web",
        "--extcap-dlts --extcap-interface=docker-web",
        "--extcap-interface docker-nobody --extcap-dlts",
        "--extcap-dlts",
        "--extcap-dlts true --extcap-config --capture --unknown --extcap-interface docker-web stray",
    ] {
        assert_golden(&answer(line), "dlts.txt");
    }
}

#[test]
fn container_options_match_the_golden_text() {
    for line in [
        "--extcap-config --extcap-interface docker-web",
        "--extcap-config --extcap-interface=docker-web",
        "--extcap-interface docker-nobody --extcap-config",
        "--extcap-config --extcap-interface docker-web --extcap-interface docker-db --unknown=x stray",
        "--extcap-config --extcap-interface docker-web --extcap-capture-filter tcp",
    ] {
        assert_golden(&answer(line), "config.txt");
    }
}

#[test]
fn remote_host_options_match_the_golden_text() {
    let line = "--extcap-config --extcap-interface containerdump-ssh";
    assert_golden(&answer(line), "ssh-config.txt");
    assert!(!answer(line).contains("{type=password}"), "it would stand in a list of processes");
    is_nothing(&format!("{line} --extcap-reload-option tap --remote-host build1"));
}

#[test]
fn an_option_that_cannot_be_reloaded_is_kept() {
    let line = "--extcap-config --extcap-interface docker-web --extcap-reload-option";
    is_nothing(&format!("{line} log-level --no-promiscuous true --snap-length 96"));
    is_nothing(&format!("{line}=nothing-we-know"));
    // Without an engine.
    is_nothing(&format!("{line} network"));
}

#[test]
fn networks_of_a_remote_engine_are_those_it_reports() {
    // The process exists, but not in the container.
    let engine = three_containers().with_pid(std::process::id());
    let line = "--extcap-config --extcap-interface docker-web --extcap-reload-option=--network";
    assert_eq!(
        ask(&engine.address(), line.split(' ')).answer(),
        "value {arg=0}{value=all}{display=All networks}{default=true}\n\
         value {arg=0}{value=bridge}{display=bridge}\n"
    );
}

#[test]
fn networks_of_a_group_are_those_of_all_its_containers() {
    let engine = three_containers();
    let networks = |interface: &str| {
        let line = ["--extcap-config", "--extcap-interface", interface, "--extcap-reload-option=network"];
        ask(&engine.address(), line).answer()
    };
    let all = "value {arg=0}{value=all}{display=All networks}{default=true}\n";
    assert_eq!(
        networks("docker-all"),
        format!(
            "{all}value {{arg=0}}{{value=bridge}}{{display=bridge · 3 containers}}\n\
             value {{arg=0}}{{value=shop_default}}{{display=shop_default · 1 container}}\n"
        )
    );
    assert_eq!(networks("compose-shop").lines().count(), 3);
    assert_eq!(networks("podman-all"), "", "there is no such group");
}

#[test]
fn a_valid_filter_is_accepted() {
    for filter in ["tcp", "tcp and port 80", "inbound or outbound", "ether[0] & 1 != 0", "vlan and ip6"] {
        assert_eq!(answer_to_filter(filter), "", "{filter}");
        assert_eq!(
            ask("unix:///none", [format!("--extcap-capture-filter={filter}")]).answer(),
            "",
            "{filter}"
        );
    }
}

#[test]
fn an_invalid_filter_is_reported_with_the_libpcap_message() {
    for (filter, words) in [
        ("tcpp", "syntax error"),
        ("tcp port", "syntax error"),
        ("tcp[", "syntax error"),
        ("port 99999", "99999"),
        ("wlan type mgt", "802.11"),
        ("len <= 1 }{value=x", "syntax error"),
        ("tcp \u{1b}[31m", "syntax error"),
    ] {
        let printed = answer_to_filter(filter);
        let first = printed.lines().next().expect("an objection");
        assert!(first.contains(words), "{filter}: {first}");
        if let Some(witness) = objection_of_tcpdump(filter) {
            assert_eq!(first, witness, "{filter}");
        }
        let spelled = ask("unix:///none", [format!("--extcap-capture-filter={filter}")]).answer();
        assert_eq!(spelled, printed);
    }
}

#[test]
fn a_filter_that_is_too_long_is_refused_at_once() {
    // libpcap needs 10 seconds for it, deaf to signals.
    let long = format!("udp{}", " or udp".repeat(10_000));
    assert_eq!(answer_to_filter(&long), "longer than 4000 bytes\n");
    let engine = FakeEngine::running([container("web")]);
    let ended = ask(&engine.address(), ["capture", "web", "-w", "-", "-f", &long]);
    assert!(ended.stderr.contains("…\": longer than 4000 bytes."), "{}", ended.stderr);
}

#[test]
fn a_filter_error_contains_no_control_characters() {
    for filter in ["port \\\u{1b}[31mhttps", "ip proto \\\u{202e}\u{7}", "ether host \\\u{9b}31m"] {
        // This holds for all messages.
        assert!(answer_to_filter(filter).starts_with("unknown "));
    }
}

fn answer_to_filter(filter: &str) -> String {
    ask("unix:///none", ["--extcap-capture-filter", filter, "--extcap-interface", "docker-web"]).answer()
}

/// tcpdump's error for a filter, if tcpdump is installed.
fn objection_of_tcpdump(filter: &str) -> Option<String> {
    let output = Command::new("tcpdump").args(["-y", "EN10MB", "-d", "--", filter]).output().ok()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    said.lines().find_map(|line| line.strip_prefix("tcpdump: ")).map(str::to_owned)
}

#[test]
fn extcap_calls_without_output_succeed() {
    is_nothing("--extcap-cleanup-postkill");
    is_nothing("--extcap-interface docker-web --extcap-config-option-name a --extcap-config-option-value b");
    is_nothing("--extcap-of-the-future yes");
    is_nothing("--extcap-version=9.9");
}

#[test]
fn the_command_line_help_hides_extcap_options() {
    for (line, name) in [
        (&["--help"][..], "help.txt"),
        (&["list", "--help"], "list-help.txt"),
        (&["capture", "--help"], "capture-help.txt"),
        (&["tap", "--help"], "tap-help.txt"),
        (&["host", "--help"], "host-help.txt"),
        (&["host", "add", "--help"], "host-add-help.txt"),
    ] {
        let help = ask("unix:///none", line).answer();
        assert!(!help.contains("--extcap") && !help.contains("--fifo"), "{help}");
        assert_golden(&help, name);
    }
}
