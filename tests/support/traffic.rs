//! Traffic of containers.

use std::net::UdpSocket;
use std::process::Command;
use std::time::{Duration, Instant};

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

/// Sends `rate` UDP packets of 500 bytes per second to a closed port of each of `containers`. Returns how many in all.
pub(crate) fn send_to_closed_ports(containers: &[Container], rate: u32, duration: Duration) -> u32 {
    // Not connected, so that refused packets do not make later ones fail. Port 9: discard (RFC 863).
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a port");
    let addresses: Vec<String> = containers.iter().map(|one| format!("{}:9", one.address())).collect();
    let (begin, mut rounds) = (Instant::now(), 0);
    while begin.elapsed() < duration {
        while begin.elapsed() >= Duration::from_secs(1) / rate * rounds {
            for address in &addresses {
                socket.send_to(&[7; 458], address).expect("a route");
            }
            rounds += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    rounds * u32::try_from(addresses.len()).expect("few")
}

/// Starts a container in the host network without traffic.
pub(crate) fn idle(lab: &Lab) -> Container {
    lab.container(&["--network", "host", "--interactive", "--entrypoint", "/bin/cat"])
}
