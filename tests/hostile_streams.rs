//! Hosts that flood, stall, break off and send what is no stream of ours.

mod fake_host;
mod program;

use std::time::Instant;

use containerdump::pcapng::{Blocks, Interface};
use containerdump::text::Label;
use fake_host::{FakeHost, HELLO, PROBE, begin};

#[test]
fn what_is_no_answer_ends_in_one_message() {
    let is_no_shell = FakeHost::new("echo This account is not available.; exit 1", "");
    assert!(is_no_shell.list().complaint().contains("no shell that runs commands"));
    let floods = FakeHost::new(PROBE, "cat /dev/zero");
    assert!(floods.list().complaint().contains("it says something else, and goes on and on"));
    let says_more = FakeHost::new(PROBE, &format!("echo Welcome; echo; {HELLO}; true"));
    assert_eq!(says_more.list().stdout.lines().count(), 1, "what a login shell says is passed over");
    let garbage = FakeHost::answering("echo '<html>'");
    assert!(garbage.list().complaint().contains("cannot read the list of build1: "));
    let endless = FakeHost::answering("cat /dev/zero");
    assert!(endless.list().complaint().contains("is longer than any list"));
    let absent = FakeHost::new(PROBE.rsplit_once("; echo program").expect("a probe").0, "");
    assert!(absent.list().complaint().contains("is not installed on ann@build1"));
    let unusable = FakeHost::new(&PROBE.replace(" containerdump-far 1 0.1.0", ""), "");
    assert!(unusable.list().complaint().contains("cannot be started on ann@build1"));
}

#[test]
fn a_stream_that_is_none_ends_in_one_message() {
    let garbage = FakeHost::answering("head -c 100000 /dev/urandom");
    assert!(garbage.complaint_of_capture().contains("cannot read packets of build1: "));
    let mut huge = begin("x");
    huge.extend([6, 0, 0, 0, 0xfc, 0xff, 0xff, 0xff]);
    let huge = FakeHost::answering("cat stream; cat").with("stream", &huge);
    assert!(huge.complaint_of_capture().contains("a block of it has 4294967292 bytes"));
    let again = FakeHost::answering("cat stream stream; cat").with("stream", &begin("x"));
    assert!(again.complaint_of_capture().contains("a second section begins in it"));
    let breaks_off = FakeHost::answering("cat stream; exit 255").with("stream", &begin("x")[..100]);
    assert!(breaks_off.complaint_of_capture().contains("build1"));
}

#[test]
fn a_packed_stream_that_is_none_ends_in_one_message() {
    let chunk = |zstd: &[u8], says: u32| {
        let length = u32::try_from(zstd.len()).expect("few").to_le_bytes();
        [&b"cd-z"[..], &length, &says.to_le_bytes(), zstd].concat()
    };
    let packed = |bytes: &[u8]| zstd::bulk::compress(bytes, 1).expect("memory");
    let (begins, bomb) = (begin("x"), packed(&vec![0; 64 << 20]));
    let says = u32::try_from(begins.len()).expect("few");
    let good = chunk(&packed(&begins), says);
    for (stream, why) in [
        (chunk(b"garbage, and not by zstd", 1000), "a chunk of it cannot be unpacked"),
        (chunk(&bomb, 128 << 10), "build1: "),
        ([&good[..], &chunk(&bomb, 128 << 10)].concat(), "a block of the unknown kind 0"),
        ([&good[..], &chunk(&packed(&begins), says)].concat(), "a second section begins in it"),
        ([&good[..], b"cd-0\xff\xff\xff\xff"].concat(), "a chunk of it has 4294967295 bytes"),
        ([&good[..], &begins].concat(), "a chunk of it is of an unknown kind"),
    ] {
        let host = FakeHost::answering("cat stream; cat").with("stream", &stream);
        let said = host.complaint_of_capture();
        assert!(said.contains("cannot read packets of build1: ") && said.contains(why), "{why}: {said}");
    }
    let breaks_off =
        FakeHost::answering("cat stream; exit 255").with("stream", &[&good[..], &good[..20]].concat());
    assert!(breaks_off.complaint_of_capture().contains("build1"));
    // One that stops within a chunk.
    let stalls =
        FakeHost::answering("cat stream; exec sleep 600").with("stream", &[&good[..], &good[..20]].concat());
    assert!(stalls.complaint_of_capture().contains("nothing came from it for 10 seconds"));
}

#[test]
fn interfaces_without_end_are_the_end() {
    let mut blocks = Blocks::begin_section();
    let interface = Interface {
        name: Label::new("x"),
        description: Label::new("y"),
        hardware_address: None,
        filter: None,
        snap_length: 2000,
        link_type: 1,
    };
    for _ in 0..5000 {
        blocks.interface(&interface);
    }
    let host = FakeHost::answering("cat stream; cat").with("stream", &blocks.take());
    assert!(host.complaint_of_capture().contains("it tells more and more interfaces"));
}

#[test]
fn a_flood_on_standard_error_is_the_end() {
    let host = FakeHost::answering("cat stream; yes >&2").with("stream", &begin("x"));
    let said = host.complaint_of_capture();
    assert!(said.contains("floods its standard error"), "{said}");
    assert!(said.lines().count() < 200, "{} lines", said.lines().count());
}

#[test]
fn a_stall_is_the_end() {
    let begun = Instant::now();
    let host = FakeHost::answering("cat stream; exec sleep 600").with("stream", &begin("x"));
    let said = host.complaint_of_capture();
    assert!(said.contains("nothing came from it for 10 seconds"), "{said}");
    assert!(begun.elapsed().as_secs() >= 10);
}
