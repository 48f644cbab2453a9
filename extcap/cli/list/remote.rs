//! The list of other hosts.

use std::io::{self, Write as _};
use std::time::Duration;

use containerdump::error::Error;
use containerdump::request::{ListFormat, ListRequest, PeerRequest};
use containerdump::safe_text::SafeText;
use containerdump::ssh::{Elevation, Probe, SshConnection};
use containerdump::stop::{Stop, Stopped};

use super::{ListOutput, remote_json, taps};
use crate::cli::host_args::HostArgs;
use crate::cli::notices;

/// Bytes of a list: the limit for that of an engine.
const MAX_REMOTE_LIST_LEN: usize = 16 * 1024 * 1024;
/// For a list: the host has ten seconds to look up its containers.
const REMOTE_LIST_TIMEOUT: Duration = Duration::from_secs(30);

/// Prints the containers of `hosts` that `names` select, all where there is none. Hosts that fail are left out.
///
/// Fails when a host has failed, or the list is interrupted.
pub(super) fn show(hosts: &HostArgs, names: &[String], output: ListOutput) -> Result<(), Error> {
    let stop = Stop::watch(false)?;
    let connections = hosts.connections(notices::show)?;
    let format = if output == ListOutput::Taps { ListFormat::Taps } else { ListFormat::Json };
    let request = PeerRequest::List(ListRequest { names: names.to_vec(), format }).to_line()?;
    let (elevation, all) = (hosts.elevation(), connections.clone());
    let answers = stop.wait_for(None, move || {
        let query = |connection: &SshConnection| {
            connection.open().and_then(|probe| send(connection, &probe, elevation, &request))
        };
        Ok(all.iter().map(|connection| (connection.host().label(), query(connection))).collect::<Vec<_>>())
    });
    connections.iter().for_each(SshConnection::close);
    let answers = match answers {
        Ok(answers) => answers?,
        Err(Stopped) => {
            return Err(Error::new("cannot list: interrupted before all hosts had answered", "list again"));
        }
    };
    let (mut lists, mut errors) = (Vec::new(), Vec::new());
    for (host, answer) in answers {
        match answer.and_then(|answer| check(&host, answer, format)) {
            Ok((list, messages)) => {
                for message in messages {
                    let _ = writeln!(io::stderr(), "{host}: {message}");
                }
                lists.push((host, list));
            }
            Err(error) => errors.push(error),
        }
    }
    if !lists.is_empty() {
        let show_taps = |(host, list): &(SafeText, String)| {
            taps::from_host((connections.len() > 1).then_some(host), list)
        };
        let text = match output {
            ListOutput::Taps => lists.iter().map(show_taps).collect(),
            ListOutput::Json => remote_json::to_json(&lists).unwrap_or_default(),
            ListOutput::Table(width) => remote_json::to_table(&lists, width).unwrap_or_default(),
        };
        // A closed pipe is a normal end.
        let _ = io::stdout().write_all(text.as_bytes());
    }
    let Some(last) = errors.pop() else { return Ok(()) };
    for error in errors {
        let _ = writeln!(io::stderr(), "containerdump: {error}");
    }
    Err(last)
}

/// The list that a host has printed, and its messages on standard error.
pub(in crate::cli) type HostAnswer = (String, Vec<SafeText>);

/// The containers of a connected host, as JSON.
///
/// Fails when the host does not list them.
pub(in crate::cli) fn query(
    connection: &SshConnection,
    probe: &Probe,
    elevation: Elevation,
) -> Result<HostAnswer, Error> {
    let request = PeerRequest::List(ListRequest { names: Vec::new(), format: ListFormat::Json });
    send(connection, probe, elevation, &request.to_line()?)
}

fn send(
    connection: &SshConnection,
    probe: &Probe,
    elevation: Elevation,
    request: &str,
) -> Result<HostAnswer, Error> {
    let mut session = connection.start_program(probe, elevation)?;
    session.send_request(request)?;
    let list = session.read_to_end(MAX_REMOTE_LIST_LEN, REMOTE_LIST_TIMEOUT)?;
    Ok((String::from_utf8_lossy(&list).into_owned(), session.take_stderr_lines()))
}

/// The answer, if it is a list.
fn check(host: &SafeText, answer: HostAnswer, format: ListFormat) -> Result<HostAnswer, Error> {
    let (list, messages) = answer;
    if format == ListFormat::Json {
        remote_json::check(host, &list).map_err(|reason| {
            Error::new(
                format!("cannot read the list of {host}: {reason}"),
                "install the same version of containerdump on both hosts",
            )
        })?;
    }
    Ok((list, messages))
}
