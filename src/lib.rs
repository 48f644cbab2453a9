//! From a container to a pcapng stream.
//!
//! ```text
//! engine      container        link              capture      pcapng          session
//! runs     -> name, networks -> namespace,    -> packets,  -> interfaces,  -> one stream, ordered
//! containers  addresses         host veths       directions   packets, drops  by time, to an output
//! ```
//!
//! `tap` chooses where to capture and opens the rings; `privilege` defines the order of dropping capabilities.
//!
//! Wireshark's extcap interface and the command line are in `extcap/`.

pub mod broker;
pub mod capture;
pub mod child;
pub mod container;
pub mod engine;
pub mod error;
pub mod follow;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod link;
pub mod own_program;
pub mod own_traffic;
mod parallel;
mod passwd;
pub mod pcapng;
pub mod peer;
pub mod privilege;
mod proc_file;
pub mod request;
pub mod safe_text;
pub mod sandbox;
pub mod saved_hosts;
pub mod session;
pub mod settings_file;
pub mod ssh;
pub mod static_program;
pub mod stop;
pub mod tap;
pub mod user_dirs;
pub mod waker;

/// The program and its version, as in the section header of its captures.
pub const PROGRAM_AND_VERSION: &str = concat!("containerdump ", env!("CARGO_PKG_VERSION"));
