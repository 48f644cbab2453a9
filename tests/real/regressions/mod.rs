//! Regressions: what users of similar tools reported. The first line of each test names the report (tracker and number),
//! or the symptom.

mod command_line;
mod container_selection;
mod dialog_options;
mod drop_counts;
mod early_failures;
mod engine_addresses;
mod interface_list;
mod login_shells;
mod marked_interfaces;
mod output_files;
pub(crate) mod readme_install;
mod repeated_names;
mod window_early_failures;

use crate::real::wireshark::window::WindowTest;
use crate::support::harness::Test;

/// Those that run in the window of each version of Wireshark.
pub(crate) const WINDOW_TESTS: &[&[WindowTest]] = &[
    interface_list::WINDOW_TESTS,
    dialog_options::WINDOW_TESTS,
    marked_interfaces::WINDOW_TESTS,
    window_early_failures::TESTS,
];

/// The tests of every file here.
pub(crate) const TESTS: &[&[Test]] = &[
    command_line::TESTS,
    container_selection::TESTS,
    engine_addresses::TESTS,
    output_files::TESTS,
    interface_list::TESTS,
    drop_counts::TESTS,
    repeated_names::TESTS,
    dialog_options::TESTS,
    marked_interfaces::TESTS,
    login_shells::TESTS,
    early_failures::TESTS,
];
