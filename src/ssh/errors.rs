//! Errors of connections and of programs on other hosts, with their remedies.

use super::{Elevation, Host};
use crate::error::Error;
use crate::safe_text::SafeText;

pub(super) const INSTALL_REMEDY: &str = "install it on the host, in a folder of PATH: make install";
const MAX_QUOTED_LEN: usize = 200;

/// What OpenSSH prints, which is not translated, and what it means. `{ssh}` stands for the command that connects,
/// `{name}` for the name in `known_hosts`.
pub(super) struct OpensshError {
    pattern: &'static str,
    pub(super) cause: &'static str,
    pub(super) remedy: &'static str,
    pub(super) wireshark_remedy: Option<&'static str>,
}

const CHECK_SERVER_LOG: &str = "check that this works: {ssh}; see also the log of sshd on that host";

/// The first that matches applies.
const OPENSSH_ERRORS: [OpensshError; 15] = [
    OpensshError::new(
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its host key has changed",
        "find out why: another machine may answer at this address. If the key was changed on purpose, remove the \
         old one (ssh-keygen -R {name}), then connect and compare the new one: {ssh}",
    ),
    OpensshError::new(
        "Host key verification failed",
        "its host key is not known",
        "connect once in a terminal and compare the fingerprint: {ssh}",
    )
    .in_wireshark(
        "connect once in a terminal and compare the fingerprint: {ssh}; Wireshark can ask only if ssh-askpass is \
         installed",
    ),
    OpensshError::new(
        "UNPROTECTED PRIVATE KEY FILE",
        "ssh refuses a key file that other users can read",
        "chmod 600 the key file that this command names: {ssh}",
    ),
    OpensshError::new(
        "Permission denied (",
        "login refused (no key was accepted)",
        "check that this works: {ssh}; without a terminal, the key has to be in an agent (ssh-add) or have no passphrase",
    )
    .in_wireshark(
        "check *Remote SSH server username* and *Path to SSH private key*, and that this works: {ssh}",
    ),
    OpensshError::new(
        "Too many authentication failures",
        "login refused (too many keys were tried)",
        "name the key: IdentityFile and IdentitiesOnly in ~/.ssh/config, or containerdump host add --key",
    )
    .in_wireshark("choose *Path to SSH private key*"),
    OpensshError::new(
        "Connection refused",
        "nothing listens on that port",
        "check that sshd runs on the host, and on which port: --host NAME:PORT",
    )
    .in_wireshark("check that sshd runs on the host, and *Remote SSH server port*"),
    OpensshError::new(
        "No route to host",
        "no route to that host",
        "check that it runs and can be reached: {ssh}",
    ),
    OpensshError::new(
        "Network is unreachable",
        "no route to that network",
        "check the network of this machine: ip route",
    ),
    OpensshError::new("timed out", "connection timed out", "check that it runs and can be reached: {ssh}"),
    OpensshError::new(
        "Could not resolve hostname",
        "unknown host name",
        "check the name, and ~/.ssh/config",
    )
    .in_wireshark("check *Remote SSH server address*, and ~/.ssh/config"),
    OpensshError::new(
        "Bad owner or permissions",
        "ssh refuses a configuration file that other users can write to",
        "chmod 600 ~/.ssh/config",
    ),
    OpensshError::new(
        "Unable to negotiate",
        "it offers no algorithm that ssh accepts",
        "check the output of: {ssh}",
    ),
    OpensshError::new("Connection closed by", "it closed the connection", CHECK_SERVER_LOG),
    OpensshError::new("Connection reset by", "it reset the connection", CHECK_SERVER_LOG),
    OpensshError::new("remote host", "it closed the connection", CHECK_SERVER_LOG),
];

impl OpensshError {
    const fn new(pattern: &'static str, cause: &'static str, remedy: &'static str) -> Self {
        Self { pattern, cause, remedy, wireshark_remedy: None }
    }

    /// Sets the remedy that Wireshark shows instead.
    const fn in_wireshark(self, remedy: &'static str) -> Self {
        Self { wireshark_remedy: Some(remedy), ..self }
    }

    /// The meaning of what `ssh` printed.
    pub(super) fn find(stderr: &str) -> Option<&'static Self> {
        OPENSSH_ERRORS.iter().find(|known| stderr.contains(known.pattern))
    }
}

pub(super) fn cannot_connect(host: &Host, cause: &str, remedy: &str) -> Error {
    Error::new(format!("cannot connect to {host}: {cause}"), remedy)
}

pub(super) fn cannot_start_ssh(host: &Host, error: &std::io::Error) -> Error {
    cannot_connect(
        host,
        &format!("cannot start ssh: {error}"),
        "check that ssh is installed (Debian: openssh-client) and can be started",
    )
}

/// The command that connects to `host` by hand.
pub(super) fn ssh_command(host: &Host) -> String {
    let options = host.options().to_arguments();
    let options: Vec<String> =
        options.iter().map(|argument| format!(" {}", shell_quoted(argument))).collect();
    let options = options.concat();
    let user = host.user().map(|user| format!("{user}@")).unwrap_or_default();
    let port = host.port().map(|port| format!(" -p {port}")).unwrap_or_default();
    format!("ssh{options}{port} {user}{}", host.name())
}

/// The remedy to try that command.
pub(super) fn check_ssh(host: &Host) -> String {
    format!("check that this works: {}", ssh_command(host))
}

fn shell_quoted(argument: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-~+=:@%,".contains(&byte);
    if argument.bytes().all(is_plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}

/// The remote program ended with nothing but `stderr`.
pub(super) fn program_failed(host: &Host, stderr: &str) -> Error {
    let last = stderr.lines().last().unwrap_or_default();
    let refused = [Elevation::Sudo, Elevation::Doas]
        .into_iter()
        .find(|elevation| last.starts_with(&format!("{elevation}: ")));
    if let Some(elevation) = refused {
        let check = format!("check that this needs no password: {} {elevation} -n true", ssh_command(host));
        return Error::new(
            format!(
                "containerdump cannot become root on {host}: {}",
                SafeText::with_limit(last, MAX_QUOTED_LEN)
            ),
            format!("{check}; or omit --{elevation}: root and members of the engine's group do not need it"),
        )
        .with_wireshark_remedy(format!("{check}; or choose none as *Gain capture privilege*"));
    }
    let error = Error::new(
        format!("containerdump on {host} ended unexpectedly"),
        format!("{} containerdump list", check_ssh(host)),
    );
    error.reported_by(&format!("on {host}"), stderr)
}

/// The command that leads to an engine on `host` failed with `stderr`.
pub(super) fn engine_command_failed(host: &Host, stderr: &str) -> Error {
    let last = SafeText::with_limit(stderr.lines().last().unwrap_or("unknown reason"), MAX_QUOTED_LEN);
    Error::new(
        format!("on {host}: {last}"),
        format!("check that an engine runs on that host: {} docker version", ssh_command(host)),
    )
}

/// The connection to `host` was lost; `stderr` is that of `ssh`.
pub(super) fn connection_lost(host: &Host, stderr: &str) -> Error {
    let cause = stderr.lines().last().map(|line| format!(": {}", SafeText::with_limit(line, MAX_QUOTED_LEN)));
    Error::new(
        format!("the connection to {host} ended{}", cause.unwrap_or_default()),
        format!("check that it runs and can be reached: {}", ssh_command(host)),
    )
}

/// The program on `host` uses another protocol.
pub(super) fn incompatible_version(host: &Host, version: &SafeText) -> Error {
    Error::new(
        format!("containerdump {version} on {host} is incompatible with this version"),
        format!("install the same version on both: {}", env!("CARGO_PKG_VERSION")),
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::ssh::SshOptions;

    #[test]
    fn ssh_command_contains_the_quoted_key() {
        let options = SshOptions::new(Some(Path::new("/home/ann/it's a key")), None).expect("options");
        let host = "ann@build1:22".parse::<Host>().expect("a host").with_options(options);
        assert_eq!(
            ssh_command(&host),
            r"ssh -i '/home/ann/it'\''s a key' -o IdentitiesOnly=yes -p 22 ann@build1"
        );
    }

    #[test]
    fn refused_elevation_has_a_remedy() {
        let error = |stderr: &str| program_failed(&"ann@build1".parse().expect("a host"), stderr).to_string();
        assert!(error("sudo: a password is required").contains(
            "on ann@build1: sudo: a password is required.\nRemedy: check that this needs no password: \
             ssh ann@build1 sudo -n true;"
        ));
        assert!(error("doas: Operation not permitted").contains("or omit --doas"));
        assert!(error("sudoku").contains("ended unexpectedly: sudoku"));
    }
}
