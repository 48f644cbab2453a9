//! The user's settings for a host, as `ssh -G` prints them.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::Host;

/// `Match exec` of the settings may run commands.
const TIMEOUT: Duration = Duration::from_secs(3);
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Settings of `ssh` for a host.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    /// The port of the SSH server.
    pub(super) port: Option<u16>,
    /// Key files that are tried.
    pub(super) identity_files: Vec<PathBuf>,
    /// Jump hosts, as they are written: `ann@jump1,jump2`.
    pub(super) proxy_jump: Option<String>,
    /// Whether a command leads to the host.
    pub(super) has_proxy_command: bool,
}

impl Settings {
    /// Those for `host`; empty where `ssh` does not print them in time.
    pub(super) fn read(host: &Host) -> Self {
        let mut ssh = Command::new("ssh");
        ssh.arg("-G").args(host.way().arguments()).args(host.login_arguments()).args(["--", host.name()]);
        ssh.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let Ok(mut child) = ssh.spawn() else { return Self::default() };
        let until = Instant::now() + TIMEOUT;
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < until {
            std::thread::sleep(POLL_INTERVAL);
        }
        let has_ended = matches!(child.try_wait(), Ok(Some(_)));
        let _ = child.kill();
        let _ = child.wait();
        let mut printed = String::new();
        if let Some(mut stdout) = child.stdout.filter(|_| has_ended) {
            // They fit into the pipe: a few kilobytes.
            let _ = stdout.read_to_string(&mut printed);
        }
        Self::parse(&printed)
    }

    fn parse(printed: &str) -> Self {
        let all = |word: &'static str| {
            printed.lines().filter_map(move |line| Some(line.strip_prefix(word)?.strip_prefix(' ')?.trim()))
        };
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        let path =
            |text: &str| text.strip_prefix("~/").map_or_else(|| PathBuf::from(text), |rest| home.join(rest));
        Self {
            port: all("port").find_map(|port| port.parse().ok()),
            identity_files: all("identityfile").map(path).collect(),
            proxy_jump: all("proxyjump").find(|jump| *jump != "none").map(str::to_owned),
            has_proxy_command: all("proxycommand").any(|command| command != "none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_ssh_prints_them() {
        let printed =
            "host build1\nport 2222\nidentityfile /k/a b\nidentityfile /k/c\nproxyjump ann@jump1,jump2\n";
        let settings = Settings::parse(printed);
        assert_eq!(settings.port, Some(2222));
        assert_eq!(settings.identity_files, ["/k/a b", "/k/c"].map(PathBuf::from));
        assert_eq!(settings.proxy_jump.as_deref(), Some("ann@jump1,jump2"));
        assert_eq!(Settings::parse("proxyjump none\nport x\n"), Settings::default());
    }
}
