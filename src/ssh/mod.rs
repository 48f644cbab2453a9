//! Other hosts, reached through the user's OpenSSH client. The only place that starts `ssh`.
//!
//! ```text
//! SshConnection ── ssh: keys, agent, jump hosts and known_hosts are the user's ──> one master process per host
//!   SshSession  ── a constant command ──> containerdump on that host: installed, or uploaded (`deploy`)
//!               ── one request line ──>
//!               <── hello line, then the answer ──
//! ```
//!
//! Data from other hosts is hostile: it is bounded, and becomes [`crate::safe_text::SafeText`] or is parsed by
//! [`crate::peer`].

mod ciphers;
mod config;
mod connection;
pub(crate) mod deploy;
mod diagnosis;
mod dial;
mod errors;
mod host;
mod key;
mod lines;
mod options;
pub(crate) mod probe;
mod prompt;
mod proxy;
mod session;
mod socket_dir;
mod stderr;
pub(crate) mod tcpdump;

pub use connection::{ConnectOptions, ConnectionEvent, SshConnection};
pub use dial::{StdioConnection, disable_prompts};
pub use host::{Elevation, Host};
pub use key::check_key;
pub use options::SshOptions;
pub use probe::{InstalledProgram, Probe};
pub use prompt::PromptMode;
pub use session::SshSession;
pub use stderr::RemoteStderr;
pub use tcpdump::{TcpdumpCapture, is_routine_output};
