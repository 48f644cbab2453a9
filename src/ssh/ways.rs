//! How our program comes to run on a host: it is there, or it is sent. Where it is neither, one container may be
//! captured by others.

use std::os::unix::net::UnixStream;

use log::info;

use super::sent::{self, Sent};
use super::session::other_protocol;
use super::{Connection, Host, Installed, Notice, Plain, Probe, Session};
use crate::PROGRAM_AND_VERSION;
use crate::error::Error;
use crate::peer::PeerRequest;
use crate::safe_text::SafeText;

impl Connection {
    /// Runs our program there, as [`Probe`] found it, or as it was sent there; `before` stands before it,
    /// such as `sudo -n`.
    ///
    /// Fails when it is not there, or of another protocol, and cannot or may not be sent; or `ssh` does not
    /// start.
    pub fn run(&self, probe: &Probe, before: &'static str) -> Result<Session, Error> {
        let before = if before.is_empty() { self.host().gain().before() } else { before };
        if probe.installed == Installed::Here {
            // By its path: sudo and doas look for commands in folders of their own.
            return self.session(&format!(r#"exec sh -c 'exec {before}"$(command -v containerdump)" far'"#));
        }
        let sent = self.sent(probe, before)?;
        self.tell(&told(&sent, probe, before));
        for place in &sent.passed_over {
            self.tell(&format!("not used there: {place}"));
        }
        sent.run(before, &|command| self.session(command))
    }

    /// Asks for a capture there: our program, or where that cannot run, what is there for `plain` ones; else
    /// why it is none. Returns who captures, and what comes of it, whoever it is.
    ///
    /// Fails when nobody there does.
    pub fn capture(
        &self,
        probe: &Probe,
        before: &'static str,
        request: &PeerRequest,
        plain: &Result<Plain, String>,
    ) -> Result<(Session, UnixStream), Error> {
        let before = if before.is_empty() { self.host().gain().before() } else { before };
        let asked = self.run(probe, before).and_then(|mut session| {
            session.ask(request)?;
            let stream = session.stream()?;
            Ok((session, stream))
        });
        match asked {
            Err(trouble) if probe.installed != Installed::Here => {
                let start = |command: &str| self.session(command);
                let begun = plain.as_ref().map_err(String::clone);
                match begun.and_then(|plain| plain.begin(before, &start)) {
                    Ok((how, session, stream)) => {
                        self.tell(trouble.message().as_str());
                        self.tell(&how);
                        Ok((session, stream))
                    }
                    Err(why) => {
                        self.tell(&format!(
                            "nor does tcpdump there capture: {}",
                            SafeText::with_limit(&why, 300)
                        ));
                        let needs_root = plain.is_ok() && before.is_empty() && !probe.is_root;
                        Err(if needs_root { or_as_root(&trouble) } else { trouble })
                    }
                }
            }
            asked => asked,
        }
    }

    /// Removes from there what was sent; returns the folders it lay in.
    ///
    /// Fails when the host does not do as it is told.
    pub fn remove_sent(&self) -> Result<Vec<SafeText>, Error> {
        sent::remove(self.host(), &|command| self.session(command))
    }

    fn sent(&self, probe: &Probe, before: &'static str) -> Result<Sent, Error> {
        let (host, terms) = (self.host(), self.terms());
        let missing = missing(host, &probe.installed);
        if !terms.may_send {
            return Err(missing);
        }
        if probe.system.as_str() != "Linux" {
            return Err(cannot_be_sent(&missing, &format!("it runs {}", probe.system)));
        }
        let Some(architecture) = probe.architecture else {
            return Err(cannot_be_sent(&missing, "there is none for its processor"));
        };
        let bring = Sent::bring(host, architecture, before, &|command| self.session(command), terms.tell);
        bring.map_err(|trouble| {
            info!("{host}: {}", trouble.message());
            let (remedy, other) = (trouble.remedy(), missing.remedy());
            let remedy = if remedy == other { remedy.to_string() } else { format!("{remedy}; or {other}") };
            Error::new(format!("{}; {}", missing.message(), trouble.message()), remedy)
        })
    }

    fn tell(&self, line: &str) {
        info!("{}: {line}", self.host());
        (self.terms().tell)(self.host(), &Notice::Line(line.to_owned()));
    }
}

/// What was sent, why, and with which rights it runs.
fn told(sent: &Sent, probe: &Probe, before: &str) -> String {
    let when = if sent.before { " before" } else { "" };
    let why = match &probe.installed {
        Installed::Here => "there is one".to_owned(),
        Installed::Other(version) => format!("{version}, which is installed, does not understand this one"),
        Installed::Unusable => "what is installed cannot be started".to_owned(),
        Installed::Absent => "not installed there".to_owned(),
    };
    let rights = match before.split(' ').next() {
        Some("") | None if probe.is_root => "as root".to_owned(),
        Some("") | None => "as an ordinary user".to_owned(),
        Some(word) => format!("as root, by {word}"),
    };
    format!("{PROGRAM_AND_VERSION} was sent there{when} ({why}), runs {rights}")
}

/// Why it does not run where it is not sent.
fn missing(host: &Host, installed: &Installed) -> Error {
    let missing = |why: &str| {
        Error::new(
            format!("containerdump {why} on {host}"),
            "install it there, where commands are looked for: make install",
        )
    };
    match installed {
        Installed::Other(version) => other_protocol(host, version),
        Installed::Unusable => missing("cannot be started"),
        Installed::Here | Installed::Absent => missing("is not installed"),
    }
}

/// The same where root's rights may be what is missing.
fn or_as_root(missing: &Error) -> Error {
    let remedy = |first: &str, otherwise: &Error| format!("{first}; or {}", otherwise.remedy());
    Error::new(missing.message().as_str(), remedy("capture as root there: --sudo or --doas", missing))
        .with_wireshark_remedy(remedy(
            "choose sudo or doas as *Gain capture privilege*",
            &missing.clone().for_wireshark(),
        ))
}

fn cannot_be_sent(missing: &Error, why: &str) -> Error {
    Error::new(format!("{}, and cannot be sent there: {why}", missing.message()), missing.remedy().as_str())
}
