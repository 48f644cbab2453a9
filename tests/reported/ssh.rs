//! Hosts reached by ssh: shells, settings, messages, names.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::Test;
use crate::lab::{Lab, eventually, output};
use crate::recording::{Recording, fields_so_far, named_fields_of, requests_so_far};
use crate::ssh::SshHost;

pub(crate) const TESTS: &[Test] = &[
    ("names_of_one_remote_host_have_no_host_in_front", names_of_one_host),
    ("names_of_several_remote_hosts_end_in_the_host_without_its_port", names_of_several_hosts),
    ("a_login_shell_that_prints_does_not_disturb_list_capture_and_unsend", login_shell_that_prints),
];

fn names_of_one_host(lab: &Lab) {
    // `127.0.0.1:2222/…` filled the Source, Destination and Container columns of a capture over ssh.
    let there = SshHost::start(lab);
    let (web, other) = (there.host.lab.container(&[]), there.host.lab.container(&[]));
    let address = there.host.address(&web, "bridge");
    let host = format!("root@{}:2222", there.address);
    let recording = Recording::begin_by(there.program(), &[&web], &["--host", &host, "-f", "tcp port 80"]);
    eventually("a request is captured", || {
        there.host.fetch(&other, &address);
        !fields_so_far(&recording.path, "http.request", &["frame.number"]).is_empty()
    });
    let recorded = recording.stop();
    let fields = ["frame.interface_name", "ip.src_host", "ip.dst_host"];
    let request = named_fields_of(&recorded.path, "http.request", &fields).concat();
    assert_eq!(request[..3], [format!("{}:eth0", web.name), other.name.clone(), web.name.clone()]);
    let description = recorded.fields("http.request", &["frame.interface_description"]).concat();
    assert!(description[0].starts_with(&format!("on {}: docker", there.address)), "{description:?}");
    let list = |options: &[&str]| output(there.program().args(["list", "--host", &host]).args(options));
    assert!(list(&[]).starts_with("NAME "), "{}", list(&[]));
    assert!(!list(&["-v"]).contains(&there.address), "{}", list(&["-v"]));
}

fn names_of_several_hosts(lab: &Lab) {
    // `127.0.0.1:2222/…` filled the Source, Destination and Container columns of a capture over ssh.
    let there = SshHost::start(lab);
    let (web, other) = (there.host.lab.container(&[]), there.host.lab.container(&[]));
    let address = there.host.address(&web, "bridge");
    let program = || {
        let mut program = there.program();
        program.env("XDG_CONFIG_HOME", there.path("settings"));
        program
    };
    output(program().args(["host", "add", "shop", &format!("root@{}:2222", there.address)]));
    let hosts = ["--host", "shop", "--host", "root@build1:2222"];
    let options = [&hosts[..], &["-f", "tcp port 80"]].concat();
    let recording = Recording::begin_by(program(), &[&web], &options);
    let interfaces = || {
        let names = fields_so_far(&recording.path, "tcp.port == 80", &["frame.interface_name"]).concat();
        names.into_iter().collect::<BTreeSet<_>>()
    };
    // The second copy of a packet is a retransmission to Wireshark, and no request.
    eventually("packets are captured on both", || {
        there.host.fetch(&other, &address);
        interfaces().len() == 2
    });
    let expected = ["build1", "shop"].map(|host| format!("{}@{host}:eth0", web.name));
    assert_eq!(interfaces(), BTreeSet::from(expected));
    let recorded = recording.stop();
    let ends = named_fields_of(&recorded.path, "tcp.dstport == 80", &["ip.dst_host"]).concat();
    assert_eq!(ends.last(), Some(&format!("{0}@shop or {0}@build1", web.name)), "{ends:?}");
    let list = |options: &[&str]| output(program().arg("list").args(hosts).args(options));
    let table = list(&[]);
    let rows: Vec<&str> = table.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!((rows[0], rows.len()), ("HOST", 5), "{table}");
    assert!(rows[1..].iter().all(|host| ["shop", "build1"].contains(host)), "{table}");
    let taps = list(&["-v"]);
    assert!(taps.contains(&format!("{}@shop (docker-{0}, ", web.name)), "{taps}");
    assert!(taps.contains(&format!("{}@build1 (docker-{0}, ", web.name)), "{taps}");
}

fn login_shell_that_prints(lab: &Lab) {
    // warp#6179, ansible#2268: a start-up file prints a window title or a word, with or without a line end.
    let there = SshHost::bare(lab);
    let (web, other) = (there.host.lab.container(&[]), there.host.lab.container(&[]));
    let address = there.host.address(&web, "bridge");
    for (shell, file, line) in [
        ("/bin/bash", ".bashrc", r"printf '\033]0;build1\007'"),
        ("/bin/bsd-csh", ".cshrc", "echo -n 'Welcome '"),
        ("/bin/tcsh", ".tcshrc", "echo -n 'Welcome '"),
        ("/usr/bin/fish", ".config/fish/config.fish", "echo -n 'Welcome '"),
        ("/bin/bash", ".bashrc", "echo Welcome to build1"),
    ] {
        fs::write(there.path("line"), format!("{line}\n")).expect("a start-up file");
        there.inside(&format!(
            "mount -t tmpfs -o mode=700 home /root; mkdir -p /root/.config/fish; cp {} /root/{file}; \
             sed 's|^root:.*|root:x:0:0:root:/root:{shell}|' /etc/passwd >/run/passwd; cat /run/passwd >/etc/passwd",
            there.path("line").display(),
        ));
        let printed =
            Command::new(there.path("bin/ssh")).args(["build1", "true"]).output().expect("ssh").stdout;
        assert!(!printed.is_empty(), "{shell} prints nothing");
        for options in [&[][..], &["--no-send"]] {
            let options = [&["--host", "build1", "-f", "tcp port 80"], options].concat();
            let recording = Recording::begin_by(there.program(), &[&web], &options);
            eventually("a request is captured", || {
                there.host.fetch(&other, &address);
                requests_so_far(&recording.path) > 0
            });
            recording.stop();
        }
        let list = output(there.program().args(["list", "--host", "build1"]));
        assert!(list.contains(&web.name), "{shell}: {list}");
        let removed = output(there.program().args(["unsend", "build1"]));
        assert_eq!(removed, "build1: 1 removed from /root/.cache/containerdump", "{shell}");
    }
}
