//! What users of tools with the same job reported, one file a group. The first line of each test names the report
//! (tracker and number), or the symptom where there is none, so that later reports have a place.

mod command_line;
mod containers;
mod engines;
mod files;
pub(crate) mod install;
mod list;
mod loss;
mod names;
mod options;
mod several;
mod ssh;
mod window_answers;
mod window_failures;

use crate::Test;
use crate::window::WindowTest;

/// Those that run in the window of each version of Wireshark.
pub(crate) const WINDOW_TESTS: &[&[WindowTest]] =
    &[list::WINDOW_TESTS, options::WINDOW_TESTS, several::WINDOW_TESTS, window_answers::TESTS];

/// The tests of every group.
pub(crate) fn tests() -> Vec<Test> {
    [
        command_line::TESTS,
        containers::TESTS,
        engines::TESTS,
        files::TESTS,
        list::TESTS,
        loss::TESTS,
        names::TESTS,
        options::TESTS,
        several::TESTS,
        ssh::TESTS,
        window_failures::TESTS,
    ]
    .concat()
}
