//! `--extcap-capture-filter` without `--capture`: is it valid? Asked at each keystroke.

use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use containerdump::capture;
use containerdump::safe_text::SafeText;

/// For a name in a filter that must be looked up: the window stands still meanwhile.
const DEADLINE: Duration = Duration::from_millis(300);

/// Longest text against a filter, in characters; libpcap's own are shorter (`PCAP_ERRBUF_SIZE`).
const LONGEST_OBJECTION: usize = 256;

/// Prints libpcap's objection, or nothing. A status other than 0 means that it cannot be told.
pub(super) fn answer(filter: String) -> ExitCode {
    let (sender, receiver) = mpsc::channel();
    let check = move || {
        // Nobody listens any more when it took too long.
        let _ = sender.send(capture::objection(&filter));
    };
    if std::thread::Builder::new().spawn(check).is_err() {
        return ExitCode::FAILURE;
    }
    match receiver.recv_timeout(DEADLINE) {
        Ok(objection) => {
            // libpcap repeats words of the filter, whatever they are made of.
            let objection = objection.map(|text| SafeText::with_limit(&text, LONGEST_OBJECTION));
            super::print(&objection.into_iter().collect::<Vec<_>>());
            ExitCode::SUCCESS
        }
        Err(_) => ExitCode::FAILURE,
    }
}
