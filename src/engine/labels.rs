//! Labels of our own images and containers in an engine.

/// Label of every tap container.
pub(super) const TAP: &str = "org.containerdump.tap";
/// Label of a tap container: id of the container that it captures.
pub(super) const TARGET: &str = "org.containerdump.target";
/// Label of an image: version of its program.
pub(super) const PROGRAM_VERSION: &str = "org.containerdump.version";
/// Label of an image: SHA-256 of its program.
pub(super) const PROGRAM_DIGEST: &str = "org.containerdump.digest";
