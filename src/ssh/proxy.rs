//! Why a jump host or proxy command did not lead to a host. OpenSSH discards what they print on standard error where it keeps
//! a connection for later (`ControlPersist`), so the failed connection is made once more without that.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::asking::no_questions;
use super::failure::{self, known};
use super::settings::Settings;
use super::{Host, Said};
use crate::error::Error;
use crate::safe_text::SafeText;

const TIMEOUT: Duration = Duration::from_secs(8);
const STDERR_TIMEOUT: Duration = Duration::from_secs(1);
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// What `ssh` prints where a proxy ended before the host's first word.
const ENDED: [&str; 3] = ["kex_exchange_identification: ", "banner exchange: ", "UNKNOWN port 65535"];
/// The jump host accepted the login, and could not reach the host.
const FORWARDING_FAILED: &str = "stdio forwarding failed";

/// The error of a connection to `host` where a proxy of it failed; `None` where it has none, or `said` shows another reason.
pub(super) fn failed(host: &Host, said: &str) -> Option<Error> {
    if !ENDED.iter().any(|words| said.contains(words)) {
        return None;
    }
    let Settings { proxy_jump, has_proxy_command, .. } = Settings::read(host);
    if proxy_jump.is_none() && !has_proxy_command {
        return None;
    }
    let said = connect_again(host);
    if said.contains(FORWARDING_FAILED) {
        let why = known(&said).map_or("the jump host cannot reach it", |(why, ..)| why);
        let remedy = format!("see that this works: {}", failure::command(host));
        return Some(failure::cannot_connect(host, why, &remedy));
    }
    if let Some(jump) = proxy_jump {
        return Some(by_jump_host(host, &jump, &said));
    }
    let own = said.lines().find(|line| !ENDED.iter().any(|words| line.contains(words)));
    let why = SafeText::with_limit(own.unwrap_or("it does not say why"), 200);
    let remedy = format!("see that this works: {}", failure::command(host));
    Some(Error::new(format!("cannot connect to {host} through its proxy command: {why}"), remedy))
}

fn by_jump_host(host: &Host, jump: &str, said: &str) -> Error {
    // Of several, the one that refused the login is named in that line.
    let refused = said.lines().find_map(|line| Some(line.split_once(": Permission denied (")?.0));
    let jump = SafeText::new(refused.filter(|_| jump.contains(',')).unwrap_or(jump));
    let (why, remedy, _) = known(said).unwrap_or(("it closed the connection", "", None));
    let command = format!("ssh {}{jump}", if jump.as_str().contains(':') { "ssh://" } else { "" });
    let remedy = if remedy.contains("{ssh}") { remedy } else { "see that this works: {ssh}" };
    let remedy = remedy.replace("{ssh}", &command).replace("{name}", jump.as_str());
    Error::new(format!("cannot connect to {host} through jump host {jump}: {why}"), remedy)
}

/// What `ssh` and its proxies print; they ask for nothing.
fn connect_again(host: &Host) -> String {
    let mut ssh = Command::new("ssh");
    ssh.arg("-T").envs(no_questions());
    for option in
        ["ControlMaster=no", "ControlPath=none", "BatchMode=yes", "ConnectTimeout=5", "LogLevel=ERROR"]
    {
        ssh.args(["-o", option]);
    }
    ssh.args(host.way().arguments()).args(host.login_arguments()).args(["--", host.name(), "true"]);
    ssh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let Ok(mut child) = ssh.spawn() else { return String::new() };
    let until = Instant::now() + TIMEOUT;
    let said = child.stderr.take().and_then(|stderr| Said::read(stderr, || {}).ok());
    while matches!(child.try_wait(), Ok(None)) && Instant::now() < until {
        std::thread::sleep(POLL_INTERVAL);
    }
    let _ = child.kill();
    let _ = child.wait();
    said.map(|mut said| {
        said.wait(STDERR_TIMEOUT);
        said.last()
    })
    .unwrap_or_default()
}
