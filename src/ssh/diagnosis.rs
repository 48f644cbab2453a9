//! Why a connection failed, from what `ssh` printed, key files and proxies.

use super::errors::{self, OpensshError};
use super::key::UnusableKey;
use super::{Host, proxy};
use crate::error::Error;
use crate::safe_text::SafeText;

/// The error of a connection to `host` for which `ssh` printed `stderr`; `can_prompt` is set if it could ask for a
/// passphrase.
pub(super) fn connection_error(host: &Host, can_prompt: bool, stderr: &str) -> Error {
    if let Some(error) = proxy::connection_error(host, stderr) {
        return error;
    }
    if stderr.contains("Permission denied (")
        && let Some(key) = UnusableKey::find(host, can_prompt)
    {
        return key.into_error(host);
    }
    let Some(OpensshError { cause, remedy, wireshark_remedy, .. }) = OpensshError::find(stderr) else {
        let last = SafeText::with_limit(stderr.lines().last().unwrap_or("ssh printed no reason"), 200);
        return errors::cannot_connect(host, last.as_str(), &errors::check_ssh(host));
    };
    let expand = |text: &str| {
        text.replace("{ssh}", &errors::ssh_command(host)).replace("{name}", &known_hosts_name(host))
    };
    let error = errors::cannot_connect(host, cause, &expand(remedy));
    match wireshark_remedy {
        Some(text) => error.with_wireshark_remedy(expand(text)),
        None => error,
    }
}

/// The name of `host` in `known_hosts` (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).
fn known_hosts_name(host: &Host) -> String {
    match host.port() {
        None | Some(22) => host.name().to_owned(),
        Some(port) => format!("'[{}]:{port}'", host.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(stderr: &str) -> Error {
        connection_error(&"ann@build1:22".parse().expect("a host"), true, stderr)
    }

    #[test]
    fn known_openssh_errors_get_a_remedy() {
        let changed = "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.";
        let shown = error(changed).to_string();
        assert!(shown.contains("ann@build1:22: its host key has changed.\nRemedy: "), "{shown}");
        let compare = "(ssh-keygen -R build1), then connect and compare the new one: ssh -p 22 ann@build1.";
        assert!(shown.contains(compare), "{shown}");
        assert!(error("Host key verification failed.").to_string().contains("is not known"));
        assert!(error("ann@build1: Permission denied (publickey).").to_string().contains("ssh-add"));
    }

    #[test]
    fn wireshark_remedies_name_fields_of_the_dialog() {
        let refused = error("ssh: connect to host build1 port 22: Connection refused");
        assert!(!refused.to_string().contains('*'));
        assert!(refused.for_wireshark().to_string().contains("*Remote SSH server port*"));
        let denied = error("ann@build1: Permission denied (publickey).").for_wireshark().to_string();
        assert!(denied.contains("login refused (no key was accepted)"));
    }

    #[test]
    fn unknown_openssh_errors_are_quoted() {
        let unknown = error("one\nodd \u{1b}[2J").to_string();
        assert!(unknown.starts_with("cannot connect to ann@build1:22: odd \u{FFFD}[2J.\n"), "{unknown}");
        let empty = error("").to_string();
        assert!(empty.starts_with("cannot connect to ann@build1:22: ssh printed no reason.\n"), "{empty}");
    }
}
