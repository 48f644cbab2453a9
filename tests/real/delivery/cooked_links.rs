//! A link whose header libpcap does not know, so that the kernel leaves it out: a point-to-point link.

use std::io::Write as _;
use std::process::{Child, Stdio};

use crate::real::tap::command::Tap;
use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, end_of, eventually};
use crate::support::namespaces::Namespace;
use crate::support::packet_bytes::digests;
use crate::support::recording::{assert_same, capinfos, fields_of};
use crate::support::tcpdump::Tcpdump;

pub(crate) const TESTS: &[Test] = tests![packets_of_a_cooked_link_match_tcpdump];

/// A tunnel device of type PPP, into which it writes packets for this host once it reads a line. Perl, since the type is set
/// by an ioctl: TUNSETIFF with IFF_TUN and IFF_NO_PI, TUNSETLINK with ARPHRD_PPP (linux/if_tun.h, linux/if_arp.h).
const PPP_LINK: &str = r#"
    open(my $tun, "+<", "/dev/net/tun") or die "tun: $!";
    my $request = pack("a16 s x22", "ppp7", 0x1001);
    ioctl($tun, 0x400454ca, $request) or die "TUNSETIFF: $!";
    ioctl($tun, 0x400454cd, 512) or die "TUNSETLINK: $!";
    system("ip address add 10.99.0.1/24 dev ppp7 && ip link set ppp7 up") == 0 or die;
    <STDIN>;
    for my $i (0 .. 39) {
        my $data = chr($i) x (30 * $i);
        my $ip = pack("C2 n3 C2 n C8", 0x45, 0, 28 + length $data, $i, 0, 64, 17, 0, 10, 99, 0, 2, 10, 99, 0, 1);
        my $sum = 0;
        $sum += $_ for unpack("n*", $ip);
        $sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
        substr($ip, 10, 2) = pack("n", ~$sum & 0xffff);
        syswrite($tun, $ip . pack("n4", 7, 5000 + $i % 2, 8 + length $data, 0) . $data);
        system("bash", "-c", "head -c " . (30 * $i + 1) . " /dev/zero > /dev/udp/10.99.0.2/" . (5000 + $i % 2));
    }
    <STDIN>;
"#;

fn packets_of_a_cooked_link_match_tcpdump(_: &Lab) {
    let namespace = Namespace::new();
    let mut perl = namespace.enter(&["perl", "-e", PPP_LINK]);
    let mut link = perl.stdin(Stdio::piped()).spawn().expect("perl");
    eventually("the link is up", || {
        let links = namespace.enter(&["ip", "-o", "link", "show", "up"]).output().expect("ip");
        String::from_utf8_lossy(&links.stdout).contains("ppp7")
    });
    // A test of the header, of what the header says, and of bytes behind it.
    let filters = ["udp", "udp port 5001 and host 10.99.0.2", "ip[2:2] > 600 and udp"];
    let captures = filters.map(|filter| {
        let witness = Tcpdump::with(namespace.enter(&["tcpdump"]), "ppp7", filter);
        let program = env!("CARGO_BIN_EXE_containerdump");
        let tap = Tap::with(namespace.enter(&[program, "tap", "--interface", "ppp7", "--filter", filter]));
        (witness, tap)
    });
    let inbound = Tap::with(namespace.enter(&[
        env!("CARGO_BIN_EXE_containerdump"),
        "tap",
        "--interface",
        "ppp7",
        "--filter",
        "inbound and udp",
    ]));
    line(&mut link);
    for (witness, tap) in captures {
        witness.settle();
        let ended = tap.cut();
        assert_eq!(capinfos(&ended.path, "File encapsulation"), "linux-sll");
        let (witness, _folder) = witness.stop();
        assert_same(&ended.path, &witness);
        assert_eq!(digests(&ended.path), digests(&witness));
    }
    let ended = inbound.cut();
    let sources = fields_of(&ended.path, "", &["ip.src"]);
    assert_eq!(sources, vec![vec!["10.99.0.2"]; 40]);
    line(&mut link);
    assert!(end_of(link).status.success());
}

fn line(link: &mut Child) {
    link.stdin.as_mut().expect("its input").write_all(b"\n").expect("it reads");
}
