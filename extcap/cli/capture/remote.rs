//! Captures on other hosts: a containerdump on each host captures, this one writes the packets.

use std::time::Duration;

use containerdump::capture;
use containerdump::error::Error;
use containerdump::peer::{self, PeerStream};
use containerdump::privilege::Privilege;
use containerdump::request::{CaptureRequest, PeerRequest};
use containerdump::session::{CaptureSession, Duplicates, Limits, Member, Source, Totals};
use containerdump::ssh::{
    self, ConnectionEvent, Elevation, Host, Probe, SshConnection, SshSession, TcpdumpCapture,
};
use containerdump::stop::{Stop, Stopped};
use containerdump::tap::TapChoice;

use super::CONTAINERS_STOPPED;
use crate::capture::{self as job, OpenedOutput, OutputTarget};
use crate::cli::host_args::HostArgs;
use crate::cli::notices;
use crate::cli::progress::Progress;
use crate::wireshark::toolbar::Toolbar;

/// For the start of a capture on another host, where engines are queried and may have to import a program.
const REMOTE_START_TIMEOUT: Duration = Duration::from_mins(1);

/// A capture on other hosts.
pub(in crate::cli) struct RemoteCapture {
    pub(in crate::cli) hosts: HostArgs,
    pub(in crate::cli) request: CaptureRequest,
    pub(in crate::cli) limits: Limits,
    pub(in crate::cli) quiet: bool,
}

/// Where a capture is written, and what shows its progress.
pub(in crate::cli) struct LocalOutput {
    pub(in crate::cli) target: OutputTarget,
    pub(in crate::cli) progress: Progress,
    pub(in crate::cli) toolbar: Option<Toolbar>,
}

/// The program on a host that captures.
struct HostSession {
    session: SshSession,
    connection: SshConnection,
}

impl RemoteCapture {
    /// Captures until there is a reason to stop.
    ///
    /// Fails when one of the hosts cannot start, or all have failed.
    pub(in crate::cli) fn run(
        &self,
        output: LocalOutput,
        stop: &Stop,
        mut privilege: Privilege,
    ) -> Result<(), Error> {
        // On this host, only the output is opened.
        privilege.become_caller()?;
        let proof = privilege.give_up()?;
        let LocalOutput { target, progress, toolbar } = output;
        let settings = self.request.settings()?;
        let request = PeerRequest::Capture(self.request.clone()).to_line()?;
        let connections = self.hosts.connections(self.event_handler())?;
        let (all, elevation) = (connections.clone(), self.hosts.elevation());
        let tcpdump = self.for_tcpdump();
        let started = stop.wait_for(target.pipe(), move || start(all, elevation, &request, &tcpdump));
        let outcome = match started {
            Err(Stopped) => Ok(()),
            Ok(Err(error)) => Err(error),
            Ok(Ok(started)) => {
                let (mut sessions, streams): (Vec<HostSession>, Vec<PeerStream>) =
                    started.into_iter().unzip();
                let (toolbar, commands) = job::start_toolbar(toolbar, &settings, &[], &proof);
                let outcome =
                    self.record(stop, target, (&sessions, streams), &progress, |session, report| {
                        CaptureSession { commands, ..session }.run(
                            stop,
                            &proof,
                            Some((progress.report_interval(), report)),
                        )
                    });
                if let Some(toolbar) = toolbar {
                    toolbar.end(outcome.as_ref().ok());
                }
                let outcome = end(&mut sessions, outcome, &progress);
                if let Ok(Totals { sources_ended: true, .. }) = outcome
                    && !self.request.follows()
                {
                    progress.warn(CONTAINERS_STOPPED);
                }
                outcome.map(|_| ())
            }
        };
        connections.iter().for_each(SshConnection::close);
        outcome
    }

    fn event_handler(&self) -> fn(&Host, &ConnectionEvent) {
        match self.quiet {
            _ if !self.hosts.are_from_terminal() => notices::log,
            true => notices::ignore,
            false => notices::show,
        }
    }

    /// The same capture for tcpdump, or why tcpdump cannot do it.
    fn for_tcpdump(&self) -> Result<TcpdumpCapture, String> {
        let request = &self.request;
        let only = |what: &str| Err(format!("it captures only {what}"));
        // In Wireshark, captures follow by default.
        let follows = request.wait || (request.follow && self.hosts.are_from_terminal());
        let container = match request.names.as_slice() {
            [name] if !follows && !request.has_criteria() => name,
            _ => return only("one container, without --follow"),
        };
        if request.networks.len() > 1 {
            return only("one interface");
        }
        if !matches!(request.tap, TapChoice::Auto | TapChoice::Host) {
            return only("at host veths");
        }
        Ok(TcpdumpCapture {
            container: container.clone(),
            interface: request.networks.first().cloned(),
            filter: request.filter.clone(),
            snap_length: request.snap_length,
            promiscuous: request.promiscuous,
        })
    }

    /// Writes what `streams` send, and shows messages of the hosts.
    fn record(
        &self,
        stop: &Stop,
        target: OutputTarget,
        (sessions, streams): (&[HostSession], Vec<PeerStream>),
        progress: &Progress,
        run: impl FnOnce(CaptureSession, &mut dyn FnMut(&Totals)) -> Result<Totals, Error>,
    ) -> Result<Totals, Error> {
        progress.show_target(&target);
        let OpenedOutput { output, is_header_written, files } = match target.open(stop) {
            Ok(opened) => opened?,
            Err(Stopped) => return Ok(Totals::default()),
        };
        let member = |remote| Member {
            sources: vec![Source::Remote { interfaces: Vec::new(), remote, outlives_holders: true }],
            ..Member::default()
        };
        let members = streams.into_iter().map(member).collect();
        let session = CaptureSession {
            // Each host drops its own: different hosts may use the same addresses.
            duplicates: Duplicates::Keep,
            limits: self.limits,
            is_header_written,
            files,
            ..CaptureSession::new(members, capture::block_timeout(1), output)
        };
        run(session, &mut |totals| {
            show_messages(sessions, progress);
            progress.show(totals);
        })
    }
}

/// Connects to one host after the other, since each may prompt, then starts the captures at the same time.
fn start(
    connections: Vec<SshConnection>,
    elevation: Elevation,
    request: &str,
    tcpdump: &Result<TcpdumpCapture, String>,
) -> Result<Vec<(HostSession, PeerStream)>, Error> {
    let host_in_names = connections.len() > 1;
    let mut probed = Vec::new();
    for connection in connections {
        probed.push((connection.open()?, connection));
    }
    std::thread::scope(|scope| {
        let start_one = |(probe, connection): (Probe, SshConnection)| {
            let (mut session, stream) = connection.start_capture(&probe, elevation, request, tcpdump)?;
            let label = connection.host().label();
            let opened = peer::open_capture_stream(stream, &label, host_in_names, REMOTE_START_TIMEOUT);
            let stream = opened.map_err(|error| session.explain(error))?;
            Ok((HostSession { session, connection }, stream))
        };
        let threads: Vec<_> = probed.into_iter().map(|one| scope.spawn(move || start_one(one))).collect();
        let outcomes = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        outcomes.collect()
    })
}

fn show_messages(sessions: &[HostSession], progress: &Progress) {
    for HostSession { session, connection } in sessions {
        for line in session.take_stderr_lines().iter().filter(|line| !ssh::is_routine_output(line)) {
            progress.warn(&format!("{}: {line}", connection.host().label()));
        }
    }
}

/// Ends the capture. An unexpected end is explained by the error of the host that failed.
fn end(
    sessions: &mut [HostSession],
    outcome: Result<Totals, Error>,
    progress: &Progress,
) -> Result<Totals, Error> {
    let totals = outcome.map_err(|error| {
        let mut explained = sessions.iter_mut().map(|one| one.session.explain(error.clone()));
        explained.find(|other| *other != error).unwrap_or_else(|| error.clone())
    });
    let mut failures: Vec<Error> = sessions.iter_mut().filter_map(|one| one.session.failure()).collect();
    show_messages(sessions, progress);
    let totals = totals?;
    if failures.len() == sessions.len() {
        // Each stream is complete, but its program has failed.
        return Err(failures.swap_remove(0));
    }
    progress.end(&totals);
    for error in failures {
        progress.warn(&error.to_string());
    }
    Ok(totals)
}
