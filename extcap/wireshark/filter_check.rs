//! `--extcap-capture-filter` without `--capture`: checks a capture filter, at each keystroke.

use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use containerdump::capture;
use containerdump::safe_text::SafeText;

/// How long a name in a filter may take to resolve: Wireshark's window is blocked meanwhile.
const CHECK_TIMEOUT: Duration = Duration::from_millis(300);
/// Characters of an error message; those of libpcap are shorter (`PCAP_ERRBUF_SIZE`).
const MAX_FILTER_ERROR_LEN: usize = 256;

/// Prints libpcap's error message, or nothing for a valid filter. A status other than 0 means that it is unknown whether
/// the filter is valid.
pub(super) fn run(filter: String) -> ExitCode {
    let (sender, receiver) = mpsc::channel();
    let check = move || {
        // After the timeout, there is no receiver.
        let _ = sender.send(capture::filter_syntax_error(&filter));
    };
    if std::thread::Builder::new().spawn(check).is_err() {
        return ExitCode::FAILURE;
    }
    match receiver.recv_timeout(CHECK_TIMEOUT) {
        Ok(message) => {
            // libpcap repeats parts of the filter as they are.
            let message = message.map(|text| SafeText::with_limit(&text, MAX_FILTER_ERROR_LEN));
            super::print(&message.into_iter().collect::<Vec<_>>());
            ExitCode::SUCCESS
        }
        Err(_) => ExitCode::FAILURE,
    }
}
