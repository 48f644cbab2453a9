//! What Wireshark asks of another host, done as it is for people.

use std::sync::mpsc;
use std::time::Duration;

use clap::Parser as _;
use containerdump::container::Container;
use containerdump::error::Error;
use containerdump::privilege::Privilege;
use containerdump::session::Output;
use containerdump::ssh::{Asking, Connection, Gain, Host, Terms};
use containerdump::stop::Stop;

use super::capture::{self, LocalOutput};
use super::hosts::Hosts;
use super::progress::Progress;
use super::{Cli, Command, list};
use crate::capture::OutputTarget;
use crate::wireshark::toolbar::Toolbar;

/// How long a list may take, once connected, for which Wireshark's window stands still.
const PATIENCE: Duration = Duration::from_secs(10);

/// A host, and with what right it is asked.
#[derive(Clone, Debug)]
pub(crate) struct There {
    pub(crate) host: Host,
    pub(crate) gain: Gain,
}

impl There {
    /// Captures what the options and names of a `capture` say, in `words`, into `output`, which has a section
    /// header already.
    ///
    /// Fails when it cannot begin, or the host goes away.
    pub(crate) fn capture(
        self,
        words: Vec<String>,
        output: Output,
        toolbar: Option<Toolbar>,
        stop: &Stop,
        privilege: Privilege,
    ) -> Result<(), Error> {
        let command = ["containerdump", "capture"].map(str::to_owned).into_iter();
        let cannot = |why: &str| {
            Error::new(
                format!("cannot use the options: {}", why.trim_start_matches("error: ")),
                "see what they may be: containerdump capture --help",
            )
        };
        let mut asked = match Cli::try_parse_from(command.chain(words)).map(|people| people.verb) {
            Ok(Command::Capture(capture)) => capture,
            Ok(_) => return Err(cannot("they are those of something else")),
            Err(error) => return Err(cannot(error.to_string().lines().next().unwrap_or_default())),
        };
        asked.is_of_window = true;
        asked.hosts = Hosts::one(self.host, self.gain, Asking::InWindow);
        let progress = Progress::in_toolbar(toolbar.as_ref().map(Toolbar::handle));
        let here = LocalOutput { target: OutputTarget::Begun(Box::new(output)), progress, toolbar };
        capture::run_far(&asked, here, stop, privilege)
    }

    /// The containers that run there, as it tells; `asking` says who may be asked for a passphrase.
    ///
    /// Fails when it cannot be asked, or answers too slowly.
    pub(crate) fn containers(
        &self,
        asking: Asking,
        mut privilege: Privilege,
    ) -> Result<Vec<Container>, Error> {
        privilege.become_caller()?;
        privilege.give_up()?;
        Ok(list::containers_of(&self.host.label(), &self.list(asking)?))
    }

    /// The list as it tells it.
    ///
    /// Fails when it cannot be asked, or answers too slowly.
    pub(super) fn list(&self, asking: Asking) -> Result<String, Error> {
        let before = Hosts::one(self.host.clone(), self.gain, asking).before();
        let connection = Connection::under(&self.host, Terms { asking, ..Terms::default() })?;
        let told = connection.open().and_then(|probe| {
            let (sender, receiver) = mpsc::channel();
            let of_thread = connection.clone();
            // Nobody listens any more when it took too long.
            let ask = move || drop(sender.send(list::of_host(&of_thread, &probe, before)));
            std::thread::Builder::new().spawn(ask).map_err(|error| {
                Error::new(format!("cannot start a thread: {error}"), "free some processes: ulimit -u")
            })?;
            receiver.recv_timeout(PATIENCE).unwrap_or_else(|_| Err(slow(&self.host)))
        });
        connection.end();
        let (lines, _) = told?;
        Ok(lines)
    }
}

fn slow(host: &Host) -> Error {
    Error::new(
        format!("the answer of containerdump on {host} takes longer than {} seconds", PATIENCE.as_secs()),
        "see how long this takes: containerdump list --host",
    )
}
