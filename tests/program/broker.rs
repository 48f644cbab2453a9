//! The broker, with requests that are not from the program.

use std::fs::File;
use std::io::{self, IoSlice, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    recv, sendmsg, socketpair,
};

/// A broker, and the socket it serves.
struct BrokerProcess {
    socket: OwnedFd,
    process: Child,
}

/// Starts a broker. `None` without the privilege to capture.
fn broker() -> Option<BrokerProcess> {
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("skipped: a broker needs the right to capture");
        return None;
    }
    let (socket, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).expect("sockets");
    let mut command = Command::new(env!("CARGO_BIN_EXE_containerdump"));
    command.arg("broker").stdin(theirs).stdout(Stdio::null()).stderr(Stdio::null());
    let process = command.spawn().expect("it starts");
    drop(command);
    let mut ready = [0; 8];
    assert_eq!(recv(&socket, &mut ready, RecvFlags::empty()), Ok((3, 3)), "it says that it is ready");
    Some(BrokerProcess { socket, process })
}

impl BrokerProcess {
    /// Sends a message with a stream and a pipe. Returns the output of both.
    fn ask(&self, message: &[u8]) -> (Vec<u8>, String) {
        let (mut ours, theirs) = UnixStream::pair().expect("sockets");
        let (mut told, errors) = io::pipe().expect("a pipe");
        self.send(message, &[theirs.into(), errors.into()]);
        let (mut stream, mut said) = (Vec::new(), String::new());
        // A tap would end with its input.
        ours.shutdown(std::net::Shutdown::Write).expect("a socket");
        told.read_to_string(&mut said).expect("a pipe");
        ours.read_to_end(&mut stream).expect("a socket");
        (stream, said)
    }

    fn send(&self, message: &[u8], descriptors: &[OwnedFd]) {
        let descriptors: Vec<_> = descriptors.iter().map(|descriptor| descriptor.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(descriptors.is_empty() || control.push(SendAncillaryMessage::ScmRights(&descriptors)));
        let sent = sendmsg(&self.socket, &[IoSlice::new(message)], &mut control, SendFlags::NOSIGNAL);
        sent.expect("it listens");
    }

    /// Its running child processes.
    fn children(&self) -> String {
        let pid = self.process.id();
        std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("/proc")
    }

    /// Closes its socket and waits for its end.
    fn end(self) {
        let Self { socket, mut process } = self;
        drop(socket);
        assert_eq!(process.wait().expect("our child").code(), Some(0));
    }
}

/// A valid request for the loopback of this host, which is not a veth.
const LOOPBACK: &str = r#"{"place":{"HostVeth":{"name":"lo","index":1,"expected_holder":null}},"filter":null,
    "snap_length":96,"ring_kib":2,"promiscuous":false}"#;

#[test]
fn the_broker_refuses_other_requests() {
    let Some(broker) = broker() else { return };
    let long = format!("{LOOPBACK}{}", " ".repeat(64 * 1024));
    for (message, why) in [
        (LOOPBACK.to_owned(), "existed before"),
        (LOOPBACK.replace("\"lo\"", "\"nosuch\""), "cannot capture nosuch"),
        (LOOPBACK.replace("HostVeth", "Host"), "broker refused a request"),
        (LOOPBACK.replace(r#""index":1,"#, ""), "broker refused a request"),
        (
            LOOPBACK.replace(r#""promiscuous":false"#, r#""promiscuous":false,"run":"sh""#),
            "broker refused a request",
        ),
        (LOOPBACK.replace("\"lo\"", "\"/bin/sh\""), "broker refused a request"),
        (LOOPBACK.replace("null,\n", "\"host \\u0000\",\n"), "broker refused a request"),
        (LOOPBACK.replace("96", "999999999"), "999999999 bytes"),
        (LOOPBACK.replace(r#""ring_kib":2"#, r#""ring_kib":0"#), "rings of 0 KiB"),
        ("tap --interface eth0".to_owned(), "broker refused a request"),
        ("\0".to_owned(), "broker refused a request"),
        (long, "too long"),
    ] {
        let (stream, said) = broker.ask(message.as_bytes());
        assert_eq!(stream, b"", "{message:.100}");
        assert!(said.contains(why), "{message:.100}: {said}");
    }
    // Too few and too many descriptors: nothing is started, and the broker continues.
    let file = || OwnedFd::from(File::open("/dev/null").expect("it is there"));
    for count in [0, 1, 3, 8] {
        let descriptors: Vec<OwnedFd> = (0..count).map(|_| file()).collect();
        broker.send(LOOPBACK.as_bytes(), &descriptors);
    }
    let (_, said) = broker.ask(LOOPBACK.replace("\"lo\"", "\"nosuch\"").as_bytes());
    assert!(said.contains("cannot capture nosuch"), "{said}");
    // All children have ended without zombies; two wait in the pool.
    for _ in 0..200 {
        if broker.children().split_whitespace().count() == 2 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(broker.children().split_whitespace().count(), 2);
    broker.end();
}

#[test]
fn the_broker_refuses_the_network_of_the_host() {
    let Some(broker) = broker() else { return };
    let namespace = std::fs::metadata("/proc/self/net/dev").expect("/proc").ino();
    let request = format!(
        r#"{{"place":{{"Inside":{{"holder":{{"Process":{{"pid":{},"namespace":{namespace}}}}},
        "interfaces":["lo"]}}}},"filter":null,"snap_length":96,"ring_kib":1024,"promiscuous":false}}"#,
        std::process::id()
    );
    let (stream, said) = broker.ask(request.as_bytes());
    assert_eq!(stream, b"", "{said}");
    assert!(said.contains("it is the network of the host"), "{said}");
    broker.end();
}

#[test]
fn the_broker_refuses_to_start_by_hand() {
    for stdin in
        [Stdio::null(), Stdio::piped(), Stdio::from(OwnedFd::from(UnixStream::pair().expect("sockets").0))]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_containerdump"));
        let ended = command.arg("broker").stdin(stdin).output().expect("it starts");
        assert_eq!((ended.status.code(), ended.stdout.as_slice()), (Some(1), &b""[..]));
    }
}
