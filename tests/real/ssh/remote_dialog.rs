//! The interface `containerdump-ssh` in Wireshark: dialog, prompts, captures.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::analyst::{Analyst, own};
use crate::support::harness::{Test, tests};
use crate::support::lab::{Container, Lab, end_of, eventually, output, signal, start};
use crate::support::recording::{fields_of, requests_so_far};
use crate::support::ssh_host::SshHost;
use crate::support::tcpdump::Tcpdump;
use crate::support::toolbar_pipes::{FILTER, STATISTICS, Toolbar, ToolbarCapture, ToolbarPipes};

pub(crate) const TESTS: &[Test] = tests![
    tshark_captures_a_remote_container_like_tcpdump,
    the_dialog_loads_the_containers_of_a_remote_host,
    the_toolbar_shows_and_filters_a_remote_capture,
    tshark_shows_one_message_for_a_failed_remote_capture,
];

fn pair(there: &SshHost) -> (Container, Container, String) {
    let (web, other) = (there.host.lab.container(&[]), there.host.lab.container(&[]));
    let address = there.host.address(&web, "bridge");
    (web, other, address)
}

fn tshark_captures_a_remote_container_like_tcpdump(lab: &Lab) {
    let there = SshHost::start(lab);
    let analyst = Analyst::new(lab, &there);
    let (web, other, address) = pair(&there);
    let listed = output(analyst.runs("tshark").arg("-D"));
    assert!(listed.contains(". containerdump-ssh (Containers on another host (SSH))"), "{listed}");
    let filter = format!("tcp and host {address}");
    let file = analyst.user.home.path().join("out.pcapng");
    let witness = Tcpdump::with(there.tcpdump(&web), "eth0", &filter);
    let preference = format!("extcap.containerdump_ssh.remotefilter:host {address}");
    let mut tshark = analyst.tshark(&web.name, &["-f", "tcp", "-o", &preference, "-w"]);
    let child = start(tshark.arg(&file));
    eventually("the capture begins", || file.metadata().is_ok_and(|about| about.len() > 300));
    for _ in 0..20 {
        there.host.fetch(&other, &address);
    }
    witness.settle();
    eventually("all requests are there", || fields_of(&file, "http.request", &["frame.number"]).len() == 20);
    std::thread::sleep(Duration::from_secs(1));
    signal(&child, "INT");
    let ended = end_of(child);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    witness.assert_same(&file);
    let names = fields_of(&file, "http.request", &["frame.interface_name"]).concat();
    assert_eq!(names, vec![format!("{}:eth0", web.name); 20]);
    eventually("nothing of ours runs there", || there.runs().is_empty());
    eventually("nothing of ours runs here", || !analyst.user.captures());
    // All containers, until a limit.
    let counted = "extcap.containerdump_ssh.remotecount:3";
    let child = start(analyst.tshark("all", &["-o", counted, "-w"]).arg(analyst.user.home.path().join("b")));
    eventually("it runs there", || !there.runs().is_empty());
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(20) && analyst.user.captures() {
        there.host.fetch(&other, &address);
    }
    assert!(end_of(child).status.success());
    eventually("nothing of ours runs there", || there.runs().is_empty());
    let folder = "/tmp/containerdump-ssh-";
    eventually("no connection is left", || {
        !output(Command::new("ps").args(["-A", "-o", "args"])).contains(folder)
    });
}

fn the_dialog_loads_the_containers_of_a_remote_host(lab: &Lab) {
    let there = SshHost::start(lab);
    let analyst = Analyst::new(lab, &there);
    let web = there.host.lab.container(&["--label", "com.docker.compose.project=shop"]);
    let loaded = analyst.loaded(false);
    let lines: Vec<&str> = loaded.lines().collect();
    assert_eq!(lines[0], "value {arg=5}{value=all}{display=All containers}{default=true}");
    assert_eq!(lines[1], "value {arg=5}{value=docker-all}{display=All containers (Docker)}");
    assert_eq!(lines[2], "value {arg=5}{value=compose-shop}{display=Compose project shop (1 container)}");
    assert!(lines[3].starts_with(&format!("value {{arg=5}}{{value=docker-{0}}}{{display={0} · ", web.name)));
    assert_eq!(lines.len(), 4, "{loaded}");
    let networks = analyst.loaded_option("network", false);
    let bridge = "value {arg=20}{value=bridge}{display=bridge · 1 container}";
    assert_eq!(networks.lines().collect::<Vec<_>>()[1..], [bridge], "{networks}");
    // A key with a passphrase, without and with ssh-askpass.
    let key = analyst.key.to_str().expect("a path");
    output(Command::new("ssh-keygen").args(["-q", "-p", "-P", "", "-N", "open sesame", "-f", key]));
    own(&analyst.key);
    let refused = analyst.loaded(false);
    let why = format!("key file {key} needs a passphrase, and no ssh-askpass can ask for it");
    let shown = format!(
        "value {{arg=5}}{{value=all}}{{display=cannot connect to root@build1: {why}}}{{default=true}}"
    );
    assert_eq!(refused, shown);
    let home = analyst.user.home.path();
    let askpass = home.join("askpass");
    fs::write(&askpass, format!("#!/bin/sh\necho \"$1\" >>{}/asked\necho open sesame\n", home.display()))
        .expect("a script");
    fs::set_permissions(&askpass, fs::Permissions::from_mode(0o755)).expect("its mode");
    assert_eq!(analyst.loaded(true), loaded);
    let asked = fs::read_to_string(home.join("asked")).expect("it was asked");
    assert!(asked.lines().count() == 1 && asked.contains("passphrase"), "{asked}");
    // An unreachable host does not block the window.
    there.cut();
    let begun = Instant::now();
    let unreachable = analyst.loaded(false);
    assert!(unreachable.contains("{value=all}{display=cannot connect to root@build1: "), "{unreachable}");
    assert!(begun.elapsed() < Duration::from_secs(13), "{:?}", begun.elapsed());
}

fn the_toolbar_shows_and_filters_a_remote_capture(lab: &Lab) {
    let there = SshHost::start(lab);
    let (web, other, address) = pair(&there);
    let options = [
        "--extcap-interface",
        "containerdump-ssh",
        "--remote-host",
        "build1",
        "--remote-container",
        &web.interface(),
        "--remote-filter",
        "udp port 9",
    ];
    let capture = ToolbarCapture::begin(there.program(), &options, ToolbarPipes::make());
    let mut toolbar = Toolbar::open(&capture.pipes);
    let name = format!("{}:eth0", web.name);
    toolbar.shows("the interface", |toolbar| toolbar.list.iter().any(|(_, display)| *display == name));
    assert_eq!(toolbar.field(FILTER), "udp port 9");
    there.host.fetch(&other, &address);
    toolbar.set(FILTER, "tcp port 80");
    toolbar.shows("that it is in force there", |toolbar| toolbar.log.contains("filter set: tcp port 80"));
    eventually("a request is there", || {
        there.host.fetch(&other, &address);
        requests_so_far(&capture.path) > 0
    });
    toolbar.shows("figures", |toolbar| toolbar.field(STATISTICS).ends_with(" 0 dropped"));
    let (path, _folder) = capture.stop();
    assert_eq!(fields_of(&path, "not tcp.port == 80", &["frame.number"]).len(), 0);
    there.assert_cleaned_up();
}

fn tshark_shows_one_message_for_a_failed_remote_capture(lab: &Lab) {
    let there = SshHost::start(lab);
    let analyst = Analyst::new(lab, &there);
    let (web, ..) = pair(&there);
    let said = |mut tshark: Command| {
        let ended = end_of(start(&mut tshark));
        String::from_utf8_lossy(&ended.stderr).into_owned()
    };
    let no_host = said({
        let mut tshark = analyst.runs("tshark");
        tshark.args(["-q", "-i", "containerdump-ssh", "-w", "/dev/null"]);
        tshark
    });
    assert!(no_host.contains("cannot connect: no remote host is given"), "{no_host}");
    let nobody = said(analyst.tshark("nobody-of-that-name", &["-w", "/dev/null"]));
    assert!(nobody.contains("nobody-of-that-name"), "{nobody}");
    there.trust("other.pub");
    let changed = said(analyst.tshark(&web.name, &["-w", "/dev/null"]));
    assert!(changed.contains("its host key has changed"), "{changed}");
    assert_eq!(changed.matches("Remedy: ").count(), 1, "{changed}");
    there.trust("hostkey.pub");
    let file = analyst.user.home.path().join("out.pcapng");
    let child = start(analyst.tshark(&web.name, &["-w"]).arg(&file));
    eventually("the capture begins", || file.metadata().is_ok_and(|about| about.len() > 300));
    there.cut();
    let ended = end_of(child);
    let lost = String::from_utf8_lossy(&ended.stderr);
    assert!(lost.contains(&there.address) && lost.matches("Remedy: ").count() == 1, "{lost}");
    eventually("nothing of ours runs there", || there.runs().is_empty());
}
