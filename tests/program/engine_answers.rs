//! Wireshark's list for valid, unusual and missing responses of an engine.

use std::fs::File;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use crate::support::fake_engine::{self, Answer, FakeEngine, address, container, id};
use crate::support::fifo;
use crate::support::fifo::Fifo;
use crate::support::processes::peak_memory_to_the_end;
use crate::support::program::{self, ask, start_capture};

/// The interface lines, without the entries for all containers and for other hosts (see `golden_texts.rs`).
fn listed(docker_host: &str) -> Vec<String> {
    let answer = ask(docker_host, ["--extcap-interfaces", "--extcap-version=4.0"]).answer();
    let mut lines = answer.lines().map(str::to_owned);
    assert!(lines.next().expect("a first line").starts_with("extcap {version="));
    let interfaces = lines.take_while(|line| !line.starts_with("control "));
    let others = ["interface {value=docker-all}", "interface {value=containerdump-ssh}"];
    interfaces.filter(|line| !others.iter().any(|other| line.starts_with(other))).collect()
}

fn interface(value: &str, display: &str) -> String {
    format!("interface {{value={value}}}{{display={display}}}")
}

/// 50 containers with an unusual one in the middle.
fn fifty_with(odd: fake_engine::Described) -> FakeEngine {
    let mut containers: Vec<_> = (0..49).map(|number| container(&format!("web-{number}"))).collect();
    containers.insert(25, odd);
    FakeEngine::running(containers)
}

/// Asserts that the engine is one entry with `reason`, whose capture is empty and reports `reason` with a remedy.
fn is_explained(docker_host: &str, reason: &str) {
    let pipe = Fifo::new();
    let stream = pipe.read();
    let capture = start_capture(docker_host, "containerdump-docker", pipe.path());
    let entry = interface("containerdump-docker", &format!("Docker: {reason}, double-click for help"));
    assert_eq!(listed(docker_host), [entry]);
    let complaint = capture.ended().complaint();
    assert!(complaint.starts_with("cannot ") && complaint.contains(reason), "{complaint}");
    assert!(fifo::is_section_header(&stream.join().expect("the FIFO was read")));
}

#[test]
fn one_request_lists_all_running_containers() {
    let engine = FakeEngine::running([container("web"), container("db").image("postgres:17")]);
    let expected = [interface("docker-db", "db · postgres:17"), interface("docker-web", "web · nginx:1.27")];
    assert_eq!(listed(&engine.address()), expected);
    assert_eq!(engine.asked(), ["GET /containers/json"]);
}

#[test]
fn containers_sharing_namespaces_in_a_cycle_are_listed() {
    let guest = |name: &str, of: &str| {
        let mode = serde_json::json!({ "NetworkMode": format!("container:{}", id(of)) });
        container(name).with("HostConfig", mode).with("NetworkSettings", serde_json::json!({}))
    };
    let host = container("host").with("HostConfig", serde_json::json!({ "NetworkMode": "host" }));
    let host = host.with("NetworkSettings", serde_json::json!({ "Networks": { "host": {} } }));
    let containers = [
        guest("egg", "hen"),
        guest("hen", "egg"),
        guest("self", "self"),
        guest("far", "near"),
        guest("near", "host"),
        host,
    ];
    let shown =
        |name: &str, note: &str| interface(&format!("docker-{name}"), &format!("{name} · nginx:1.27{note}"));
    let note = " (host network)";
    let expected = [
        shown("egg", ""),
        shown("far", note),
        shown("hen", ""),
        shown("host", note),
        shown("near", note),
        shown("self", ""),
    ];
    assert_eq!(listed(&FakeEngine::running(containers).address()), expected);
}

#[test]
fn an_engine_without_containers_is_one_explaining_entry() {
    let entry = interface("containerdump-none", "No container is running, double-click for help");
    assert_eq!(listed(&FakeEngine::running([]).address()), [entry]);
}

#[test]
fn options_and_link_types_need_no_engine() {
    let engine = FakeEngine::running([container("web")]);
    for question in ["--extcap-config", "--extcap-dlts", "--extcap-cleanup-postkill"] {
        ask(&engine.address(), [question, "--extcap-interface", "docker-web"]).answer();
    }
    assert_eq!(engine.asked(), [""; 0]);
}

#[test]
fn a_configured_engine_that_does_not_listen_is_one_explaining_entry() {
    let folder = tempfile::tempdir().expect("a folder");
    let stale = folder.path().join("docker.sock");
    drop(UnixListener::bind(&stale).expect("a socket"));
    for address in
        [address(&stale), address(&folder.path().join("none.sock")), "tcp://127.0.0.1:1".to_owned()]
    {
        is_explained(&address, "no engine is listening");
    }
    // At a default address this is not an error.
    let mut command = program::program("");
    command.env("XDG_RUNTIME_DIR", folder.path()).env("DOCKER_CONFIG", folder.path());
    let answer = program::Running::start(command.arg("--extcap-interfaces")).ended().answer();
    assert!(!answer.contains("no engine is listening"), "{answer}");
}

#[test]
fn an_inaccessible_engine_is_one_explaining_entry() {
    // Also as root: the program drops CAP_DAC_OVERRIDE.
    let engine = FakeEngine::running([container("web")]).with_mode(0o000);
    is_explained(&engine.address(), "permission denied");
    assert_eq!(engine.asked(), [""; 0]);
}

#[test]
fn an_engine_error_is_one_entry_with_its_message() {
    let engine = FakeEngine::answering(Answer::Status(500, "the disk is full".to_owned()));
    is_explained(&engine.address(), "the disk is full");
}

#[test]
fn an_engine_error_message_cannot_create_an_interface() {
    let words = "}{value=stolen}\ninterface {value=extra}{display=\u{1b}[31mFAKE\u{202e}}".repeat(1000);
    let engine = FakeEngine::answering(Answer::Status(500, words));
    let entries = listed(&engine.address());
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert!(entries[0].starts_with("interface {value=containerdump-docker}{display=Docker: "), "{entries:?}");
}

#[test]
fn an_address_without_an_engine_is_one_explaining_entry() {
    let reason = "the endpoint does not speak the Docker API";
    let garbage = Answer::Bytes(b"SSH-2.0-OpenSSH_9.2p1\r\n".to_vec());
    let bad_json = Answer::Body(b"[{\"Id\": ".to_vec());
    let not_a_list = Answer::json(&serde_json::json!({ "message": "hello" }));
    for answer in [garbage, bad_json, not_a_list, Answer::Farewell, Answer::EndlessHead] {
        is_explained(&FakeEngine::answering(answer).address(), reason);
    }
}

#[test]
fn an_engine_that_does_not_respond_times_out() {
    is_explained(&FakeEngine::answering(Answer::Silence).address(), "no response within 1.5 s");
}

#[test]
fn an_engine_that_responds_slowly_times_out() {
    is_explained(&FakeEngine::answering(Answer::Dripping).address(), "no response within 1.5 s");
}

#[test]
fn an_engine_with_an_incomplete_response_times_out() {
    is_explained(&FakeEngine::answering(Answer::ShortBody).address(), "no response within 1.5 s");
}

#[test]
fn an_endless_response_is_rejected() {
    let engine = FakeEngine::answering(Answer::EndlessBody);
    let entries = listed(&engine.address());
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert!(entries[0].starts_with("interface {value=containerdump-docker}{"), "{entries:?}");
    // The limit of the program, plus buffers of kernel and engine.
    assert!(engine.sent() <= 18 * 1024 * 1024, "{} bytes were taken", engine.sent());
}

#[test]
fn an_unknown_address_scheme_is_reported_with_the_supported_ones() {
    is_explained("npipe:////./pipe/docker_engine", "neither unix:///path, tcp://host:port nor ssh://host");
}

#[test]
fn container_states_of_other_engines_are_listed() {
    let states = ["stopped", "stopping", "initialized", "", "\u{1b}[31m"];
    let odd = states.map(|state| container(&format!("in-{state}")).with("State", state));
    assert_eq!(listed(&FakeEngine::running(odd).address()).len(), states.len());
}

#[test]
fn a_container_with_unusual_fields_is_listed() {
    for field in ["State", "Created", "Labels", "HostConfig", "NetworkSettings", "Ports", "Mounts", "Image"] {
        for value in [serde_json::json!(null), 7.into(), "seven".into(), serde_json::json!([[{}]])] {
            let engine = fifty_with(container("odd").with(field, value.clone()));
            assert_eq!(listed(&engine.address()).len(), 50, "{field} is {value}");
        }
    }
}

#[test]
fn an_unreadable_container_does_not_hide_the_others() {
    let no_id = container("odd").with("Id", "../../images");
    let odd = |bytes: &[u8]| container("odd").with_bytes_for("\"running\"", bytes);
    let too_deep = odd(&[b"[".repeat(1000), b"]".repeat(1000)].concat());
    let no_number = odd(b"1e999");
    let no_text = odd(br#""\ud800""#);
    let no_object = container("odd").with_bytes_for(&format!("\"{}\"", id("odd")), b"7");
    for odd in [no_id, too_deep, no_number, no_text, no_object] {
        let entries = listed(&fifty_with(odd).address());
        assert_eq!(entries.iter().filter(|entry| entry.contains("{display=web-")).count(), 49);
    }
}

#[test]
fn invalid_utf8_does_not_hide_a_container() {
    let engine = fifty_with(container("odd").with_bytes_for("odd", b"o\xffd"));
    let odd = interface("docker-o---d", "o\u{fffd}d · nginx:1.27");
    assert!(listed(&engine.address()).contains(&odd));
}

#[test]
fn a_thousand_containers_are_listed_and_further_ones_reported() {
    let engine = FakeEngine::running((0..10_000).map(|number| container(&format!("web-{number}"))));
    let entries = listed(&engine.address());
    // The entry for all containers is one of the thousand.
    let rest =
        interface("containerdump-docker", "9001 more containers, not listed: containerdump capture NAME");
    assert_eq!((entries.len(), entries.last()), (1000, Some(&rest)));
}

#[test]
fn names_equal_to_wireshark_are_distinguished_by_ids() {
    let made = |name, created| container(name).created(created);
    let engine = FakeEngine::running([made("WEB_1", 30), made("web.1", 20), made("web-1", 10)]);
    let expected = [
        interface(&format!("docker-WEB_1-{}", &id("WEB_1")[..12]), "WEB_1 · nginx:1.27"),
        interface("docker-web-1", "web-1 · nginx:1.27"),
        interface(&format!("docker-web.1-{}", &id("web.1")[..12]), "web.1 · nginx:1.27"),
    ];
    assert_eq!(listed(&engine.address()), expected);
}

#[test]
fn a_container_reported_twice_is_listed_once() {
    let engine = FakeEngine::running([container("web"), container("web"), container("web")]);
    assert_eq!(listed(&engine.address()), [interface("docker-web", "web · nginx:1.27")]);
}

/// A cell of more than 65535 characters once ended the program.
#[test]
fn a_container_with_long_networks_is_listed_in_a_table() {
    let networks = (0..200).map(|number| format!("{number:x>500}"));
    let engine = FakeEngine::running([networks.fold(container("web"), |web, name| web.network(&name))]);
    let answer = ask(&engine.address(), ["list"]).answer();
    let widest = answer.lines().map(|line| line.chars().count()).max().expect("a line");
    assert!(answer.contains("web  ") && (1000..4000).contains(&widest), "{widest}");
    assert!(answer.contains("cut after 1000 characters; whole: containerdump list --json"), "{answer}");
}

/// Entries of a list or object, as many as an answer may have.
fn endless(entry: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for number in 0.. {
        if text.len() > 15_800_000 {
            break;
        }
        text.push_str(&entry(number));
    }
    text.trim_end_matches(',').to_owned()
}

/// One container with 900,000 networks once took 1.4 GB and 20 seconds.
#[test]
fn an_answer_with_endless_fields_takes_little_memory_and_time() {
    let odd = |empty: &str, full: &str| container("odd").with_bytes_for(empty, full.as_bytes());
    let networks = endless(|number| format!("\"{number:07}\":{{}},"));
    let networks = odd("\"bridge\":{", &format!("{networks},\"bridge\":{{"));
    let labels = endless(|number| format!("\"{number:07}\":\"\","));
    let labels = odd("\"Labels\":{}", &format!("\"Labels\":{{{labels}}}"));
    let ignored = odd("\"Mounts\":[]", &format!("\"Mounts\":[{}]", endless(|_| "{},".to_owned())));
    let one_of_many = |number: usize| {
        let networks: Vec<String> = (0..300).map(|number| format!("\"{number}\":{{}}")).collect();
        let settings = format!("{{\"Networks\":{{{}}}}}", networks.join(","));
        format!("{{\"Id\":\"{number:064}\",\"NetworkSettings\":{settings}}},")
    };
    let many = [endless(one_of_many), endless(|_| "7,".to_owned())];
    let lists = [networks, labels, ignored].map(|odd| Answer::containers([container("web"), odd]));
    let many = many.map(|list| Answer::Body(format!("[{list}]").into_bytes()));
    for (at, list) in lists.into_iter().chain(many).enumerate() {
        let engine = FakeEngine::answering(list);
        let begun = Instant::now();
        let mut command = program::program(&engine.address());
        command.args(["--extcap-interfaces", "--extcap-version=4.0"]);
        let mut child =
            command.stdout(File::create("/dev/null").expect("a sink")).spawn().expect("it starts");
        let peak = peak_memory_to_the_end(&mut child);
        assert!(peak < 100 * 1024, "{at}: {peak} KiB");
        assert!(begun.elapsed() < Duration::from_secs(4), "{at}: {:?}", begun.elapsed());
    }
}

#[test]
fn a_container_with_endless_networks_does_not_hide_another() {
    let networks = (0..10_000).map(|number| format!("net{number:x>40}"));
    let odd = networks.fold(container("odd"), |odd, name| odd.network(&name));
    let engine = FakeEngine::running([odd, container("web")]);
    let expected =
        ["odd", "web"].map(|name| interface(&format!("docker-{name}"), &format!("{name} · nginx:1.27")));
    assert_eq!(listed(&engine.address()), expected);
}
