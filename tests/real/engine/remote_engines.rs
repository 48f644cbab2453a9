//! Engines of other hosts, reached directly over TLS or over `ssh://`.

use std::fs;
use std::process::Command;

use crate::support::certificates::certificates;
use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, eventually, folder, output};
use crate::support::recording::{Recording, capinfos, fields_of};
use crate::support::ssh_host::SshHost;
use crate::support::tcpdump::Tcpdump;

pub(crate) const TESTS: &[Test] = tests![
    an_engine_is_reached_over_ssh_without_containerdump_on_the_host,
    an_engine_is_reached_over_ssh_without_a_shell,
    an_engine_unreachable_over_ssh_is_reported,
    an_engine_is_reached_over_tls,
];

/// Captures a container of the engine at the address in `variables`, and compares with tcpdump.
fn captured(there: &SshHost, variables: &[(&str, &str)]) {
    let (web, other) = (there.host.lab.container(&[]), there.host.lab.container(&[]));
    let address = there.host.address(&web, "bridge");
    let program = || {
        let mut program = there.program();
        program.envs(variables.iter().copied());
        program
    };
    let listed = output(program().arg("list"));
    assert!(listed.contains(&web.name) && listed.contains("(engine)"), "{listed}");
    let filter = format!("tcp and host {address}");
    let witness = Tcpdump::with(there.tcpdump(&web), "eth0", &filter);
    let recording = Recording::begin_by(program(), &[&web], &["-f", &filter]);
    for _ in 0..20 {
        there.host.fetch(&other, &address);
    }
    let recorded = recording.stop_matching(witness);
    assert_eq!(capinfos(&recorded.path, "Number of interfaces in file"), "1");
    eventually("tap containers are gone", || {
        there.host.lab.docker(&["ps", "--quiet", "--all"]).lines().count() == 2
    });
}

fn an_engine_is_reached_over_ssh_without_containerdump_on_the_host(lab: &Lab) {
    let there = SshHost::bare(lab);
    captured(&there, &[("DOCKER_HOST", "ssh://build1")]);
    there.assert_cleaned_up();
    // In the host network the stream would capture itself.
    let onhost = there.host.lab.container(&["--network", "host"]);
    let mut program = there.program();
    program.env("DOCKER_HOST", "ssh://build1");
    let recording = Recording::begin_by(program, &[&onhost], &[]);
    let web = there.host.lab.container(&[]);
    let asked = format!("http://{}/", there.host.address(&web, "bridge"));
    eventually("a request is there", || {
        there.inside(&format!("busybox wget -q -O /dev/null {asked}"));
        !fields_of(&recording.path, "http.request", &["frame.number"]).is_empty()
    });
    let recorded = recording.stop();
    assert_eq!(recorded.fields("tcp.port == 2222", &["frame.number"]).len(), 0);
    let descriptions = output(Command::new("capinfos").arg(&recorded.path));
    assert!(descriptions.contains("without containerdump's own traffic"), "{descriptions}");
    let mut program = there.program();
    program.env("DOCKER_HOST", "ssh://build1");
    let asked_for = ["--own-traffic", "-c", "100", "-f", "tcp port 2222"];
    let recorded = Recording::begin_by(program, &[&onhost], &asked_for).end();
    assert_eq!(capinfos(&recorded.path, "Number of packets"), "100");
    drop((onhost, web));
    // The same as a context, created by Docker's command.
    let settings = folder();
    let config = settings.path().display().to_string();
    let docker = |words: &[&str]| output(Command::new("docker").args(["--config", &config]).args(words));
    docker(&["context", "create", "far", "--docker", "host=ssh://containerdump-lab@build1"]);
    captured(&there, &[("DOCKER_HOST", ""), ("DOCKER_CONFIG", &config), ("DOCKER_CONTEXT", "far")]);
    there.assert_cleaned_up();
}

fn an_engine_is_reached_over_ssh_without_a_shell(lab: &Lab) {
    let there = SshHost::bare(lab);
    let key = fs::read_to_string(there.path("key.pub")).expect("a key");
    let forced = format!("restrict,command=\"docker system dial-stdio\" {key}");
    fs::write(there.path("key.pub"), forced).expect("the keys that may log in");
    captured(&there, &[("DOCKER_HOST", "ssh://build1")]);
    there.assert_cleaned_up();
}

fn an_engine_unreachable_over_ssh_is_reported(lab: &Lab) {
    let there = SshHost::bare(lab);
    let list = |arguments: &[&str]| {
        let mut program = there.program();
        program.env("DOCKER_HOST", "ssh://build1").env("CONTAINERDUMP_ENGINES", "docker").args(arguments);
        let ended = program.output().expect("the program");
        let told = if ended.stdout.is_empty() { ended.stderr } else { ended.stdout };
        String::from_utf8_lossy(&told).into_owned()
    };
    there.inside(&format!("mkdir {0}; touch {0}/docker", there.path("commands/none").display()));
    there.script("commands/docker", "#!/bin/sh\necho no engine is here >&2\nexit 1\n");
    let said = list(&["list"]);
    assert!(said.contains("cannot list containers at ssh://build1: on build1: no engine is here"), "{said}");
    fs::remove_file(there.path("commands/docker")).expect("a file");
    there.trust("other.pub");
    let said = list(&["list"]);
    assert!(said.contains("its host key has changed"), "{said}");
    let said = list(&["--extcap-interfaces"]);
    assert!(said.contains("{value=containerdump-docker}"), "{said}");
    there.cut();
    let said = list(&["--extcap-interfaces"]);
    assert!(said.contains("no response within 1.5 s"), "{said}");
    there.assert_cleaned_up();
}

fn an_engine_is_reached_over_tls(lab: &Lab) {
    let folder = folder();
    certificates(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let there = SshHost::bare_with(lab, |sandbox| {
        let settings = format!(
            r#"{{"tlsverify": true, "tlscacert": "{}", "tlscert": "{}", "tlskey": "{}"}}"#,
            path("ca.pem"),
            path("server-cert.pem"),
            path("server-key.pem")
        );
        sandbox
            .env("CONTAINERDUMP_LAB_TCP", "tcp://0.0.0.0:2376")
            .env("CONTAINERDUMP_ENGINE_SETTINGS", settings);
    });
    let engine = format!("tcp://{}:2376", there.address);
    let (client, stranger) = (path("client"), path("stranger"));
    let with =
        |folder| [("DOCKER_HOST", engine.as_str()), ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", folder)];
    captured(&there, &with(&client));
    let config = path("config");
    let endpoint = format!("host={engine},ca={client}/ca.pem,cert={client}/cert.pem,key={client}/key.pem");
    let docker = |words: &[&str]| output(Command::new("docker").args(["--config", &config]).args(words));
    docker(&["context", "create", "far", "--docker", &endpoint]);
    captured(&there, &[("DOCKER_HOST", ""), ("DOCKER_CONFIG", &config), ("DOCKER_CONTEXT", "far")]);
    let refused = |variables: &[(&str, &str)]| {
        let mut program = there.program();
        program.envs(variables.iter().copied()).env("CONTAINERDUMP_ENGINES", "docker").arg("list");
        let ended = program.output().expect("the program");
        assert_eq!(ended.status.code(), Some(1));
        String::from_utf8_lossy(&ended.stderr).into_owned()
    };
    // A changed host key, and a missing key.
    assert!(
        refused(&with(&stranger)).contains("TLS connection failed: invalid peer certificate: "),
        "{}",
        refused(&with(&stranger))
    );
    fs::remove_file(folder.path().join("stranger/cert.pem")).expect("a file");
    fs::copy(folder.path().join("ca.pem"), folder.path().join("stranger/ca.pem")).expect("a copy");
    assert!(refused(&with(&stranger)).contains("fatal alert: "), "{}", refused(&with(&stranger)));
    fs::remove_file(folder.path().join("stranger/ca.pem")).expect("a file");
    assert!(refused(&with(&stranger)).contains("stranger/ca.pem: "), "{}", refused(&with(&stranger)));
}
