//! Networks of containers: host, namespaces with and without a veth, and how new ones are found.

use crate::support::harness::Test;

pub(crate) mod host_network;
pub(crate) mod inside_namespace;
pub(crate) mod link_monitor;
pub(crate) mod named_namespaces;
pub(crate) mod shared_namespace;

/// The tests of every file here.
pub(crate) const TESTS: &[&[Test]] = &[
    host_network::TESTS,
    inside_namespace::TESTS,
    link_monitor::TESTS,
    named_namespaces::TESTS,
    shared_namespace::TESTS,
];
