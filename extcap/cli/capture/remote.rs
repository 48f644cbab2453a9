//! Captures on other hosts: containerdump there captures, this one writes what comes.

use std::time::Duration;

use containerdump::capture;
use containerdump::error::Error;
use containerdump::peer::PeerRequest;
use containerdump::peer::{self, PeerStream};
use containerdump::privilege::Privilege;
use containerdump::session::{CaptureSession, Duplicates, Member, Source, Totals};
use containerdump::ssh::{self, Elevation, SshConnection, TcpdumpCapture};
use containerdump::stop::{Stop, Stopped};

use super::CONTAINERS_STOPPED;
use super::args::CaptureArgs;
use crate::capture::{OpenedOutput, OutputTarget};
use crate::cli::progress::Progress;
use crate::wireshark::toolbar::Toolbar;

/// How long a capture may take to begin there: engines are asked, and may have to import a program.
const PATIENCE: Duration = Duration::from_mins(1);

/// A capture on another host.
struct RemoteCapture {
    session: ssh::SshSession,
    connection: SshConnection,
}

/// Where a capture goes to, and who watches it.
pub(in crate::cli) struct LocalOutput {
    pub(in crate::cli) target: OutputTarget,
    pub(in crate::cli) progress: Progress,
    pub(in crate::cli) toolbar: Option<Toolbar>,
}

/// Captures on hosts until there is a reason to stop.
///
/// Fails when one of them cannot begin, or none goes on.
pub(in crate::cli) fn run(
    asked: &CaptureArgs,
    here: LocalOutput,
    stop: &Stop,
    mut privilege: Privilege,
) -> Result<(), Error> {
    // Nothing of this host is opened but the file.
    privilege.become_caller()?;
    let proof = privilege.give_up()?;
    let LocalOutput { target, progress, toolbar } = here;
    let settings = asked.settings()?;
    let connections = asked.hosts.connections(asked.tell())?;
    let (all, elevation) = (connections.clone(), asked.hosts.elevation());
    let request = PeerRequest { arguments: asked.for_far(), compress: asked.compress() };
    let plain = asked.plain();
    let begun = stop.wait_for(target.pipe(), move || begin(all, elevation, &request, &plain));
    let ended = match begun {
        Err(Stopped) => Ok(()),
        Ok(Err(trouble)) => Err(trouble),
        Ok(Ok(begun)) => {
            let (mut far, remotes): (Vec<RemoteCapture>, Vec<PeerStream>) = begun.into_iter().unzip();
            let (toolbar, commands) = crate::capture::start_toolbar(toolbar, &settings, &[], &proof);
            let outcome = record((asked, stop), target, (&far, remotes), &progress, |session, report| {
                CaptureSession { commands, ..session }.run(stop, &proof, Some((progress.every(), report)))
            });
            if let Some(toolbar) = toolbar {
                toolbar.end(outcome.as_ref().ok());
            }
            let outcome = end(&mut far, outcome, &progress);
            if let Ok(Totals { sources_ended: true, .. }) = outcome
                && !asked.selected.follows()
            {
                progress.warn(CONTAINERS_STOPPED);
            }
            outcome.map(|_| ())
        }
    };
    connections.iter().for_each(SshConnection::close);
    ended
}

/// Connects to each, one after the other: each may ask for something. Then begins everywhere at once.
fn begin(
    connections: Vec<SshConnection>,
    elevation: Elevation,
    request: &PeerRequest,
    plain: &Result<TcpdumpCapture, String>,
) -> Result<Vec<(RemoteCapture, PeerStream)>, Error> {
    let host_in_names = connections.len() > 1;
    let mut found = Vec::new();
    for connection in connections {
        found.push((connection.open()?, connection));
    }
    std::thread::scope(|scope| {
        let begin_one = |(probe, connection): (ssh::Probe, SshConnection)| {
            let (mut session, stream) =
                connection.start_capture(&probe, elevation, &request.line(), plain)?;
            let label = connection.host().label();
            let opened = peer::open_capture_stream(stream, &label, host_in_names, PATIENCE);
            let remote = opened.map_err(|trouble| session.explain(trouble))?;
            Ok((RemoteCapture { session, connection }, remote))
        };
        let threads: Vec<_> = found.into_iter().map(|one| scope.spawn(move || begin_one(one))).collect();
        let outcomes = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        outcomes.collect()
    })
}

/// Writes what comes, and says what is said meanwhile.
fn record(
    (asked, stop): (&CaptureArgs, &Stop),
    target: OutputTarget,
    (far, remotes): (&[RemoteCapture], Vec<PeerStream>),
    progress: &Progress,
    run: impl FnOnce(CaptureSession, &mut dyn FnMut(&Totals)) -> Result<Totals, Error>,
) -> Result<Totals, Error> {
    progress.say_where(&target);
    let OpenedOutput { output, begun, files } = match target.open(stop) {
        Ok(opened) => opened?,
        Err(Stopped) => return Ok(Totals::default()),
    };
    let member = |remote| Member {
        sources: vec![Source::Remote { interfaces: Vec::new(), remote, outlives_holders: true }],
        ..Member::default()
    };
    let members = remotes.into_iter().map(member).collect();
    let session = CaptureSession {
        // Each host sees to its own: addresses of two of them may be the same.
        duplicates: Duplicates::Keep,
        limits: asked.limits(),
        is_header_written: begun,
        files,
        ..CaptureSession::new(members, capture::block_timeout(1), output)
    };
    run(session, &mut |totals| {
        tell(far, progress);
        progress.show(totals);
    })
}

/// Says what was said on hosts.
fn tell(far: &[RemoteCapture], progress: &Progress) {
    for RemoteCapture { session, connection } in far {
        for line in session.take_stderr_lines().iter().filter(|line| !ssh::is_routine_output(line)) {
            progress.warn(&format!("{}: {line}", connection.host().label()));
        }
    }
}

/// The end: in the words of those who know why, where it ought not to have come.
fn end(
    far: &mut [RemoteCapture],
    outcome: Result<Totals, Error>,
    progress: &Progress,
) -> Result<Totals, Error> {
    let totals = outcome.map_err(|trouble| {
        let mut explained = far.iter_mut().map(|one| one.session.explain(trouble.clone()));
        explained.find(|other| *other != trouble).unwrap_or_else(|| trouble.clone())
    });
    let mut failures: Vec<Error> = far.iter_mut().filter_map(|one| one.session.failure()).collect();
    tell(far, progress);
    let totals = totals?;
    if failures.len() == far.len() {
        // What they told came to its end, but they had failed.
        return Err(failures.swap_remove(0));
    }
    progress.end(&totals);
    for trouble in failures {
        progress.warn(&trouble.to_string());
    }
    Ok(totals)
}
