//! Containers on another host, over a real OpenSSH server.

use crate::support::harness::Test;

pub(crate) mod compressed_capture;
pub(crate) mod elevation;
pub(crate) mod prompts;
pub(crate) mod remote_capture;
pub(crate) mod remote_dialog;
pub(crate) mod remote_list;
pub(crate) mod saved_host_capture;
pub(crate) mod saved_host_interfaces;
pub(crate) mod tcpdump_fallback;
pub(crate) mod upload;

/// The tests of every file here.
pub(crate) const TESTS: &[&[Test]] = &[
    compressed_capture::TESTS,
    elevation::TESTS,
    prompts::TESTS,
    remote_capture::TESTS,
    remote_dialog::TESTS,
    remote_list::TESTS,
    saved_host_capture::TESTS,
    saved_host_interfaces::TESTS,
    tcpdump_fallback::TESTS,
    upload::TESTS,
];
