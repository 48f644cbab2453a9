//! Traffic of containers.

use std::process::Command;

use super::lab::{Container, Lab, folder, output};

/// Sends `count` datagrams of 1000 bytes from a container to port 9, without replies.
pub(crate) fn flood(container: &Container, count: u64) {
    let folder = folder();
    let bridge = output(Command::new("cat").arg("/sys/class/net/docker0/address"));
    let text = format!(
        "{{ eth(da={bridge}), ipv4(saddr={0}, daddr={0}), udp(sp=9, dp=9), fill(0x61, 958) }}\n",
        container.address()
    );
    let frame = folder.path().join("frame");
    std::fs::write(&frame, text).expect("a frame");
    let (frame, count) = (frame.to_str().expect("a path"), count.to_string());
    output(&mut container.enter(&["trafgen", "-o", "eth0", "-i", frame, "-n", &count, "-P", "1", "-q"]));
}

/// Starts a container in the host network without traffic.
pub(crate) fn idle(lab: &Lab) -> Container {
    lab.container(&["--network", "host", "--interactive", "--entrypoint", "/bin/cat"])
}
