//! How long requests to engines may take.

use std::time::Duration;

use crate::container::endpoint::Endpoint;

/// Timeouts of one listing.
#[derive(Clone, Copy, Debug)]
pub struct EngineTimeouts {
    local: Duration,
    /// For engines reached over SSH, where a connection comes first and the user may type a passphrase.
    ssh: Duration,
}

impl EngineTimeouts {
    /// For Wireshark's interface list: its window opens afterwards, and no passphrase can be requested.
    pub const INTERFACE_LIST: Self = Self { local: LIST_TIMEOUT, ssh: LIST_TIMEOUT };
    /// For a list on the command line.
    pub const COMMAND_LINE: Self = Self { local: LIST_TIMEOUT, ssh: SSH_TIMEOUT };
    /// For the start of a capture: a busy engine is waited for longer.
    pub const CAPTURE: Self = Self { local: Duration::from_secs(5), ssh: SSH_TIMEOUT };

    pub(super) fn for_endpoint(self, endpoint: &Endpoint) -> Duration {
        match endpoint {
            Endpoint::Ssh { .. } => self.ssh,
            Endpoint::Unix(_) | Endpoint::Tcp(_) | Endpoint::Tls { .. } | Endpoint::Kernel(_) => self.local,
        }
    }
}

/// For a list of an engine that is not busy.
pub(super) const LIST_TIMEOUT: Duration = Duration::from_millis(1500);
/// `ssh` itself gives up earlier (`ConnectTimeout`), unless the user is typing.
const SSH_TIMEOUT: Duration = Duration::from_mins(2);
/// For inspecting one container.
pub(super) const INSPECT_TIMEOUT: Duration = Duration::from_secs(5);
