//! Several engines in one list, and where engines are searched.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::fake_engine::{Answer, Described, FakeEngine, address, container, id};
use crate::support::fifo;
use crate::support::fifo::Fifo;
use crate::support::program::{NO_ENGINE, Running, program};

/// The interface lines for containers printed by `command`.
fn listed(mut command: Command) -> Vec<String> {
    let answer = Running::start(command.arg("--extcap-interfaces")).ended().answer();
    let others = ["{value=docker-all}", "{value=podman-all}", "{value=containerdump-ssh}"];
    let of_group = |line: &&str| others.iter().any(|other| line.contains(other));
    let interfaces = answer.lines().skip(1).take_while(|line| !line.starts_with("control "));
    interfaces.filter(|line| !of_group(line)).map(str::to_owned).collect()
}

/// The program with Docker and Podman at different addresses.
fn beside(docker: &str, podman: &str) -> Command {
    let mut command = program(docker);
    command.env("CONTAINER_HOST", podman).env("CONTAINERDUMP_ENGINES", "docker,podman");
    command
}

fn podman(containers: impl IntoIterator<Item = Described>) -> FakeEngine {
    FakeEngine::answering(Answer::of_podman(containers))
}

fn interface(value: &str, display: &str) -> String {
    format!("interface {{value={value}}}{{display={display}}}")
}

#[test]
fn two_engines_are_listed_after_one_request_each() {
    let docker = FakeEngine::running([container("web"), container("db")]);
    let podman = podman([container("web").with("Id", id("another"))]);
    let expected = [
        interface("docker-db", "db · nginx:1.27"),
        interface("docker-web", "web · nginx:1.27"),
        interface("podman-web", "web · nginx:1.27 (Podman)"),
    ];
    assert_eq!(listed(beside(&docker.address(), &podman.address())), expected);
    assert_eq!((docker.asked(), podman.asked()), (vec!["GET /containers/json".to_owned()], docker.asked()));
}

#[test]
fn a_hanging_engine_does_not_delay_the_list_of_another() {
    let good = FakeEngine::running([container("web")]);
    let [one, other] = [Answer::Silence, Answer::Dripping].map(FakeEngine::answering);
    let said = "no response within 1.5 s, double-click for help";
    let of_podman = interface("containerdump-podman", &format!("Podman: {said}"));
    let begin = Instant::now();
    let expected = [interface("docker-web", "web · nginx:1.27"), of_podman.clone()];
    assert_eq!(listed(beside(&good.address(), &one.address())), expected);
    // Both at the same time: less than two timeouts.
    let middle = Instant::now();
    let of_docker = interface("containerdump-docker", &format!("Docker: {said}"));
    assert_eq!(listed(beside(&other.address(), &one.address())), [of_docker, of_podman]);
    for took in [middle - begin, middle.elapsed()] {
        assert!(took < Duration::from_millis(2700), "{took:?}");
    }
}

#[test]
fn an_inaccessible_podman_is_one_explaining_entry() {
    let (docker, podman) = (FakeEngine::running([container("web")]), podman([]).with_mode(0o000));
    let troubled = interface("containerdump-podman", "Podman: permission denied, double-click for help");
    let command = || beside(&docker.address(), &podman.address());
    assert_eq!(listed(command()), [interface("docker-web", "web · nginx:1.27"), troubled]);
    let pipe = Fifo::new();
    let stream = pipe.read();
    let mut capture = command();
    capture.args(["--capture", "--extcap-interface", "containerdump-podman", "--fifo"]).arg(pipe.path());
    let complaint = Running::start(&mut capture).ended().complaint();
    assert!(complaint.contains("permission denied") && complaint.contains("enable --now podman.socket"));
    assert!(fifo::is_section_header(&stream.join().expect("the FIFO was read")));
    // A capture of its containers reports it, too.
    let capture = Running::start(command().args(["capture", "shop", "-w", "-"])).ended();
    assert!(capture.stderr.contains("permission denied"), "{}", capture.stderr);
}

#[test]
fn an_engine_with_two_sockets_is_listed_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let link = folder.path().join("docker.sock");
    let one = podman([container("web")]);
    let expected = [interface("podman-web", "web · nginx:1.27 (Podman)")];
    symlink(one.socket(), &link).expect("a link");
    assert_eq!(listed(beside(&address(&link), &one.address())), expected);
    assert_eq!(one.asked().len(), 1);
    // Not a symbolic link, but the same containers.
    let two = podman([container("web")]);
    assert_eq!(listed(beside(&one.address(), &two.address())), expected);
}

#[test]
fn the_engine_kind_is_detected_from_the_response() {
    let podman = podman([container("web")]);
    let of_podman = [interface("podman-web", "web · nginx:1.27 (Podman)")];
    assert_eq!(listed(program(&podman.address())), of_podman);
    assert_eq!(podman.asked(), ["GET /containers/json"]);
}

#[test]
fn equal_names_in_two_podman_services_are_distinguished() {
    let made = |key: &str, created| container("web").with("Id", id(key)).created(created);
    let (rootful, rootless) = (podman([made("rootful", 10)]), podman([made("rootless", 20)]));
    let value = format!("podman-web-{}", &id("rootless")[..12]);
    let lines = listed(beside(&rootful.address(), &rootless.address()));
    assert!(lines.contains(&interface("podman-web", "web · nginx:1.27 (Podman)")), "{lines:?}");
    assert!(lines.contains(&interface(&value, "web · nginx:1.27 (Podman)")), "{lines:?}");
    let mut capture = beside(&rootful.address(), &rootless.address());
    let said = Running::start(capture.args(["capture", "web", "-w", "-"])).ended().stderr;
    assert!(said.contains("\"web\" means more than one container: ") && said.contains(&value), "{said}");
}

#[test]
fn podman_is_searched_in_xdg_runtime_dir() {
    let folder = tempfile::tempdir().expect("a folder");
    let podman = podman([container("mine")]);
    fs::create_dir(folder.path().join("podman")).expect("a folder");
    symlink(podman.socket(), folder.path().join("podman/podman.sock")).expect("a link");
    let mut command = program(NO_ENGINE);
    command.env("CONTAINERDUMP_ENGINES", "podman").env("XDG_RUNTIME_DIR", folder.path());
    // Root's Podman is searched, too, and may exist.
    assert!(listed(command).contains(&interface("podman-mine", "mine · nginx:1.27 (Podman)")));
}

/// Docker settings of a user.
struct Settings(TempDir);

impl Settings {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("its folder");
        fs::write(&path, text).expect("a file");
        path
    }

    fn choose(&self, context: &str) {
        let settings = serde_json::json!({ "auths": {}, "currentContext": context });
        self.write("config.json", &settings.to_string());
    }

    /// Describes the context `desk`.
    fn describe(&self, text: &str) {
        // printf desk | sha256sum
        let digest = "49be417ad74080a0031b636b44cfc26fdd0065492d6cd3b033960c4414955cf7";
        self.write(&format!("contexts/meta/{digest}/meta.json"), text);
    }

    fn lead_to(&self, host: &str) {
        let endpoints = serde_json::json!({ "docker": { "Host": host, "SkipTLSVerify": false } });
        self.describe(
            &serde_json::json!({ "Name": "desk", "Metadata": {}, "Endpoints": endpoints }).to_string(),
        );
    }

    /// The program with only these settings.
    fn program(&self) -> Command {
        let mut command = program(NO_ENGINE);
        command.env_remove("DOCKER_HOST").env_remove("DOCKER_CONTEXT").env("DOCKER_CONFIG", self.0.path());
        command
    }

    /// Asserts that Docker is one entry with `reason`.
    fn are_told(&self, reason: &str) {
        let lines = listed(self.program());
        assert!(
            lines.len() == 1
                && lines[0].starts_with("interface {value=containerdump-docker}{display=Docker: "),
            "{lines:?}"
        );
        let said = Running::start(self.program().arg("list")).ended();
        assert_eq!(said.status.code(), Some(1));
        assert!(said.stderr.contains(reason) && said.stderr.contains("Remedy: "), "{}", said.stderr);
    }
}

#[test]
fn the_current_docker_context_is_queried() {
    let (desk, other) = (FakeEngine::running([container("desk")]), FakeEngine::running([container("other")]));
    let settings = Settings::new();
    settings.lead_to(&desk.address());
    let of_desk = [interface("docker-desk", "desk · nginx:1.27")];
    let named = |name: &str| {
        let mut command = settings.program();
        command.env("DOCKER_CONTEXT", name);
        command
    };
    assert_eq!(listed(named("desk")), of_desk);
    settings.choose("desk");
    assert_eq!(listed(settings.program()), of_desk);
    // As in Docker's client, DOCKER_HOST precedes DOCKER_CONTEXT, which precedes the settings.
    let asked = desk.asked().len();
    listed(named("default"));
    let mut command = named("desk");
    command.env("DOCKER_HOST", other.address());
    assert_eq!(listed(command), [interface("docker-other", "other · nginx:1.27")]);
    assert_eq!(desk.asked().len(), asked);
}

#[test]
fn an_unusable_context_is_one_explaining_entry() {
    let settings = Settings::new();
    settings.choose("desk");
    settings.are_told("no such context");
    for (host, why) in [
        ("npipe:////./pipe/docker", "neither unix:///path, tcp://host:port nor ssh://host"),
        ("ssh://-oProxyCommand=x", "invalid host"),
    ] {
        settings.lead_to(host);
        settings.are_told(why);
    }
    settings.describe(r#"{"Endpoints": {"docker": {"Host": "tcp://host:2376", "SkipTLSVerify": true}}}"#);
    settings.are_told("TLS verification is disabled");
    settings.describe("{}");
    settings.are_told("it has no Docker endpoint");
    for garbage in ["", "[[[", "\u{0}"] {
        settings.describe(garbage);
        settings.are_told("cannot read Docker context desk");
    }
}

#[test]
fn unreadable_docker_settings_are_reported_without_a_context() {
    let settings = Settings::new();
    // Rootless Docker's socket: Docker's default socket may exist on this machine.
    let docker = FakeEngine::running([container("web")]);
    symlink(docker.socket(), settings.0.path().join("docker.sock")).expect("a link");
    let program = || {
        let mut command = settings.program();
        command.env("XDG_RUNTIME_DIR", settings.0.path());
        command
    };
    let is_explained = |reason: &str| {
        let lines = listed(program());
        assert!(lines.contains(&interface("docker-web", "web · nginx:1.27")), "{lines:?}");
        let ended = Running::start(program().arg("list")).ended();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
        assert!(ended.stdout.contains("web"), "{}", ended.stdout);
        let expected = ["cannot read Docker's configuration in", reason, "Remedy: fix or remove the file"];
        assert!(expected.iter().all(|part| ended.stderr.contains(part)), "{}", ended.stderr);
    };
    for garbage in ["{", "\u{feff}{}", "\u{1b}[31m}{value=x}"] {
        settings.write("config.json", garbage);
        is_explained("invalid JSON");
    }
    settings.write("config.json", &" ".repeat(2 * 1024 * 1024));
    is_explained("larger than 1 MiB");
    let fifo = settings.write("config.json", "");
    fs::remove_file(&fifo).expect("it is there");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    is_explained("not a regular file");
}

#[test]
fn only_selected_engines_are_queried() {
    let (docker, podman) = (FakeEngine::running([container("web")]), podman([container("shop")]));
    for (wanted, expected) in [("podman", "podman-shop"), (" docker , netns", "docker-web")] {
        let mut command = beside(&docker.address(), &podman.address());
        command.env("CONTAINERDUMP_ENGINES", wanted);
        let lines = listed(command);
        assert!(lines.iter().any(|line| line.contains(&format!("{{value={expected}}}"))), "{lines:?}");
        assert!(lines.iter().filter(|line| !line.contains("{value=netns-")).count() == 1, "{lines:?}");
    }
    assert_eq!((docker.asked().len(), podman.asked().len()), (1, 1));
}
