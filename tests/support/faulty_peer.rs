//! A process that writes streams no tap writes.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use containerdump::capture::{self, Direction};
use containerdump::pcapng::{self, BlockWriter, InterfaceDescription, InterfaceStatistics};
use containerdump::safe_text::SafeText;

/// The argument that makes this test program a faulty peer.
pub(crate) const FAR_END: &str = "far-end";

/// Writes an endless stream: a packet every 20 ms by a clock that is `kind` hours off, or `statistics` or `packets` at
/// full speed.
pub(crate) fn write(kind: &str) -> ExitCode {
    let interface = InterfaceDescription {
        name: SafeText::new("far"),
        description: SafeText::new("far"),
        hardware_address: None,
        filter: None,
        snap_length: 65_535,
        link_type: 1,
    };
    let mut blocks = BlockWriter::begin_section();
    blocks.add_interface(&interface);
    let mut statistics = || {
        blocks.add_statistics(0, InterfaceStatistics { written: 1, ..InterfaceStatistics::default() }, 1, 2);
        blocks.take()
    };
    let packet = |off: i64| {
        let mut bytes = Vec::new();
        let time = capture::now().saturating_add_signed(off);
        pcapng::append_packet(&mut bytes, 0, Direction::Inbound, time, 60, &[7; 60]);
        bytes
    };
    let mut stdout = std::io::stdout();
    let mut send = |bytes: &[u8]| stdout.write_all(bytes).and_then(|()| stdout.flush()).is_ok();
    send(&statistics());
    match kind {
        "statistics" => while send(&statistics().repeat(1000)) {},
        "packets" => while send(&packet(0).repeat(1000)) {},
        hours => {
            let off = hours.parse::<i64>().expect("hours") * 3_600_000_000_000;
            while send(&packet(off)) {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
    ExitCode::SUCCESS
}

pub(crate) fn far_end(kind: &str) -> Vec<String> {
    let program = std::env::current_exe().expect("this program");
    vec![program.to_str().expect("a path").to_owned(), FAR_END.to_owned(), kind.to_owned()]
}
