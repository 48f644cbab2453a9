//! Why `ssh` failed, in our words. Its own words are those of OpenSSH, which are not translated.

use super::key::UnusableKey;
use super::{Gain, Host, proxy};
use crate::error::Error;
use crate::safe_text::SafeText;

/// What OpenSSH prints, what it means, and the remedy on the command line and in Wireshark's window, where that differs;
/// the first that fits. `{ssh}` stands for the command that connects, `{name}` for the name in known_hosts.
const KNOWN: [(&str, &str, &str, Option<&str>); 15] = [
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its host key is not the one that is known",
        "find out why: another machine may answer at this address. If the key was changed on purpose, remove the \
         old one (ssh-keygen -R {name}), then connect and compare the new one: {ssh}",
        None,
    ),
    (
        "Host key verification failed",
        "its host key is not known",
        "connect once in a terminal and compare the fingerprint: {ssh}",
        Some(
            "connect once in a terminal and compare the fingerprint: {ssh}; Wireshark asks for it only where \
             ssh-askpass is installed",
        ),
    ),
    (
        "UNPROTECTED PRIVATE KEY FILE",
        "ssh refuses a key file that other users can read",
        "chmod 600 on the key file that this names: {ssh}",
        None,
    ),
    (
        "Permission denied (",
        "login refused (no key was accepted)",
        "see that this works: {ssh}; without a terminal, the key has to be in an agent (ssh-add) or have no passphrase",
        Some("see *Remote SSH server username* and *Path to SSH private key*, and that this works: {ssh}"),
    ),
    (
        "Too many authentication failures",
        "login refused (too many keys were tried)",
        "name the key: IdentityFile and IdentitiesOnly in ~/.ssh/config, or containerdump host add --key",
        Some("choose *Path to SSH private key*"),
    ),
    (
        "Connection refused",
        "nothing listens on that port",
        "see that sshd runs there, and on which port: --host NAME:PORT",
        Some("see that sshd runs there, and *Remote SSH server port*"),
    ),
    ("No route to host", "no route to that host", "see that it runs and can be reached: {ssh}", None),
    (
        "Network is unreachable",
        "no route to that network",
        "see that this machine has a network: ip route",
        None,
    ),
    ("timed out", "connection timed out", "see that it runs and can be reached: {ssh}", None),
    (
        "Could not resolve hostname",
        "there is no host of that name",
        "see its name, and ~/.ssh/config",
        Some("see *Remote SSH server address*, and ~/.ssh/config"),
    ),
    (
        "Bad owner or permissions",
        "ssh refuses a settings file that other users can change",
        "chmod 600 ~/.ssh/config",
        None,
    ),
    ("Unable to negotiate", "it offers no algorithm that ssh accepts", "see what this prints: {ssh}", None),
    (
        "Connection closed by",
        "it closed the connection",
        "see that this works: {ssh}; and the log of sshd there",
        None,
    ),
    (
        "Connection reset by",
        "it reset the connection",
        "see that this works: {ssh}; and the log of sshd there",
        None,
    ),
    (
        "remote host",
        "it closed the connection",
        "see that this works: {ssh}; and the log of sshd there",
        None,
    ),
];

/// Why no connection to `host` came to be, where `ssh` `said` something; `can_ask` is set where it could ask for a
/// passphrase.
pub(super) fn connecting(host: &Host, can_ask: bool, said: &str) -> Error {
    if let Some(trouble) = proxy::failed(host, said) {
        return trouble;
    }
    if said.contains("Permission denied (")
        && let Some(key) = UnusableKey::find(host, can_ask)
    {
        return key.trouble(host);
    }
    let Some((why, remedy_text, in_window)) = known(said) else {
        let last = SafeText::with_limit(said.lines().last().unwrap_or("ssh did not say why"), 200);
        return cannot_connect(host, last.as_str(), &format!("see that this works: {}", command(host)));
    };
    let remedy = |text: &str| text.replace("{ssh}", &command(host)).replace("{name}", &known_as(host));
    let trouble = cannot_connect(host, why, &remedy(remedy_text));
    match in_window {
        Some(text) => trouble.with_wireshark_remedy(remedy(text)),
        None => trouble,
    }
}

/// What `ssh` `said`, in our words, and the remedies of [`KNOWN`].
pub(super) fn known(said: &str) -> Option<(&'static str, &'static str, Option<&'static str>)> {
    let found = KNOWN.iter().find(|(words, ..)| said.contains(words));
    found.map(|(_, why, remedy, in_window)| (*why, *remedy, *in_window))
}

/// Why no connection to `host` came to be.
pub(super) fn cannot_connect(host: &Host, why: &str, remedy: &str) -> Error {
    Error::new(format!("cannot connect to {host}: {why}"), remedy)
}

/// The command that connects to `host` by hand.
pub(super) fn command(host: &Host) -> String {
    let options: Vec<String> =
        host.way().arguments().iter().map(|argument| format!(" {}", quoted(argument))).collect();
    let options = options.concat();
    let user = host.user().map(|user| format!("{user}@")).unwrap_or_default();
    let port = host.port().map(|port| format!(" -p {port}")).unwrap_or_default();
    format!("ssh{options}{port} {user}{}", host.name())
}

/// `argument` as a shell takes it.
fn quoted(argument: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-~+=:@%,".contains(&byte);
    if argument.bytes().all(is_plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}

/// The name of `host` in known_hosts (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).
fn known_as(host: &Host) -> String {
    match host.port() {
        None | Some(22) => host.name().to_owned(),
        Some(port) => format!("'[{}]:{port}'", host.name()),
    }
}

/// What runs on `host` failed, and said no more than `said`.
pub(super) fn broke_off(host: &Host, said: &str) -> Error {
    let last = said.lines().last().unwrap_or_default();
    let refused = Gain::ALL.into_iter().find(|gain| last.starts_with(&format!("{}: ", gain.word())));
    if let Some(gain) = refused {
        let word = gain.word();
        return Error::new(
            format!("containerdump cannot become root on {host}: {}", SafeText::with_limit(last, 200)),
            format!(
                "see that this needs no password: {} {word} -n true; or leave --{word} out, which is enough for root and \
                 members of the engine's group",
                command(host)
            ),
        )
        .with_wireshark_remedy(format!(
            "see that this needs no password: {} {word} -n true; or choose none as *Gain capture privilege*",
            command(host)
        ));
    }
    let broke_off = Error::new(
        format!("containerdump on {host} ended before it had done what was asked"),
        format!("see that this works: {} containerdump list", command(host)),
    );
    broke_off.explained_by(said)
}

/// Why what was started on `host` ended, where it `said` something.
pub(super) fn of_command(host: &Host, said: &str) -> Error {
    let last = SafeText::with_limit(said.lines().last().unwrap_or("it did not say why"), 200);
    Error::new(
        format!("on {host}: {last}"),
        format!("see that an engine runs there: {} docker version", command(host)),
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::ssh::Way;

    fn told(said: &str) -> String {
        connecting(&"ann@build1:22".parse().expect("a host"), true, said).to_string()
    }

    #[test]
    fn what_is_said_by_ssh_is_told_with_a_remedy() {
        let changed = "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.";
        assert!(
            told(changed).contains("ann@build1:22: its host key is not the one that is known.\nRemedy: ")
        );
        assert!(
            told(changed).contains(
                "(ssh-keygen -R build1), then connect and compare the new one: ssh -p 22 ann@build1."
            )
        );
        assert!(told("Host key verification failed.").contains("is not known"));
        assert!(told("ann@build1: Permission denied (publickey).").contains("ssh-add"));
    }

    #[test]
    fn the_window_is_told_of_its_own_fields() {
        let window = |said: &str| {
            let host: Host = "build1".parse().expect("a host");
            connecting(&host, true, said).for_wireshark().to_string()
        };
        assert!(
            window("ssh: connect to host build1 port 22: Connection refused")
                .contains("*Remote SSH server port*")
        );
        assert!(
            window("ann@build1: Permission denied (publickey).")
                .contains("login refused (no key was accepted)")
        );
        assert!(!told("connect to host x port 22: Connection refused").contains('*'));
    }

    #[test]
    fn the_command_that_connects_has_the_key_and_is_quoted() {
        let way = Way::new(Some(Path::new("/home/ann/it's a key")), None).expect("a way");
        let host = "ann@build1:22".parse::<Host>().expect("a host").by(way);
        assert_eq!(
            command(&host),
            r"ssh -i '/home/ann/it'\''s a key' -o IdentitiesOnly=yes -p 22 ann@build1"
        );
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
