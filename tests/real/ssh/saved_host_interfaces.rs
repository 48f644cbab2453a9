//! Containers of saved hosts in Wireshark's list.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::analyst::Analyst;
use crate::support::harness::{Test, tests};
use crate::support::lab::{Container, Lab, end_of, eventually, output, signal, start};
use crate::support::recording::{fields_of, requests_so_far};
use crate::support::ssh_host::SshHost;

pub(crate) const TESTS: &[Test] = tests![
    ssh_containers_of_a_saved_host_are_interfaces,
    ssh_saved_host_that_is_unreachable_or_changed_does_not_delay_the_list,
];

/// The user, who has saved the host as `shop`.
fn analyst<'a>(lab: &Lab, there: &'a SshHost) -> Analyst<'a> {
    let analyst = Analyst::new(lab, there);
    let address = format!("root@{}:2222", there.address);
    let key = analyst.key.display().to_string();
    output(program(&analyst).args(["host", "add", "shop", &address, "--key", &key]));
    analyst
}

fn program(analyst: &Analyst) -> Command {
    analyst.runs(analyst.user.program.to_str().expect("a path"))
}

/// The host's interfaces listed by tshark.
fn listed(analyst: &Analyst) -> Vec<String> {
    let all = output(analyst.runs("tshark").arg("-D"));
    let lines = all.lines().filter_map(|line| Some(line.split_once(". ")?.1.to_owned()));
    lines.filter(|line| line.starts_with("shop-")).collect()
}

fn line(container: &Container, name: &str) -> String {
    format!("shop-{} (shop: {name} · ", container.interface())
}

fn ssh_containers_of_a_saved_host_are_interfaces(lab: &Lab) {
    let there = SshHost::start(lab);
    let analyst = analyst(lab, &there);
    let project = ["--label", "com.docker.compose.project=market"];
    let (web, other) = (there.host.lab.container(&project), there.host.lab.container(&[]));
    assert_eq!(listed(&analyst), ["shop-all (shop: containers not loaded yet, press F5)"]);
    eventually("its containers are told", || listed(&analyst).len() == 4);
    let list = listed(&analyst);
    assert_eq!(list[0], "shop-all (shop: All containers)");
    assert_eq!(list[1], "shop-compose-market (shop: Compose project market (1 container))");
    for container in [&web, &other] {
        assert!(list.iter().any(|one| one.starts_with(&line(container, &container.name))), "{list:?}");
    }
    // A started container appears, and an ended one disappears.
    output(program(&analyst).args(["host", "refresh", "shop"]));
    let later = there.host.lab.container(&[]);
    assert_eq!(output(program(&analyst).args(["host", "refresh"])), "shop: 3 containers");
    assert!(listed(&analyst).iter().any(|one| one.starts_with(&line(&later, &later.name))));
    // A double-click: default options.
    let address = there.host.address(&web, "bridge");
    let file = analyst.user.home.path().join("out.pcapng");
    let interface = format!("shop-{}", web.interface());
    let mut tshark = analyst.runs("tshark");
    let child = start(tshark.args(["-q", "-i", &interface, "-f", "tcp port 80", "-w"]).arg(&file));
    eventually("the capture begins", || file.metadata().is_ok_and(|about| about.len() > 300));
    eventually("requests are there", || {
        there.host.fetch(&other, &address);
        requests_so_far(&file) > 2
    });
    signal(&child, "INT");
    let ended = end_of(child);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let names = fields_of(&file, "http.request", &["frame.interface_name"]).concat();
    assert!(names.iter().all(|name| *name == format!("{}:eth0", web.name)), "{names:?}");
    let question = ["--extcap-config", "--extcap-interface", &interface, "--extcap-reload-option", "network"];
    assert_eq!(
        output(program(&analyst).args(question)),
        "value {arg=0}{value=all}{display=All networks}{default=true}\n\
         value {arg=0}{value=bridge}{display=bridge · 1 container}"
    );
    eventually("nothing of ours runs there", || there.runs().is_empty());
}

fn ssh_saved_host_that_is_unreachable_or_changed_does_not_delay_the_list(lab: &Lab) {
    let there = SshHost::start(lab);
    let analyst = analyst(lab, &there);
    let web = there.host.lab.container(&[]);
    assert_eq!(output(program(&analyst).args(["host", "refresh"])), "shop: 1 container");
    there.trust("other.pub");
    let refused = program(&analyst).args(["host", "refresh"]).output().expect("the program");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("cannot connect to shop: its host key has changed"), "{said}");
    let list = listed(&analyst);
    assert_eq!(list[0], "shop-all (shop: its host key has changed, double-click for help)");
    assert!(list[1].starts_with(&line(&web, &web.name)), "what was known of it stays: {list:?}");
    let mut tshark = analyst.runs("tshark");
    let ended = end_of(start(tshark.args(["-q", "-i", "shop-all", "-w", "/dev/null"])));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("its host key has changed") && said.contains("ssh-keygen -R"), "{said}");
    there.cut();
    let without = Instant::now();
    output(analyst.runs("tshark").arg("-D").env("XDG_CONFIG_HOME", "/nonexistent"));
    let without = without.elapsed();
    let begun = Instant::now();
    assert_eq!(listed(&analyst), list);
    // Connecting would take 15 seconds.
    assert!(begun.elapsed() < without + Duration::from_secs(5), "{:?} and {without:?}", begun.elapsed());
}
