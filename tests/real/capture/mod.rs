//! One capture: what is in it, how it ends, and what it may do.

use crate::support::harness::Test;

pub(crate) mod address_names;
pub(crate) mod limits;
pub(crate) mod log_file;
pub(crate) mod many_containers;
pub(crate) mod own_traffic;
pub(crate) mod packets;
pub(crate) mod privileges;
pub(crate) mod slow_reader;
pub(crate) mod static_program;
pub(crate) mod stop;
pub(crate) mod sudo_and_doas;

/// The tests of every file here.
pub(crate) const TESTS: &[&[Test]] = &[
    address_names::TESTS,
    limits::TESTS,
    log_file::TESTS,
    many_containers::TESTS,
    own_traffic::TESTS,
    packets::TESTS,
    privileges::TESTS,
    slow_reader::TESTS,
    stop::TESTS,
    sudo_and_doas::TESTS,
];
