//! Taps: which one is used, `containerdump tap`, and tap containers.

use crate::support::harness::Test;

pub(crate) mod choice;
pub(crate) mod command;
pub(crate) mod container_end;
pub(crate) mod container_rights;
pub(crate) mod container_stream;
pub(crate) mod per_user;

/// The tests of every file here.
pub(crate) const TESTS: &[&[Test]] = &[choice::TESTS, command::TESTS, per_user::TESTS];
