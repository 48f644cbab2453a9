//! Connections of the program itself are excluded from captures.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

use tempfile::TempDir;

use crate::support::harness::{Test, tests};
use crate::support::lab::{Container, Lab, end_of, eventually, folder, output};
use crate::support::other_host::OtherHost;
use crate::support::recording::{Recording, capinfos, fields_of};
use crate::support::sshd::LocalSshd;
use crate::support::tcpdump::Tcpdump;
use crate::support::traffic::idle;

pub(crate) const TESTS: &[Test] = tests![
    a_remote_capture_excludes_its_own_stream,
    own_engine_requests_are_excluded_and_others_captured,
    source_ports_like_ours_hide_nothing_of_other_hosts,
    own_ssh_session_is_excluded_and_others_captured,
    own_ssh_session_is_found_without_ssh_connection_in_the_environment,
    a_connection_on_standard_output_is_excluded,
];

const API: u16 = 2375;
const OURS: &str = "portrange 61000-62023";
const OURS_SHOWN: &str = "tcp.port in {61000..62023}";

/// Another host, whose engine listens on TCP, connected by a veth pair.
struct TcpEngineHost {
    host: OtherHost,
    near: String,
    /// Its addresses, as written in the address of an engine.
    addresses: [String; 2],
}

impl TcpEngineHost {
    const FAR: &str = "far0";

    fn start(lab: &Lab) -> Self {
        // Several may run at a time.
        static COUNT: AtomicU8 = AtomicU8::new(0);
        let host = OtherHost::start_with(lab, |sandbox| {
            sandbox.env("CONTAINERDUMP_LAB_TCP", format!("tcp://[::]:{API}"));
        });
        let near = format!("near-{}", host.process());
        let ip = |words: &[&str]| output(Command::new("ip").args(words));
        ip(&["link", "add", &near, "type", "veth", "peer", "name", Self::FAR, "netns", &host.process()]);
        let cable = COUNT.fetch_add(1, Ordering::Relaxed);
        let (v4, v6) =
            (|end| format!("203.0.113.{}", cable * 4 + end), |end| format!("fd00:113:{cable}::{end}"));
        for [ours, theirs] in [[v4(1) + "/30", v4(2) + "/30"], [v6(1) + "/64", v6(2) + "/64"]] {
            ip(&["address", "add", &ours, "dev", &near, "nodad"]);
            output(&mut host.inside(&format!("ip address add {theirs} dev {} nodad", Self::FAR)));
        }
        ip(&["link", "set", &near, "up"]);
        output(&mut host.inside(&format!("ip link set {} up", Self::FAR)));
        Self { host, near, addresses: [v4(2), format!("[{}]", v6(2))] }
    }

    /// Its engine over TCP.
    fn by_tcp(&self, address: &str) -> Lab {
        Lab { endpoint: format!("tcp://{address}:{API}"), image: self.host.lab.image.clone() }
    }

    /// A tcpdump of connections to its engine.
    fn witness(&self) -> Tcpdump {
        let mut tcpdump = Command::new("nsenter");
        tcpdump.args(["--net", "--target", &self.host.process(), "tcpdump"]);
        Tcpdump::with(tcpdump, Self::FAR, &format!("tcp port {API}"))
    }
}

impl Drop for TcpEngineHost {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["link", "delete", &self.near]).output();
    }
}

fn count(path: &Path, filter: &str) -> usize {
    fields_of(path, filter, &["frame.number"]).len()
}

fn a_remote_capture_excludes_its_own_stream(lab: &Lab) {
    let reachable = TcpEngineHost::start(lab);
    let web = reachable.host.lab.container(&["--network", "host"]);
    for address in &reachable.addresses {
        let engine = reachable.by_tcp(address);
        let (witness, recording) = (reachable.witness(), Recording::begin(&engine, &[&web], &[]));
        output(Command::new("curl").args(["-gs", "-o", "/dev/null", &format!("http://{address}/")]));
        // A request of another client passes there, too.
        engine.docker(&["version"]);
        // A capture of its own stream would never settle.
        witness.settle();
        let recorded = recording.stop();
        let description = recorded.fields("http.request.uri == \"/\"", &["frame.interface_description"]);
        assert!(description[0][0].contains("without containerdump's own traffic"), "{description:?}");
        assert!(recorded.fields("frame", &["frame.number"]).len() < 2000);
        let (witness, _folder) = witness.stop();
        assert!(count(&witness, OURS_SHOWN) > 50, "{address}: the stream passes there");
        assert_eq!(count(&recorded.path, &format!("tcp.port == {API} && {OURS_SHOWN}")), 0, "{address}");
        let others = format!("tcp.port == {API} && !({OURS_SHOWN})");
        assert_eq!(count(&recorded.path, &others), count(&witness, &others), "{address}");
        assert!(count(&witness, &others) > 5, "{address}");
    }
    let asked_for = ["--own-traffic", "-c", "200", "-f", &format!("tcp port {API} and tcp {OURS}")];
    let recorded = Recording::begin(&reachable.by_tcp(&reachable.addresses[0]), &[&web], &asked_for).end();
    assert_eq!(capinfos(&recorded.path, "Number of packets"), "200");
}

fn own_engine_requests_are_excluded_and_others_captured(lab: &Lab) {
    let reachable = TcpEngineHost::start(lab);
    let host = idle(lab);
    let engine = reachable.by_tcp(&reachable.addresses[0]);
    let program = || {
        let mut program = engine.program();
        program.env("CONTAINER_HOST", &lab.endpoint).env_remove("CONTAINERDUMP_ENGINES");
        program
    };
    let witness = reachable.witness();
    let options = ["-i", &reachable.near, "--follow"];
    let recording = Recording::begin_with(program(), &[&host.name], &options);
    // The engine sends events and answers requests.
    let (before, started) = (witness.path.metadata().expect("the file").len(), engine.container(&[]));
    eventually("questions are asked", || witness.path.metadata().expect("the file").len() > before + 8192);
    drop(started);
    witness.settle();
    let recorded = recording.stop();
    let (witness, _folder) = witness.stop();
    let ours = format!("tcp.port == {API} && {OURS_SHOWN}");
    let others = format!("tcp.port == {API} && !({OURS_SHOWN})");
    assert!(count(&witness, &ours) > 20 && count(&recorded.path, &ours) == 0);
    assert!(count(&witness, &others) > 20);
    // The requests of the docker client.
    let clients = |path: &Path| {
        let requests = format!("http.request && {others}");
        fields_of(path, &requests, &["http.request.method", "http.request.uri"])
    };
    assert_eq!(clients(&recorded.path), clients(&witness));
}

fn source_ports_like_ours_hide_nothing_of_other_hosts(lab: &Lab) {
    let reachable = TcpEngineHost::start(lab);
    let host = idle(lab);
    let engine = reachable.by_tcp(&reachable.addresses[0]);
    let mut program = engine.program();
    program.env("CONTAINER_HOST", &lab.endpoint).env_remove("CONTAINERDUMP_ENGINES");
    let witness = reachable.witness();
    let recording = Recording::begin_with(program, &[&host.name], &["-i", &reachable.near]);
    // It is refused, as nothing listens at this port of this host.
    let far: Ipv4Addr = reachable.addresses[0].parse().expect("an address");
    let near = Ipv4Addr::from(u32::from(far) - 1);
    for port in 61_500..61_520 {
        let curl = format!("curl -s -m 2 --local-port {port} http://{near}:{API}/ || true");
        output(&mut reachable.host.inside(&curl));
    }
    witness.settle();
    let recorded = recording.stop();
    let (witness, _folder) = witness.stop();
    let theirs = format!("tcp.dstport == {API} && ip.src == {far} && tcp.srcport in {{61500..61519}}");
    assert_eq!(count(&recorded.path, &theirs), count(&witness, &theirs));
    assert!(count(&witness, &theirs) >= 20);
}

/// An OpenSSH server on the loopback.
struct SshServer {
    server: LocalSshd,
    port: u16,
    folder: TempDir,
}

impl SshServer {
    fn start() -> Self {
        let folder = folder();
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        Self { server: LocalSshd::start(folder.path(), port, ""), port, folder }
    }

    /// Captures the loopback through ssh into a file, while another ssh session runs.
    fn capture(&self, lab: &Lab, host: &Container, before: &str) -> PathBuf {
        let path = self.folder.path().join("out.pcapng");
        let command = format!(
            "export DOCKER_HOST={} CONTAINERDUMP_ENGINES=docker,netns; {before} {} capture {} -i lo \
             -f 'tcp port {}' -a duration:4 -w -; true",
            lab.endpoint,
            env!("CARGO_BIN_EXE_containerdump"),
            host.name,
            self.port
        );
        let mut ssh = self.server.ssh(&command);
        let child = ssh.stdout(File::create(&path).expect("a file")).spawn().expect("ssh");
        eventually("the capture begins", || path.metadata().is_ok_and(|about| about.len() > 300));
        output(&mut self.server.ssh("echo from somebody else"));
        assert!(end_of(child).status.success());
        path
    }

    /// Asserts that the capture contains only the other session.
    fn assert_others(&self, path: &Path, witness: Tcpdump) {
        let (witness, _folder) = witness.stop();
        let clients = |path: &Path| {
            let sources = format!("tcp.dstport == {} && tcp.flags.syn == 1", self.port);
            fields_of(path, &sources, &["tcp.srcport"]).concat()
        };
        let [ours, others] = clients(&witness).try_into().expect("two sessions");
        assert!(count(&witness, &format!("tcp.port == {ours}")) > 20);
        assert_eq!(clients(path), std::slice::from_ref(&others));
        assert_eq!(count(path, &format!("tcp.port == {ours}")), 0, "our own session");
        assert_eq!(count(path, "tcp"), count(&witness, &format!("tcp.port == {others}")));
    }

    fn witness(&self) -> Tcpdump {
        Tcpdump::begin("lo", &format!("tcp port {}", self.port))
    }
}

fn own_ssh_session_is_excluded_and_others_captured(lab: &Lab) {
    let (server, host) = (SshServer::start(), idle(lab));
    let witness = server.witness();
    let path = server.capture(lab, &host, "");
    server.assert_others(&path, witness);
}

/// As with sudo, which removes SSH_CONNECTION.
fn own_ssh_session_is_found_without_ssh_connection_in_the_environment(lab: &Lab) {
    let (server, host) = (SshServer::start(), idle(lab));
    let witness = server.witness();
    let path = server.capture(lab, &host, "env -u SSH_CONNECTION");
    server.assert_others(&path, witness);
}

fn a_connection_on_standard_output_is_excluded(lab: &Lab) {
    let host = idle(lab);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let folder = folder();
    let path = folder.path().join("out.pcapng");
    let command = format!(
        "exec {} capture {} -i lo -f 'tcp port {port}' -a duration:4 -w - >/dev/tcp/127.0.0.1/{port}",
        env!("CARGO_BIN_EXE_containerdump"),
        host.name
    );
    let mut bash = Command::new("bash");
    bash.args(["-c", &command]).env("DOCKER_HOST", &lab.endpoint).stdin(Stdio::null());
    let child = bash.env("CONTAINERDUMP_ENGINES", "docker,netns").spawn().expect("bash");
    let (mut ours, _) = listener.accept().expect("a connection");
    let mut file = File::create(&path).expect("a file");
    let reader = std::thread::spawn(move || io::copy(&mut ours, &mut file));
    eventually("the capture begins", || path.metadata().is_ok_and(|about| about.len() > 300));
    let other = std::net::TcpStream::connect(("127.0.0.1", port)).expect("a connection of others");
    let theirs = other.local_addr().expect("an address").port();
    assert!(end_of(child).status.success());
    reader.join().expect("a thread").expect("all of it");
    assert!(count(&path, "tcp") >= 3);
    assert_eq!(count(&path, &format!("!(tcp.port == {theirs})")), 0);
}
