//! By which labels our own images and containers are known in an engine.

/// Label of every tap container.
pub(super) const TAP: &str = "org.containerdump.tap";
/// Label of a tap container with the id of the container whose packets it takes.
pub(super) const TARGET: &str = "org.containerdump.target";
/// Label of an image with the version of its program.
pub(super) const VERSION: &str = "org.containerdump.version";
/// Label of an image with the SHA-256 of its program.
pub(super) const DIGEST: &str = "org.containerdump.digest";
