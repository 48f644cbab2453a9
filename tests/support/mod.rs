//! What tests and benches of this program are made of: engines, hosts, programs, and readers of what they write.

#![allow(dead_code, unused_imports, reason = "each test binary uses a part of it")]

pub(crate) mod fake_engine;
pub(crate) mod fake_host;
pub(crate) mod fifo;
pub(crate) mod lab;
pub(crate) mod local_session;
pub(crate) mod namespaces;
pub(crate) mod other_host;
pub(crate) mod peer_stream;
pub(crate) mod program;
pub(crate) mod recording;
pub(crate) mod ssh_host;
pub(crate) mod toolbar_pipes;
pub(crate) mod unprivileged;
pub(crate) mod watcher;
