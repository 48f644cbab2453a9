//! Why `ssh` failed, in our words. Its own words are those of OpenSSH, which are not translated.

use super::{Gain, Host};
use crate::text::Label;
use crate::trouble::Trouble;

/// What is said, what it means, and what to do; the first that fits. `SSH` stands for the command that
/// connects, `KEY` for the name its key is known by.
const KNOWN: [(&str, &str, &str); 11] = [
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its host key is not the one that is known",
        "find out why: something else may answer in its place. If its key was changed on purpose, forget the \
         old one (ssh-keygen -R KEY), then compare the new one: SSH",
    ),
    (
        "Host key verification failed",
        "its host key is not known",
        "connect once in a terminal and compare the fingerprint: SSH",
    ),
    (
        "Permission denied (",
        "it does not let you in",
        "see that this works: SSH; without a terminal to ask in, an agent must have the key (ssh-add)",
    ),
    ("Too many authentication failures", "it does not let you in", "name the key for it in ~/.ssh/config"),
    (
        "Connection refused",
        "nothing listens there",
        "see that sshd runs there, and on which port: --host NAME:PORT",
    ),
    ("No route to host", "there is no way to it", "see that it runs and can be reached: SSH"),
    ("Network is unreachable", "there is no way to it", "see that this machine has a network"),
    ("timed out", "it does not answer", "see that it runs and can be reached: SSH"),
    ("Could not resolve hostname", "there is no host of that name", "see its name, and ~/.ssh/config"),
    (
        "Bad owner or permissions",
        "ssh does not trust your settings, since others may change them",
        "chmod 600 ~/.ssh/config",
    ),
    (
        "Connection closed by",
        "it closed the connection",
        "see that this works: SSH; and the log of sshd there",
    ),
];

/// Why no connection to `host` came to be, where `ssh` `said` something.
pub(super) fn connecting(host: &Host, said: &str) -> Trouble {
    let of_host = |text: &str| text.replace("SSH", &command(host)).replace("KEY", &known_as(host));
    if let Some((_, why, remedy)) = KNOWN.iter().find(|(words, ..)| said.contains(words)) {
        return cannot_connect(host, why, &of_host(remedy));
    }
    let last = Label::with_limit(said.lines().last().unwrap_or("ssh did not say why"), 200);
    cannot_connect(host, last.as_str(), &of_host("see that this works: SSH"))
}

/// Why no connection to `host` came to be.
pub(super) fn cannot_connect(host: &Host, why: &str, remedy: &str) -> Trouble {
    Trouble::new(format!("cannot connect to {host}: {why}"), remedy)
}

/// What connects to `host` by hand.
pub(super) fn command(host: &Host) -> String {
    let user = host.user().map(|user| format!("{user}@")).unwrap_or_default();
    let port = host.port().map(|port| format!(" -p {port}")).unwrap_or_default();
    format!("ssh{port} {user}{}", host.name())
}

/// The name of `host` in known_hosts (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).
fn known_as(host: &Host) -> String {
    match host.port() {
        None | Some(22) => host.name().to_owned(),
        Some(port) => format!("'[{}]:{port}'", host.name()),
    }
}

/// What runs on `host` failed, and said no more than `said`.
pub(super) fn broke_off(host: &Host, said: &str) -> Trouble {
    let last = said.lines().last().unwrap_or_default();
    let refused = Gain::ALL.into_iter().find(|gain| last.starts_with(&format!("{}: ", gain.word())));
    if let Some(gain) = refused {
        let word = gain.word();
        return Trouble::new(
            format!("containerdump cannot become root on {host}: {}", Label::with_limit(last, 200)),
            format!(
                "see that this needs no password: {} {word} -n true; or leave --{word} out, which serves root and \
                 members of the engine's group",
                command(host)
            ),
        );
    }
    let broke_off = Trouble::new(
        format!("containerdump on {host} ended before it had done what was asked"),
        format!("see that this works: {} containerdump list", command(host)),
    );
    broke_off.explained(said)
}

/// Why what was started on `host` ended, where it `said` something.
pub(super) fn of_command(host: &Host, said: &str) -> Trouble {
    let last = Label::with_limit(said.lines().last().unwrap_or("it did not say why"), 200);
    Trouble::new(
        format!("on {host}: {last}"),
        format!("see that an engine runs there: {} docker version", command(host)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(said: &str) -> String {
        connecting(&"ann@build1:22".parse().expect("a host"), said).to_string()
    }

    #[test]
    fn what_is_said_by_ssh_is_told_with_a_remedy() {
        let changed = "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.";
        assert!(
            told(changed).contains("ann@build1:22: its host key is not the one that is known.\nRemedy: ")
        );
        assert!(
            told(changed).contains("(ssh-keygen -R build1), then compare the new one: ssh -p 22 ann@build1.")
        );
        assert!(told("Host key verification failed.").contains("is not known"));
        assert!(told("ann@build1: Permission denied (publickey).").contains("ssh-add"));
    }

    #[test]
    fn who_may_not_become_root_is_told_how() {
        let told = |said: &str| broke_off(&"ann@build1".parse().expect("a host"), said).to_string();
        assert!(
            told("sudo: a password is required")
                .contains("on ann@build1: sudo: a password is required.\nRemedy: see that this needs no password: ssh ann@build1 sudo -n true;")
        );
        assert!(told("doas: Operation not permitted").contains("or leave --doas out"));
        assert!(told("sudoku").contains("ended before it had done what was asked: sudoku"));
    }

    #[test]
    fn what_is_not_known_is_told_as_it_is() {
        assert!(
            told("one\nodd \u{1b}[2J").starts_with("cannot connect to ann@build1:22: odd \u{FFFD}[2J.\n")
        );
        assert!(told("").starts_with("cannot connect to ann@build1:22: ssh did not say why.\n"));
    }
}
