//! The same program on other hosts, by the user's own `ssh`. The only place that starts it.
//!
//! ```text
//! [`Connection`] ── ssh, once per host: keys, agent, jumps and known hosts are the user's ──> master
//!   [`Session`]  ── over that: a fixed command, never text of anybody's ──> containerdump far, there: installed, or
//!                                                                          sent and run from a private folder
//!                ── the request, one line ──>
//!                <── "containerdump-peer 1 VERSION", then what was asked for ──
//! ```
//!
//! Nothing that comes from there is trusted: what it says is bounded and made a [`crate::safe_text::SafeText`],
//! packets go through [`crate::peer`].

mod asking;
mod connection;
mod dial;
mod failure;
mod fallback;
mod folder;
mod gain;
mod host;
mod key;
mod lines;
mod place;
mod probe;
mod proxy;
mod said;
mod savefile;
mod sent;
mod session;
mod settings;
mod terms;
mod way;
mod ways;

pub use asking::Asking;
pub use connection::Connection;
pub use dial::{Dialled, ask_nobody};
pub use fallback::{Plain, is_routine};
pub use gain::Gain;
pub use host::Host;
pub use key::check_key;
pub use probe::{Installed, Probe};
pub use said::Said;
pub use session::Session;
pub use terms::{Notice, Terms};
pub use way::Way;
