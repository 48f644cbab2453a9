//! Addresses and settings of engines.

use std::fs;
use std::process::Command;
use std::sync::Once;

use containerdump::container::endpoint::Endpoint;

use crate::support::certificates::certificates;
use crate::support::harness::{Test, tests};
use crate::support::lab::{Container, Lab, folder, output};
use crate::support::list_output::{listed, only};
use crate::support::other_host::OtherHost;
use crate::support::podman::Podman;
use crate::support::tcp_relay::relay_at;

pub(crate) const TESTS: &[Test] = tests![
    docker_is_found_at_every_address_its_client_accepts,
    podman_is_found_at_every_address_its_client_accepts,
    docker_is_found_despite_unreadable_settings,
    podman_is_found_at_its_configured_connections,
    a_context_without_a_ca_uses_the_system_certificates,
    a_configured_address_without_a_listener_is_reported,
];

/// The program of a user who has configured nothing.
fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_containerdump"));
    program.env_remove("DOCKER_HOST").env_remove("CONTAINER_HOST");
    program.env("XDG_CONFIG_HOME", "/nonexistent").env("XDG_RUNTIME_DIR", "/nonexistent");
    program
}

/// A TCP port that leads to the engine at `url`.
fn port_to(url: &str) -> u16 {
    let Endpoint::Tcp(address) = relay_at("127.0.0.1:0", url) else { unreachable!("it is TCP") };
    address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
}

fn docker_is_found_at_every_address_its_client_accepts(lab: &Lab) {
    // moby/moby#10461, docker/compose#636: addresses that `docker ps` takes are refused.
    // It lasts as long as the process, in which this test may run twice.
    static USUAL_PORT: Once = Once::new();
    let container = lab.container(&[]);
    let port = port_to(&lab.endpoint);
    USUAL_PORT.call_once(|| drop(relay_at("127.0.0.1:2375", &lab.endpoint)));
    let addresses = [
        "unix://",
        " ",
        "tcp://",
        ":2375",
        "127.0.0.1",
        "127.0.0.1:",
        "localhost",
        "tcp://localhost",
        &format!(" {} ", lab.endpoint),
        &format!("tcp://:{port}"),
        &format!(":{port}"),
        &format!("127.0.0.1:{port}"),
        &format!(" tcp://127.0.0.1:{port}\t"),
        &format!("tcp://127.0.0.1:{port}?x=1"),
        &format!("tcp://127.0.0.1:{port}#x"),
        &format!("tcp://ann@127.0.0.1:{port}"),
    ];
    for address in addresses {
        let theirs =
            output(Command::new("docker").args(["ps", "-q", "--no-trunc"]).env("DOCKER_HOST", address));
        assert!(theirs.contains(&container.id), "{address:?}: {theirs}");
        let mut ours = program();
        ours.env("DOCKER_HOST", address).env("CONTAINERDUMP_ENGINES", "docker");
        let (ours, said) = listed(ours);
        assert!(ours.iter().any(|object| object["id"] == container.id.as_str()), "{address:?}: {said}");
    }
}

fn podman_is_found_at_every_address_its_client_accepts(lab: &Lab) {
    // moby/moby#10461, docker/compose#636: the same of `podman --remote ps`.
    let podman = Podman::rootful(lab);
    let container = podman.container(&[]);
    let id = podman.podman(&["inspect", "--format", "{{.Id}}", &container.name]);
    let path = podman.url.trim_start_matches("unix://").to_owned();
    let port = port_to(&podman.url);
    let addresses = [
        &format!("unix:{path}"),
        &format!("unix:/{path}"),
        &format!("unix://{path}?secure=True"),
        &format!("tcp://:{port}"),
        &format!("tcp://127.0.0.1:{port}?secure=True"),
        &format!("tcp://localhost:{port}/"),
    ];
    for address in addresses {
        let ps = ["--remote", "ps", "-q", "--no-trunc"];
        let theirs = output(Command::new("podman").args(ps).env("CONTAINER_HOST", address));
        assert!(theirs.contains(&id), "{address:?}: {theirs}");
        let mut ours = program();
        ours.env("CONTAINER_HOST", address).env("CONTAINERDUMP_ENGINES", "podman");
        let (ours, said) = listed(ours);
        assert!(ours.iter().any(|object| object["id"] == id.as_str()), "{address:?}: {said}");
    }
}

fn podman_is_found_at_its_configured_connections(lab: &Lab) {
    // podman-py#654: CONTAINER_CONNECTION and the default connection are ignored.
    let podman = Podman::rootful(lab);
    let container = podman.container(&[]);
    let id = podman.podman(&["inspect", "--format", "{{.Id}}", &container.name]);
    let port = port_to(&podman.url);
    let folder = folder();
    let (conf, json) = (folder.path().join("containers.conf"), folder.path().join("connections.json"));
    let destinations = format!(
        "[engine.service_destinations.lab]\nuri = \"tcp://127.0.0.1:{port}\"\n\
         [engine.service_destinations.gone]\nuri = \"tcp://127.0.0.1:1\"\n"
    );
    let asks = |command: &mut Command, name: &str| {
        command
            .env("CONTAINERS_CONF", &conf)
            .env("PODMAN_CONNECTIONS_CONF", &json)
            .env_remove("CONTAINER_HOST");
        if !name.is_empty() {
            command.env("CONTAINER_CONNECTION", name);
        }
    };
    let ours = |name: &str| {
        let mut ours = program();
        asks(&mut ours, name);
        listed_by(ours.env("CONTAINERDUMP_ENGINES", "podman"))
    };
    for (active, name) in [("lab", ""), ("gone", "lab")] {
        fs::write(&conf, format!("[engine]\nactive_service = \"{active}\"\n{destinations}")).expect("a file");
        let mut theirs = Command::new("podman");
        asks(&mut theirs, name);
        assert!(output(theirs.args(["--remote", "ps", "-q", "--no-trunc"])).contains(&id), "{active} {name}");
        let (listed, said) = ours(name);
        assert!(listed.contains(&id), "{listed} {said}");
    }
    let (_, said) = ours("gone");
    assert!(said.contains("cannot list containers at tcp://127.0.0.1:1: no engine is listening"), "{said}");
    let (_, said) = ours("");
    assert!(said.contains("Podman's default connection gone"), "{said}");
    let (_, said) = ours("none");
    assert!(said.contains("cannot use CONTAINER_CONNECTION=none: no such connection"), "{said}");
    // Podman 5 keeps them in a file of its own.
    fs::write(&conf, "").expect("a file");
    let connections =
        serde_json::json!({ "lab": { "URI": format!("tcp://127.0.0.1:{port}"), "IsMachine": false } });
    let connections =
        serde_json::json!({ "Connection": { "Default": "gone", "Connections": connections }, "Farm": {} });
    fs::write(&json, connections.to_string()).expect("a file");
    let (listed, said) = ours("lab");
    assert!(listed.contains(&id), "{listed} {said}");
    let (_, said) = ours("none");
    assert!(said.contains("cannot use CONTAINER_CONNECTION=none: no such connection"), "{said}");
}

fn docker_is_found_despite_unreadable_settings(lab: &Lab) {
    // Symptom: an empty or damaged ~/.docker/config.json hides Docker; `docker ps` works, with a warning.
    let container = lab.container(&[]);
    let home = folder();
    fs::create_dir(home.path().join(".docker")).expect("a folder");
    for settings in ["", "{", "\u{feff}{}", "[]", r#"{"currentContext": 5}"#, "{} and more", "null"] {
        fs::write(home.path().join(".docker/config.json"), settings).expect("a file");
        let mut docker = Command::new("docker");
        docker.args(["ps", "-q", "--no-trunc"]).env("HOME", home.path()).env_remove("DOCKER_HOST");
        let theirs = docker.output().expect("docker");
        assert!(String::from_utf8_lossy(&theirs.stdout).contains(&container.id), "{settings:?}");
        let warns = !theirs.stderr.is_empty();
        let mut ours = program();
        ours.env("HOME", home.path()).env("CONTAINERDUMP_ENGINES", "docker");
        let (objects, said) = listed(ours);
        assert_eq!(only(&objects, "id", &container.id)["engine"], "docker", "{settings:?}");
        assert_eq!(said.contains("cannot read Docker's configuration in"), warns, "{settings:?}: {said}");
    }
}

fn a_context_without_a_ca_uses_the_system_certificates(lab: &Lab) {
    // docker/cli#2468: a context with TLS and without ca.pem trusts the system's authorities.
    let folder = folder();
    certificates(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let host = OtherHost::start_with(lab, |sandbox| {
        let settings = serde_json::json!({
            "tlsverify": true,
            "tlscacert": path("ca.pem"),
            "tlscert": path("server-cert.pem"),
            "tlskey": path("server-key.pem"),
        });
        sandbox.env("CONTAINERDUMP_LAB_TCP", "tcp://127.0.0.1:2376");
        sandbox.env("CONTAINERDUMP_ENGINE_SETTINGS", settings.to_string());
    });
    let container = host.lab.container(&[]);
    let config = path("config");
    let endpoint =
        format!("host=tcp://127.0.0.1:2376,cert={},key={}", path("client/cert.pem"), path("client/key.pem"));
    output(
        Command::new("docker").args(["--config", &config, "context", "create", "far", "--docker", &endpoint]),
    );
    let set = |command: &mut Command, authorities: &str| {
        command.env("DOCKER_HOST", "").env("DOCKER_CONFIG", &config).env("DOCKER_CONTEXT", "far");
        command.env("SSL_CERT_FILE", path(authorities)).env("SSL_CERT_DIR", "/nonexistent");
    };
    let mut docker = host.inside("docker ps -q --no-trunc");
    set(&mut docker, "ca.pem");
    assert_eq!(output(&mut docker), container.id);
    let listed_with = |authorities| {
        let mut ours = host.program();
        set(&mut ours, authorities);
        listed_by(ours.env("CONTAINERDUMP_ENGINES", "docker"))
    };
    assert!(listed_with("ca.pem").0.contains(&container.id), "{:?}", listed_with("ca.pem"));
    let (_, said) = listed_with("stranger.pem");
    assert!(said.contains("TLS connection failed: invalid peer certificate: "), "{said}");
}

/// What `list --json` prints, and on stderr.
fn listed_by(program: &mut Command) -> (String, String) {
    let ended = program.args(["list", "--json"]).output().expect("the program");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&ended.stdout), text(&ended.stderr))
}

fn a_configured_address_without_a_listener_is_reported(lab: &Lab) {
    // Symptom: with DOCKER_HOST at which nothing listens, the list has only what the kernel shows, and not a word.
    let container = lab.container(&[]);
    let home = folder();
    let config = home.path().display().to_string();
    let create = ["context", "create", "desk", "--docker", "host=tcp://127.0.0.1:1"];
    output(Command::new("docker").args(["--config", &config]).args(create));
    for (name, value, engine, address) in [
        ("DOCKER_HOST", "tcp://127.0.0.1:1", "docker", "tcp://127.0.0.1:1"),
        ("DOCKER_HOST", "unix:///nonexistent.sock", "docker", "unix:///nonexistent.sock"),
        ("DOCKER_CONTEXT", "desk", "docker", "tcp://127.0.0.1:1"),
        ("CONTAINER_HOST", "tcp://:1", "podman", "tcp://localhost:1"),
        ("CONTAINER_HOST", "unix:/nonexistent.sock", "podman", "unix:///nonexistent.sock"),
    ] {
        is_reported(&container, &config, (name, value), engine, address);
    }
}

/// Asserts that the program reports that nothing listens at `address`, of which the variable `set` tells.
fn is_reported(container: &Container, config: &str, set: (&str, &str), engine: &str, address: &str) {
    let program = || {
        let mut program = program();
        program.env("DOCKER_CONFIG", config).env(set.0, set.1);
        program.env("CONTAINERDUMP_ENGINES", format!("{engine},netns"));
        program
    };
    let what = format!("cannot list containers at {address}: no engine is listening");
    let (objects, said) = listed(program());
    assert_eq!(only(&objects, "id", &container.id)["engine"], "netns");
    assert!(said.contains(&what) && said.contains(set.0), "{said}");
    let capture = program().args(["capture", "absent", "-w", "-"]).output().expect("the program");
    let said = String::from_utf8_lossy(&capture.stderr).into_owned();
    assert!(capture.status.code() == Some(1) && said.contains(&what), "{said}");
    let interfaces = output(program().arg("--extcap-interfaces"));
    let entry = format!(
        "interface {{value=containerdump-{engine}}}{{display={}: no engine is listening, double-click for help}}",
        if engine == "docker" { "Docker" } else { "Podman" }
    );
    assert!(interfaces.contains(&entry), "{interfaces}");
}
