//! Hosts that flood, stall, end early or send invalid streams.

use std::collections::BTreeSet;
use std::fs::File;
use std::process::Stdio;
use std::time::Instant;

use containerdump::pcapng::{BlockWriter, InterfaceDescription};
use containerdump::safe_text::SafeText;

use crate::support::fake_host::{FakeHost, HELLO, PROBE, begin};
use crate::support::program::until;

#[test]
fn an_invalid_response_ends_with_one_message() {
    let is_no_shell = FakeHost::new("echo This account is not available.; exit 1", "");
    assert!(is_no_shell.list().complaint().contains("the login shell does not run commands"));
    let floods = FakeHost::new(PROBE, "cat /dev/zero");
    assert!(floods.list().complaint().contains("unexpected output exceeds"));
    let says_more = FakeHost::new(PROBE, &format!("echo Welcome; echo; {HELLO}; true"));
    assert_eq!(says_more.list().stdout.lines().count(), 1, "what a login shell says is passed over");
    let garbage = FakeHost::answering("echo '<html>'");
    assert!(garbage.list().complaint().contains("cannot read the list of build1: "));
    let endless = FakeHost::answering("cat /dev/zero");
    assert!(endless.list().complaint().contains("is longer than 16 MiB"));
    let absent = FakeHost::new(PROBE.rsplit_once("; echo program").expect("a probe").0, "");
    assert!(absent.list().complaint().contains("is not installed on ann@build1"));
    let unusable = FakeHost::new(&PROBE.replace(" containerdump-peer 2 0.1.0", ""), "");
    assert!(unusable.list().complaint().contains("cannot be started on ann@build1"));
}

#[test]
fn an_invalid_stream_ends_with_one_message() {
    let garbage = FakeHost::answering("head -c 100000 /dev/urandom");
    assert!(garbage.complaint_of_capture().contains("cannot read packets of build1: "));
    let mut huge = begin("x");
    huge.extend([6, 0, 0, 0, 0xfc, 0xff, 0xff, 0xff]);
    let huge = FakeHost::answering("cat stream; cat").with("stream", &huge);
    assert!(huge.complaint_of_capture().contains("a block has 4294967292 bytes"));
    let again = FakeHost::answering("cat stream stream; cat").with("stream", &begin("x"));
    assert!(again.complaint_of_capture().contains("unexpected second section"));
    let breaks_off = FakeHost::answering("cat stream; exit 255").with("stream", &begin("x")[..100]);
    assert!(breaks_off.complaint_of_capture().contains("build1"));
}

#[test]
fn an_invalid_compressed_stream_ends_with_one_message() {
    let chunk = |zstd: &[u8], says: u32| {
        let length = u32::try_from(zstd.len()).expect("few").to_le_bytes();
        [&b"cd-z"[..], &length, &says.to_le_bytes(), zstd].concat()
    };
    let compressed = |bytes: &[u8]| zstd::bulk::compress(bytes, 1).expect("memory");
    let (begins, bomb) = (begin("x"), compressed(&vec![0; 64 << 20]));
    let says = u32::try_from(begins.len()).expect("few");
    let good = chunk(&compressed(&begins), says);
    for (stream, why) in [
        (chunk(b"garbage, and not by zstd", 1000), "a chunk cannot be decompressed"),
        (chunk(&bomb, 128 << 10), "build1: "),
        ([&good[..], &chunk(&bomb, 128 << 10)].concat(), "unknown block type 0"),
        ([&good[..], &chunk(&compressed(&begins), says)].concat(), "unexpected second section"),
        ([&good[..], b"cd-0\xff\xff\xff\xff"].concat(), "a chunk has 4294967295 bytes"),
        ([&good[..], &begins].concat(), "unknown chunk type"),
    ] {
        let host = FakeHost::answering("cat stream; cat").with("stream", &stream);
        let said = host.complaint_of_capture();
        assert!(said.contains("cannot read packets of build1: ") && said.contains(why), "{why}: {said}");
    }
    let breaks_off =
        FakeHost::answering("cat stream; exit 255").with("stream", &[&good[..], &good[..20]].concat());
    assert!(breaks_off.complaint_of_capture().contains("build1"));
    // A stream that ends within a chunk.
    let stalls =
        FakeHost::answering("cat stream; exec sleep 600").with("stream", &[&good[..], &good[..20]].concat());
    assert!(stalls.complaint_of_capture().contains("no data for 10 seconds"));
}

#[test]
fn too_many_interfaces_end_the_capture() {
    let mut blocks = BlockWriter::begin_section();
    let interface = InterfaceDescription {
        name: SafeText::new("x"),
        description: SafeText::new("y"),
        hardware_address: None,
        filter: None,
        snap_length: 2000,
        link_type: 1,
    };
    for _ in 0..5000 {
        blocks.add_interface(&interface);
    }
    let host = FakeHost::answering("cat stream; cat").with("stream", &blocks.take());
    assert!(host.complaint_of_capture().contains("more than 4096 interfaces"));
}

#[test]
fn too_much_interface_text_ends_the_capture() {
    let mut blocks = BlockWriter::begin_section();
    for number in 0..1000 {
        blocks.add_interface(&InterfaceDescription {
            name: SafeText::new("x"),
            description: SafeText::new("y"),
            hardware_address: None,
            filter: Some(format!("{number}{}", "\u{FFFD}".repeat(15_000)).into()),
            snap_length: 2000,
            link_type: 1,
        });
    }
    let host = FakeHost::answering("cat stream; cat").with("stream", &blocks.take());
    let complaint = host.complaint_of_capture();
    assert!(complaint.contains("more than 1024 KiB of interface names and filters"), "{complaint}");
}

/// The 17th broken stream once ended the whole capture.
#[test]
fn each_broken_stream_is_reported_and_the_others_continue() {
    const HOSTS: usize = 20;
    let mut blocks = BlockWriter::begin_section();
    blocks.take();
    blocks.add_empty_block();
    let far = "number=1; while ! mkdir n$number 2>/dev/null; do number=$((number + 1)); done; cat stream; \
        if [ $number = 1 ]; then while cat nothing; do sleep 1; done; fi; \
        while [ $number -gt 9 ] && ! [ -e go ]; do sleep 0.1; done; echo garbage; cat";
    let host = FakeHost::answering(far).with("stream", &begin("x")).with("nothing", &blocks.take());
    let hosts: Vec<String> = (1..=HOSTS).map(|number| format!("--host=build{number}")).collect();
    let hosts = hosts.iter().map(String::as_str);
    let arguments: Vec<&str> = ["capture", "web", "-w", "-"].into_iter().chain(hosts).collect();
    let path = |name: &str| host.0.path().join(name);
    let mut command = host.command(&arguments);
    command.stdout(Stdio::null()).stderr(File::create(path("said")).expect("a file"));
    let mut capture = command.spawn().expect("the program starts");
    until("all are asked", || path(&format!("n{HOSTS}")).exists());
    // Some fail at once, others later.
    std::fs::write(path("go"), b"").expect("a file");
    let told = || {
        let said = std::fs::read_to_string(path("said")).expect("what it says");
        let told = said.lines().filter(|line| line.starts_with("cannot read packets of build"));
        told.map(str::to_owned).collect::<Vec<_>>()
    };
    until("each is told", || {
        assert_eq!(capture.try_wait().expect("a child"), None, "{:?}", told());
        told().len() == HOSTS - 1
    });
    assert_eq!(told().into_iter().collect::<BTreeSet<_>>().len(), HOSTS - 1, "{:?}", told());
    capture.kill().expect("it runs");
    capture.wait().expect("a child");
}

#[test]
fn a_flood_on_standard_error_ends_the_capture() {
    let host = FakeHost::answering("cat stream; yes >&2").with("stream", &begin("x"));
    let said = host.complaint_of_capture();
    assert!(said.contains("writes too much to standard error"), "{said}");
    assert!(said.lines().count() < 200, "{} lines", said.lines().count());
}

#[test]
fn a_stalled_stream_ends_the_capture() {
    let begun = Instant::now();
    let host = FakeHost::answering("cat stream; exec sleep 600").with("stream", &begin("x"));
    let said = host.complaint_of_capture();
    assert!(said.contains("no data for 10 seconds"), "{said}");
    assert!(begun.elapsed().as_secs() >= 10);
}
