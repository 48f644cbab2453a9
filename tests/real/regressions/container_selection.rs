//! Which containers are found and captured.

use std::process::Command;

use crate::support::extcap_capture::ExtcapCapture;
use crate::support::following::Following;
use crate::support::harness::{Test, tests};
use crate::support::lab::{Container, Lab, eventually, output};
use crate::support::recording::{Recording, fields_of, packets_so_far};

pub(crate) const TESTS: &[Test] = tests![
    two_capture_filters_accept_packets_that_match_both,
    a_container_named_like_a_group_is_captured_by_its_name,
    a_long_name_is_matched_completely,
    a_veth_that_is_down_does_not_end_the_capture_of_others,
    a_veth_renamed_while_down_is_captured_on,
    a_disconnected_network_is_reported_and_captured_again,
    a_container_between_two_restarts_is_captured_from_its_next_start,
    interfaces_outside_networks_and_differing_link_types_are_reported,
    an_interface_with_one_direction_of_tcp_is_reported,
    a_container_is_selected_by_twelve_or_more_digits_of_its_id,
];

/// Sends `count` echo requests to a container.
fn ping(container: &Container, count: usize) {
    let count = count.to_string();
    output(Command::new("busybox").args(["ping", "-c", &count, "-W", "5", &container.address()]));
}

fn two_capture_filters_accept_packets_that_match_both(lab: &Lab) {
    // the-tcpdump-group/libpcap#390: vlan changes the meaning of all that follows, also in a filter from elsewhere.
    let container = lab.container(&[]);
    for (of_dialog, own) in [("not vlan", "icmp"), ("icmp", "not vlan")] {
        let interface = container.interface();
        let options = ["--extcap-capture-filter", of_dialog, "--filter", own];
        let capture = ExtcapCapture::begin(lab, &interface, &options);
        ping(&container, 2);
        container.fetch(1);
        eventually("the packets are there", || packets_so_far(&capture.path, "icmp") == 4);
        let (path, _folder, stderr) = capture.stop();
        assert_eq!(stderr, "");
        assert_eq!(packets_so_far(&path, "not icmp"), 0, "{of_dialog}, {own}");
    }
}

/// A container of that name and with further options of `docker run`.
fn called(lab: &Lab, name: &str, options: &[&str]) -> Container {
    let container = lab.container(options);
    lab.docker(&["rename", &container.name, name]);
    lab.renamed(container, name)
}

/// What a capture that is refused says.
fn refusal(lab: &Lab, arguments: &[&str]) -> String {
    let ended = lab.program().arg("capture").args(arguments).args(["-w", "-"]).output().expect("the program");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!((ended.status.code(), ended.stdout.len()), (Some(1), 0), "{said}");
    said
}

fn a_container_named_like_a_group_is_captured_by_its_name(lab: &Lab) {
    // docker/compose#2120, docker/compose#7384: names that begin with compose- or end with -all are the user's.
    let project = format!("x{}", std::process::id());
    let label = format!("com.docker.compose.project={project}");
    let member = lab.container(&["--label", &label]);
    for name in
        [format!("compose-{project}"), format!("serve{}-all", std::process::id()), "docker-all".to_owned()]
    {
        let container = called(lab, &name, &[]);
        let recording = Recording::begin(lab, &[&container], &["-f", "tcp port 80"]);
        member.fetch(1);
        container.fetch(1);
        // Neither a group nor followed: it ends with its container.
        drop(container);
        let recorded = recording.end();
        let requests = recorded.fields("http.request", &["frame.interface_name"]).concat();
        assert_eq!(requests, [format!("{name}:eth0")]);
    }
    // In Wireshark's list the same value is the group.
    let namesake = called(lab, &format!("compose-{project}"), &[]);
    let interface = format!("compose-{project}");
    let capture = ExtcapCapture::begin(lab, &interface, &[]);
    namesake.fetch(1);
    member.fetch(1);
    eventually("the request is there", || packets_so_far(&capture.path, "http.request") == 1);
    let (path, _folder, stderr) = capture.stop();
    assert_eq!(stderr, "");
    let requests = fields_of(&path, "http.request", &["frame.interface_name"]).concat();
    assert_eq!(requests, [format!("{}:eth0", member.name)]);
}

fn a_long_name_is_matched_completely(lab: &Lab) {
    // cri-dockerd names containers k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT, with 87 characters and more.
    let begin = "k8s_".repeat(25);
    let (one, other) = (called(lab, &format!("{begin}one"), &[]), called(lab, &format!("{begin}other"), &[]));
    let recording = Recording::begin(lab, &[&one], &["-f", "tcp port 80"]);
    one.fetch(1);
    other.fetch(1);
    let recorded = recording.stop();
    let names = recorded.fields("http.request", &["frame.interface_name"]).concat();
    assert!(names.len() == 1 && names[0].ends_with("…:eth0") && names[0].chars().count() <= 80, "{names:?}");
    let listed = output(lab.program().args(["list", "--json"]));
    for container in [&one, &other] {
        assert!(listed.contains(&format!("\"name\":\"{}\"", container.name)), "{listed}");
    }
}

fn a_container_is_selected_by_twelve_or_more_digits_of_its_id(lab: &Lab) {
    // A mistyped name was taken for the first digits of another container's id.
    let container = lab.container(&[]);
    for digits in [1, 4, 11] {
        let said = refusal(lab, &[&container.id[..digits]]);
        assert!(said.starts_with("containerdump: no running container is called "), "{said}");
        assert!(said.contains("did you mean ") && said.contains("first 12 digits or more"), "{said}");
    }
    let recording = Recording::begin_with(lab.program(), &[&container.id[..12]], &["-f", "tcp port 80"]);
    container.fetch(1);
    let recorded = recording.stop();
    let names = recorded.fields("http.request", &["frame.interface_name"]).concat();
    assert_eq!(names, [format!("{}:eth0", container.name)]);
}

fn ip(arguments: &[&str]) -> String {
    output(Command::new("ip").args(arguments))
}

fn a_veth_that_is_down_does_not_end_the_capture_of_others(lab: &Lab) {
    // the-tcpdump-group/libpcap#570, #859: one interface that is down ended the capture of all.
    let (network, label) = (lab.network(), format!("down=d{}", std::process::id()));
    let both = lab.container(&["--label", &label]);
    let other = lab.container(&["--label", &label]);
    lab.docker(&["network", "connect", &network.name, &both.name]);
    let down = lab.container(&["--label", &label]);
    ip(&["link", "set", &both.host_veth("eth1"), "down"]);
    ip(&["link", "set", &down.host_veth("eth0"), "down"]);
    let at_host = ["--tap", "host", "-f", "tcp port 80"];
    for selected in [vec![both.name.as_str()], vec!["--label", &label]] {
        let options = [&selected[..], &at_host].concat();
        let recording = Recording::begin_with(lab.program(), &[], &options);
        both.fetch(1);
        other.fetch(1);
        let recorded = recording.stop();
        let lines: Vec<&str> = recorded.said.lines().filter(|line| line.contains("not captured: ")).collect();
        let part = format!("not captured: {} of {} (host: the host veth is down)", network.name, both.name);
        assert!(lines.contains(&part.as_str()), "{lines:?}");
        assert_eq!(lines.len(), if selected.len() == 1 { 1 } else { 2 }, "{lines:?}");
        let requests = recorded.fields("http.request", &["frame.interface_name"]).concat();
        assert_eq!(requests.len(), selected.len(), "{requests:?}");
    }
    let said = refusal(lab, &[&down.name, "--tap", "host"]);
    assert!(said.contains("the host veth is down") && said.contains("sudo ip link set veth"), "{said}");
    // Inside it can be opened; packets come once the veth is up.
    let recording = Recording::begin(lab, &[&down], &["-f", "tcp port 80"]);
    ip(&["link", "set", &down.host_veth("eth0"), "up"]);
    down.fetch(1);
    assert_eq!(recording.stop().fields("http.request", &["frame.number"]).len(), 1);
}

fn a_veth_renamed_while_down_is_captured_on(lab: &Lab) {
    // A veth that was renamed while it was down ended the capture without a word.
    for options in [&["-f", "tcp port 80"][..], &["-f", "tcp port 80", "--follow"]] {
        let container = lab.container(&[]);
        let recording = Recording::begin(lab, &[&container], options);
        container.fetch(1);
        let (veth, renamed) = (container.host_veth("eth0"), format!("r{}", &container.id[..8]));
        ip(&["link", "set", &veth, "down"]);
        ip(&["link", "set", &veth, "name", &renamed]);
        ip(&["link", "set", &renamed, "up"]);
        // The bridge forwards to it again.
        eventually("it is reached", || {
            let url = format!("http://{}/", container.address());
            let mut curl = Command::new("curl");
            curl.args(["-s", "-m", "2", "-o", "/dev/null", &url]).status().expect("curl").success()
        });
        eventually("both requests are there", || packets_so_far(&recording.path, "http.request") == 2);
        let recorded = recording.stop();
        assert_eq!(recorded.said, "");
    }
}

fn a_disconnected_network_is_reported_and_captured_again(lab: &Lab) {
    // docker network disconnect ended the capture without a word; what came after was not captured, but its lo "joined".
    let container = lab.container(&[]);
    let gone = format!("{}:eth0 was removed while its container runs", container.name);
    let recording = Recording::begin(lab, &[&container], &["-f", "tcp port 80"]);
    let following = Following::begin(lab.program(), &[&container.name, "--follow", "-f", "tcp port 80"]);
    following.wait_for(&format!("{}:eth0", container.name), 1);
    container.fetch(1);
    lab.docker(&["network", "disconnect", "bridge", &container.name]);
    let said = recording.end().said;
    assert!(said.contains(&gone) && said.contains("no captured interface is left"), "{said}");
    eventually("it is reported", || following.said().contains(&gone));
    lab.docker(&["network", "connect", "bridge", &container.name]);
    eventually("it is captured again", || following.interfaces().len() == 2);
    let interface = following.interfaces().pop().expect("an interface").0;
    let address = container.address_on(interface.rsplit(':').next().expect("an interface"));
    output(Command::new("curl").args(["-s", "-o", "/dev/null", &format!("http://{address}/")]));
    eventually("both requests are there", || packets_so_far(following.path(), "http.request") == 2);
    let said = following.said();
    following.stop();
    assert!(!said.contains(":lo") && said.matches("was added to the capture").count() == 1, "{said}");
}

fn a_container_between_two_restarts_is_captured_from_its_next_start(lab: &Lab) {
    // aylei/kubectl-debug#8: a container that crashes in a loop is between two attempts most of the time.
    let name = format!("crash{}", std::process::id());
    let attempt = "ping -c 1 172.17.0.1; sleep 2; exit 1";
    let run = ["run", "--detach", "--restart", "always", "--name", &name, "--entrypoint", "/bin/sh"];
    lab.docker(&[&run[..], &[lab.image.as_str(), "-c", attempt]].concat());
    let _container = lab.found(&name);
    let state = || lab.docker(&["inspect", "--format", "{{.State.Status}} {{.RestartCount}}", &name]);
    // The engine waits twice as long after each attempt.
    let is_between = || {
        let state = state();
        state
            .strip_prefix("restarting ")
            .is_some_and(|count| count.parse::<u32>().is_ok_and(|count| count >= 5))
    };
    eventually("it is between two attempts", is_between);
    let said = refusal(lab, &[&name]);
    assert!(
        said.contains("between two restarts") && said.contains(&format!("capture {name} --follow")),
        "{said}"
    );
    for option in ["--follow", "--wait"] {
        eventually("it is between two attempts", is_between);
        let before = state();
        let following = Following::begin(lab.program(), &[&name, option, "-f", "icmp"]);
        eventually("the next attempt", || state() != before);
        eventually("its only request", || packets_so_far(following.path(), "icmp.type == 8") > 0);
        assert!(following.said().contains("it is captured from its next start"), "{}", following.said());
        following.stop();
    }
}

fn interfaces_outside_networks_and_differing_link_types_are_reported(lab: &Lab) {
    // cloudfoundry/diego-release#412, the-tcpdump-group/libpcap#1259: a VPN's interface, and files of two link types.
    let container = lab.container(&[]);
    for tun in [
        &["ip", "tuntap", "add", "dev", "tun0", "mode", "tun"][..],
        &["ip", "address", "add", "198.51.100.1/24", "dev", "tun0"],
        &["ip", "link", "set", "tun0", "up"],
    ] {
        output(&mut container.enter(tun));
    }
    let begin = |options: &[&str]| Recording::begin(lab, &[&container], options).stop();
    let recorded = begin(&[]);
    let name = &container.name;
    let line = format!(
        "not captured: tun0 of {name} (not part of a container network; to capture it, use -i tun0)\n"
    );
    assert_eq!(recorded.said, line);
    assert_eq!(begin(&["-i", "tun0"]).said, "");
    let recorded = begin(&["-i", "eth0", "-i", "tun0"]);
    assert!(
        recorded.said.starts_with("the captured interfaces have different link types (Ethernet, raw IP): "),
        "{}",
        recorded.said
    );
    // As it says: tshark reads it, tcpdump does not.
    output(Command::new("tshark").arg("-r").arg(&recorded.path));
    assert!(
        !Command::new("tcpdump").arg("-r").arg(&recorded.path).output().expect("tcpdump").status.success()
    );
}

fn an_interface_with_one_direction_of_tcp_is_reported(lab: &Lab) {
    // cilium/cilium#21496: with bpf_redirect_peer a veth shows outbound packets only. Here a route does that.
    let (front, back) = (lab.network(), lab.network());
    let [client, server] = [(); 2].map(|()| lab.container(&["--network", &front.name]));
    for container in [&client, &server] {
        lab.docker(&["network", "connect", &back.name, &container.name]);
        let loose = "for file in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >$file; done";
        output(&mut container.enter(&["sh", "-c", loose]));
    }
    let recording = Recording::begin(lab, &[&server], &[]);
    let fetch = || {
        for _ in 0..10 {
            let url = format!("http://{}/", server.address());
            output(&mut client.enter(&["curl", "-s", "-o", "/dev/null", &url]));
        }
    };
    fetch();
    let said = recording.stop().said;
    assert!(!said.contains("TCP packets: the other direction"), "both directions are there: {said}");

    output(&mut server.enter(&["ip", "route", "add", &client.address(), "dev", "eth1"]));
    let recording = Recording::begin(lab, &[&server], &[]);
    fetch();
    let recording = recording.stop();
    let said = &recording.said;
    for (interface, direction) in [("eth0", "inbound"), ("eth1", "outbound")] {
        let line = format!("{}:{interface} shows only {direction} TCP packets", server.name);
        assert_eq!(said.matches(&line).count(), 1, "{line}: {said}");
    }
    // The route did what the test is about.
    let replies = fields_of(&recording.path, "tcp.srcport == 80", &["frame.interface_name"]);
    assert!(replies.len() > 20 && replies.iter().all(|row| row[0].ends_with(":eth1")), "{replies:?}");
}
