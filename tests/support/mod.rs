//! What tests and benches of this program are made of: engines, hosts, programs, and readers of what they write.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod analyst;
pub(crate) mod certificates;
pub(crate) mod desktop;
pub(crate) mod engine_proxy;
pub(crate) mod extcap_capture;
pub(crate) mod fake_engine;
pub(crate) mod fake_host;
pub(crate) mod faulty_peer;
pub(crate) mod fifo;
pub(crate) mod fifo_capture;
pub(crate) mod following;
pub(crate) mod frames;
pub(crate) mod harness;
pub(crate) mod lab;
pub(crate) mod list_output;
pub(crate) mod local_session;
pub(crate) mod namespaces;
pub(crate) mod other_host;
pub(crate) mod packet_bytes;
pub(crate) mod peer_session;
pub(crate) mod peer_stream;
pub(crate) mod podman;
pub(crate) mod processes;
pub(crate) mod program;
pub(crate) mod recording;
pub(crate) mod retry;
pub(crate) mod rootless;
pub(crate) mod ssh_host;
pub(crate) mod sshd;
pub(crate) mod tap_container;
pub(crate) mod tcp_relay;
pub(crate) mod tcpdump;
pub(crate) mod toolbar_pipes;
pub(crate) mod traffic;
pub(crate) mod unprivileged;
pub(crate) mod user_kinds;
pub(crate) mod watcher;
pub(crate) mod wireshark;
