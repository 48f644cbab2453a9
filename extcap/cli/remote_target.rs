//! A host that is used from Wireshark: captured and listed as on the command line.

use std::sync::mpsc;
use std::time::Duration;

use containerdump::container::Container;
use containerdump::error::Error;
use containerdump::privilege::Privilege;
use containerdump::request::CaptureRequest;
use containerdump::session::{Limits, Output};
use containerdump::ssh::{ConnectOptions, Elevation, Host, PromptMode, SshConnection};
use containerdump::stop::Stop;

use super::capture::{LocalOutput, RemoteCapture};
use super::host_args::HostArgs;
use super::list;
use super::progress::Progress;
use crate::capture::OutputTarget;
use crate::wireshark::toolbar::Toolbar;

/// For a list, once connected: Wireshark's window does not respond meanwhile.
const REMOTE_LIST_TIMEOUT: Duration = Duration::from_secs(10);

/// A host, and how the program becomes root on it.
#[derive(Clone, Debug)]
pub(crate) struct RemoteTarget {
    pub(crate) host: Host,
    pub(crate) elevation: Elevation,
}

impl RemoteTarget {
    /// Captures into `output`, whose section header is written already.
    ///
    /// # Errors
    /// The capture cannot start, or the connection to the host is lost.
    pub(crate) fn capture(
        self,
        request: CaptureRequest,
        limits: Limits,
        output: Output,
        toolbar: Option<Toolbar>,
        stop: &Stop,
        privilege: Privilege,
    ) -> Result<(), Error> {
        let hosts = HostArgs::single(self.host, self.elevation, PromptMode::Desktop);
        let progress = Progress::in_toolbar(toolbar.as_ref().map(Toolbar::handle));
        let output = LocalOutput { target: OutputTarget::Started(Box::new(output)), progress, toolbar };
        RemoteCapture { hosts, request, limits, quiet: false }.run(output, stop, privilege)
    }

    /// The containers of the host.
    ///
    /// # Errors
    /// The host cannot be reached, or does not answer in time.
    pub(crate) fn containers(
        &self,
        prompt_mode: PromptMode,
        mut privilege: Privilege,
    ) -> Result<Vec<Container>, Error> {
        privilege.become_caller()?;
        privilege.give_up()?;
        Ok(list::containers_from_json(&self.host.label(), &self.list(prompt_mode)?))
    }

    /// The list of containers as the host prints it.
    ///
    /// # Errors
    /// The host cannot be reached, or does not answer in time.
    pub(super) fn list(&self, prompt_mode: PromptMode) -> Result<String, Error> {
        let options = ConnectOptions { prompt_mode, ..ConnectOptions::default() };
        let connection = SshConnection::new(&self.host, options)?;
        let answer = connection.open().and_then(|probe| {
            let (sender, receiver) = mpsc::channel();
            let (worker, elevation) = (connection.clone(), self.elevation);
            // Sending fails after the timeout.
            let ask = move || drop(sender.send(list::query_host(&worker, &probe, elevation)));
            std::thread::Builder::new().spawn(ask).map_err(|error| {
                Error::new(
                    format!("cannot start a thread: {error}"),
                    "raise the limit of processes: ulimit -u",
                )
            })?;
            receiver.recv_timeout(REMOTE_LIST_TIMEOUT).unwrap_or_else(|_| Err(timed_out(&self.host)))
        });
        connection.close();
        answer.map(|(lines, _)| lines)
    }
}

fn timed_out(host: &Host) -> Error {
    let seconds = REMOTE_LIST_TIMEOUT.as_secs();
    Error::new(
        format!("the answer of containerdump on {host} takes longer than {seconds} seconds"),
        "check how long this takes: containerdump list --host",
    )
}
