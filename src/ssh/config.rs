//! The SSH configuration of a host, as `ssh -G` prints it.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::Host;
use crate::child::{ChildOutput, spawn_unprivileged, wait_or_kill};

/// `Match exec` in the configuration may run commands.
const CONFIG_TIMEOUT: Duration = Duration::from_secs(3);
/// A few kilobytes are usual. They have to fit into a pipe.
const MAX_CONFIG_LEN: usize = 64 * 1024;

/// Options of `ssh` for one host.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SshConfig {
    pub(super) port: Option<u16>,
    pub(super) identity_files: Vec<PathBuf>,
    /// Jump hosts as written: `ann@jump1,jump2`.
    pub(super) proxy_jump: Option<String>,
    pub(super) has_proxy_command: bool,
    /// In order, separated by commas.
    pub(super) ciphers: Option<String>,
}

impl SshConfig {
    /// Reads the configuration for `host`; empty if `ssh` does not print it in time.
    pub(super) fn read(host: &Host) -> Self {
        let mut ssh = Command::new("ssh");
        ssh.arg("-G")
            .args(host.options().to_arguments())
            .args(host.login_arguments())
            .args(["--", host.name()]);
        ssh.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let Ok(mut child) = spawn_unprivileged(&mut ssh) else { return Self::default() };
        let has_exited = wait_or_kill(&mut child, CONFIG_TIMEOUT).is_some();
        let stdout = child.stdout.filter(|_| has_exited);
        let output = stdout.and_then(|stdout| ChildOutput::new(stdout, MAX_CONFIG_LEN).ok());
        output.map_or_else(Self::default, |mut output| Self::parse(&String::from_utf8_lossy(output.read())))
    }

    fn parse(output: &str) -> Self {
        let values = |keyword: &'static str| {
            output.lines().filter_map(move |line| Some(line.strip_prefix(keyword)?.strip_prefix(' ')?.trim()))
        };
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        let path =
            |text: &str| text.strip_prefix("~/").map_or_else(|| PathBuf::from(text), |rest| home.join(rest));
        Self {
            port: values("port").find_map(|port| port.parse().ok()),
            identity_files: values("identityfile").map(path).collect(),
            proxy_jump: values("proxyjump").find(|jump| *jump != "none").map(str::to_owned),
            has_proxy_command: values("proxycommand").any(|command| command != "none"),
            ciphers: values("ciphers").next().map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_of_ssh_g_is_parsed() {
        let output =
            "host build1\nport 2222\nidentityfile /k/a b\nidentityfile /k/c\nproxyjump ann@jump1,jump2\n";
        let config = SshConfig::parse(output);
        assert_eq!(config.port, Some(2222));
        assert_eq!(config.identity_files, ["/k/a b", "/k/c"].map(PathBuf::from));
        assert_eq!(config.proxy_jump.as_deref(), Some("ann@jump1,jump2"));
        assert_eq!(SshConfig::parse("proxyjump none\nport x\n"), SshConfig::default());
    }
}
