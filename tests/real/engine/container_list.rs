//! `containerdump list` and the containers in Wireshark's list.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use serde_json::Value;

use crate::support::engine_proxy::EngineProxy;
use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, eventually, output};
use crate::support::list_output::{described_by, object_of};

pub(crate) const TESTS: &[Test] = tests![
    running_containers_are_listed_as_interfaces,
    list_finds_the_same_host_veths_as_ip_link,
    list_shows_the_tap_of_a_container_without_a_veth,
    list_shows_networks_that_are_captured_in_the_namespace,
    host_veths_are_found_without_privileges,
    list_queries_the_engine_once_for_all_containers,
    list_queries_the_engine_again_where_two_namespaces_claim_a_container,
    a_namespace_that_claims_another_container_is_listed_by_itself,
];

fn running_containers_are_listed_as_interfaces(lab: &Lab) {
    let (one, other) = (lab.container(&[]), lab.container(&["--network", "none"]));
    let said = output(lab.program().arg("--extcap-interfaces"));
    for container in [&one, &other] {
        let image = lab.docker(&["inspect", "--format", "{{.Config.Image}}", &container.name]);
        let wanted = format!("interface {{value=docker-{0}}}{{display={0} · {image}}}", container.name);
        assert_eq!(said.lines().filter(|line| *line == wanted).count(), 1, "{wanted} in {said}");
    }
    lab.docker(&["stop", "--time", "0", &one.name]);
    let said = output(lab.program().arg("--extcap-interfaces"));
    assert!(!said.contains(&one.interface()), "{said}");
}

fn list_finds_the_same_host_veths_as_ip_link(lab: &Lab) {
    let network = lab.network();
    let container = lab.container(&["--label", "com.docker.compose.project=shop"]);
    lab.docker(&["network", "connect", &network.name, &container.name]);
    let object = described(lab, &container.name);
    for (number, interface, network) in [(0, "eth0", "bridge"), (1, "eth1", network.name.as_str())] {
        let attachment = &object["attachments"][number];
        assert_eq!(attachment["interface"], interface, "{object}");
        assert_eq!(attachment["host_veth"], container.host_veth(interface), "{object}");
        assert_eq!(attachment["network"], network, "{object}");
    }
    assert_eq!(object["id"], container.id);
    assert_eq!(object["interface"], container.interface());
    assert_eq!(object["project"], "shop");
    assert_eq!(object["networks"][0]["addresses"][0], container.address());
    assert_eq!(object["error"], Value::Null);
    let table = output(lab.program().arg("list"));
    let row = table.lines().find(|line| line.starts_with(&container.name)).expect("its row");
    assert!(
        row.ends_with(&format!("{}, {}", container.host_veth("eth0"), container.host_veth("eth1"))),
        "{row}"
    );
}

fn list_shows_the_tap_of_a_container_without_a_veth(lab: &Lab) {
    let (host, none) = (lab.container(&["--network", "host"]), lab.container(&["--network", "none"]));
    let object = described(lab, &host.name);
    assert_eq!(object["network_mode"], "host");
    let taps = object["attachments"].as_array().expect("attachments");
    assert!(
        !taps.is_empty() && taps.iter().all(|tap| tap["tap"] == "host" && tap["host_veth"].is_null()),
        "{object}"
    );
    let object = described(lab, &none.name);
    assert_eq!(object["network_mode"], "none");
    let loopback = &object["attachments"][0];
    assert_eq!([&loopback["interface"], &loopback["tap"]], ["lo", "inside"], "{object}");
    assert_eq!(loopback["default"], true, "{object}");
}

fn list_shows_networks_that_are_captured_in_the_namespace(lab: &Lab) {
    let network = lab.macvlan();
    let container = lab.container(&[]);
    lab.docker(&["network", "connect", &network.name, &container.name]);
    let bridge =
        "ip link add inner0 type bridge; ip address add 192.0.2.9/24 dev inner0; ip link set inner0 up";
    output(&mut container.enter(&["sh", "-c", bridge]));
    let object = described(lab, &container.name);
    let attachments = object["attachments"].as_array().expect("attachments");
    let mut told: Vec<_> = attachments
        .iter()
        .map(|one| ["interface", "network", "tap", "default"].map(|field| one[field].to_string()).join(" "))
        .collect();
    told.sort();
    let second = format!(r#""eth1" "{}" "inside" true"#, network.name);
    let expected = [
        r#""eth0" "bridge" "host" true"#,
        &second,
        r#""inner0" "" "inside" false"#,
        r#""lo" "" "inside" false"#,
    ];
    assert_eq!(told, expected, "{object}");
    let table = output(lab.program().arg("list"));
    let row = table.lines().find(|line| line.starts_with(&container.name)).expect("its row");
    assert!(row.ends_with(&format!("{}, eth1 (inside)", container.host_veth("eth0"))), "{row}");
}

fn host_veths_are_found_without_privileges(lab: &Lab) {
    let container = lab.container(&[]);
    // Root without capabilities can access only the engine's socket.
    let mut powerless = Command::new("setpriv");
    powerless.args([
        "--bounding-set=-all",
        "--inh-caps=-all",
        env!("CARGO_BIN_EXE_containerdump"),
        "list",
        "--json",
    ]);
    let said = output(powerless.env("DOCKER_HOST", &lab.endpoint));
    assert_eq!(object_of(&said, &container.name)["attachments"][0]["host_veth"], container.host_veth("eth0"));
}

/// `list` of `names` through `proxy`: the program's output, and the requests to the engine.
fn list_through(proxy: &EngineProxy, lab: &Lab, names: &[&str]) -> (String, Vec<String>) {
    let mut program = lab.program();
    program.env("DOCKER_HOST", proxy.url()).args(["list", "--json"]).args(names);
    (output(&mut program), proxy.take_requests())
}

fn list_queries_the_engine_once_for_all_containers(lab: &Lab) {
    let (network, proxy) = (lab.network(), EngineProxy::start(&lab.endpoint));
    let mut containers: Vec<_> = (0..10).map(|_| lab.container(&["--network", &network.name])).collect();
    lab.docker(&["network", "connect", "bridge", &containers[0].name]);
    let namespace_owner = format!("container:{}", containers[1].name);
    let member = lab.container(&["--network", &namespace_owner, "--entrypoint", "/bin/yes"]);
    containers.extend([member, lab.container(&["--network", "none"])]);
    let names: Vec<&str> = containers.iter().map(|container| container.name.as_str()).collect();
    let (listed, requests) = list_through(&proxy, lab, &names);
    assert_eq!(requests, ["GET /containers/json"]);
    for (container, interface) in
        containers[..11].iter().map(|one| (one, "eth0")).chain([(&containers[0], "eth1")])
    {
        let object = object_of(&listed, &container.name);
        let attachments = object["attachments"].as_array().expect("attachments");
        let found = attachments.iter().find(|one| one["interface"] == interface).expect("its attachment");
        assert_eq!(found["host_veth"], container.host_veth(interface), "{object}");
    }
    let modes = [0, 10, 11].map(|number| object_of(&listed, names[number])["network_mode"].clone());
    assert_eq!(modes, ["own", "shared", "none"]);

    // Only the engine knows the process of a container in the host's network namespace.
    let host = lab.container(&["--network", "host", "--entrypoint", "/bin/yes"]);
    let (_, requests) = list_through(&proxy, lab, &[names[0], names[1], &host.name]);
    assert_eq!(requests, ["GET /containers/json", &format!("GET /containers/{}/json", host.id)]);

    output(lab.program().env("DOCKER_HOST", proxy.url()).arg("--extcap-interfaces"));
    assert_eq!(proxy.take_requests(), ["GET /containers/json"]);
}

fn list_queries_the_engine_again_where_two_namespaces_claim_a_container(lab: &Lab) {
    let (container, proxy) = (lab.container(&[]), EngineProxy::start(&lab.endpoint));
    let forged = ForgedControlGroup::create(&container.id);
    let (listed, requests) = list_through(&proxy, lab, &[&container.name]);
    let inspection = format!("GET /containers/{}/json", container.id);
    assert_eq!(requests, ["GET /containers/json", &inspection]);
    let attachment = &object_of(&listed, &container.name)["attachments"][0];
    assert_eq!(attachment["host_veth"], container.host_veth("eth0"), "{listed}");
    drop(forged);
    assert_eq!(
        list_through(&proxy, lab, &[&container.name]),
        (listed, vec!["GET /containers/json".to_owned()])
    );
}

fn a_namespace_that_claims_another_container_is_listed_by_itself(lab: &Lab) {
    let container = lab.container(&[]);
    let forged = ForgedControlGroup::create(&container.id);
    let pid = forged.process.id().to_string();
    output(
        Command::new("nsenter")
            .args(["--net", "--target", &pid, "ip", "link", "add", "eth7", "type", "bridge"]),
    );
    let inode = std::fs::metadata(format!("/proc/{pid}/net/dev")).expect("a process").ino();
    for engines in ["netns", "docker,netns"] {
        let listed = output(lab.program().env("CONTAINERDUMP_ENGINES", engines).args(["list", "--json"]));
        let objects: Vec<Value> =
            listed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let of_id = |id: &str| objects.iter().filter(|one| one["id"] == *id).count();
        assert_eq!((of_id(&container.id), of_id(&inode.to_string())), (1, 1), "{engines}: {listed}");
        let genuine = objects.iter().find(|one| one["id"] == *container.id).expect("the container");
        assert!(genuine.to_string().contains(&container.address()), "{genuine}");
    }
}

/// A process in a network namespace of its own, in a control group that is named after a container.
struct ForgedControlGroup {
    folder: PathBuf,
    process: Child,
}

impl ForgedControlGroup {
    fn create(id: &str) -> Self {
        let roots = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"].map(Path::new);
        let root = roots.into_iter().find(|root| root.join("cgroup.procs").exists()).expect("control groups");
        let folder = root.join(format!("docker-{id}.scope"));
        std::fs::create_dir(&folder).expect("a control group");
        let process = Command::new("unshare").args(["--net", "sleep", "600"]).spawn().expect("a process");
        std::fs::write(folder.join("cgroup.procs"), process.id().to_string()).expect("it is moved");
        let namespace =
            |process: &str| std::fs::read_link(format!("/proc/{process}/ns/net")).expect("a process");
        eventually("it has a network namespace of its own", || {
            namespace(&process.id().to_string()) != namespace("self")
        });
        Self { folder, process }
    }
}

impl Drop for ForgedControlGroup {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir(&self.folder);
    }
}

fn described(lab: &Lab, name: &str) -> Value {
    described_by(lab.program(), name)
}
