//! Why a jump host or proxy command failed. With `ControlPersist`, OpenSSH discards what they print on standard error,
//! so the failed connection is repeated without it.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::config::SshConfig;
use super::errors::{self, OpensshError};
use super::prompt::environment_without_prompts;
use super::{Host, RemoteStderr};
use crate::child::{spawn_unprivileged, wait_or_kill};
use crate::error::Error;
use crate::safe_text::SafeText;

const PROXY_TIMEOUT: Duration = Duration::from_secs(8);
const PROXY_STDERR_TIMEOUT: Duration = Duration::from_secs(1);
/// What `ssh` prints if a proxy ended before the host sent anything.
const PROXY_ENDED: [&str; 3] = ["kex_exchange_identification: ", "banner exchange: ", "UNKNOWN port 65535"];
/// The jump host accepted the login but cannot reach the host.
const FORWARDING_FAILED: &str = "stdio forwarding failed";

/// The error of a connection to `host` whose proxy failed. `None` if it has no proxy, or `stderr` shows another reason.
pub(super) fn connection_error(host: &Host, stderr: &str) -> Option<Error> {
    if !PROXY_ENDED.iter().any(|pattern| stderr.contains(pattern)) {
        return None;
    }
    let SshConfig { proxy_jump, has_proxy_command, .. } = SshConfig::read(host);
    if proxy_jump.is_none() && !has_proxy_command {
        return None;
    }
    let stderr = stderr_of_new_connection(host);
    if stderr.contains(FORWARDING_FAILED) {
        let cause = OpensshError::find(&stderr).map_or("the jump host cannot reach it", |known| known.cause);
        return Some(errors::cannot_connect(host, cause, &errors::check_ssh(host)));
    }
    if let Some(jump) = proxy_jump {
        return Some(jump_host_error(host, &jump, &stderr));
    }
    let own = stderr.lines().find(|line| !PROXY_ENDED.iter().any(|pattern| line.contains(pattern)));
    let cause = SafeText::with_limit(own.unwrap_or("it printed no reason"), 200);
    Some(Error::new(
        format!("cannot connect to {host} through its proxy command: {cause}"),
        errors::check_ssh(host),
    ))
}

fn jump_host_error(host: &Host, jump: &str, stderr: &str) -> Error {
    // Of several jump hosts, this line names the one that refused the login.
    let refused = stderr.lines().find_map(|line| Some(line.split_once(": Permission denied (")?.0));
    let jump = SafeText::new(refused.filter(|_| jump.contains(',')).unwrap_or(jump));
    let (cause, remedy) = OpensshError::find(stderr)
        .map_or(("it closed the connection", ""), |known| (known.cause, known.remedy));
    let command = format!("ssh {}{jump}", if jump.as_str().contains(':') { "ssh://" } else { "" });
    let remedy = if remedy.contains("{ssh}") { remedy } else { "check that this works: {ssh}" };
    let remedy = remedy.replace("{ssh}", &command).replace("{name}", jump.as_str());
    Error::new(format!("cannot connect to {host} through jump host {jump}: {cause}"), remedy)
}

/// Connects once more without prompts, and returns what `ssh` and its proxies print.
fn stderr_of_new_connection(host: &Host) -> String {
    let mut ssh = Command::new("ssh");
    ssh.arg("-T").envs(environment_without_prompts());
    for option in
        ["ControlMaster=no", "ControlPath=none", "BatchMode=yes", "ConnectTimeout=5", "LogLevel=ERROR"]
    {
        ssh.args(["-o", option]);
    }
    ssh.args(host.options().to_arguments()).args(host.login_arguments()).args(["--", host.name(), "true"]);
    ssh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let Ok(mut child) = spawn_unprivileged(&mut ssh) else { return String::new() };
    let stderr = child.stderr.take().and_then(|stderr| RemoteStderr::collect(stderr, || {}).ok());
    wait_or_kill(&mut child, PROXY_TIMEOUT);
    stderr.map_or_else(String::new, |mut stderr| {
        stderr.wait(PROXY_STDERR_TIMEOUT);
        stderr.last_lines()
    })
}
