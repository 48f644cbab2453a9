//! The list of other hosts.

use std::io::{self, Write as _};
use std::time::Duration;

use containerdump::error::Error;
use containerdump::peer::PeerRequest;
use containerdump::peer::compression::CompressionMode;
use containerdump::safe_text::SafeText;
use containerdump::ssh::{Elevation, Probe, SshConnection};
use containerdump::stop::{Stop, Stopped};

use super::remote_json::{self, Form};
use super::taps;
use crate::cli::host_args::HostArgs;
use crate::cli::notices;

/// Bytes of a list: an engine's own may have as many.
const MOST: usize = 16 * 1024 * 1024;
/// How long a list may take: there it has ten seconds for looking up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Prints the list of `hosts`, of those containers that `names` mean where there are any; of those that can be asked where some cannot.
///
/// Fails when one cannot, or it is ended before.
pub(super) fn show(
    hosts: &HostArgs,
    names: &[String],
    form: Form,
    width: Option<usize>,
) -> Result<(), Error> {
    let stop = Stop::watch(false)?;
    let connections = hosts.connections(notices::tell)?;
    let (elevation, all, names) = (hosts.elevation(), connections.clone(), names.to_vec());
    let asked = stop.wait_for(None, move || {
        Ok(all
            .iter()
            .map(|connection| (connection.host().label(), ask(connection, elevation, form, &names)))
            .collect::<Vec<_>>())
    });
    connections.iter().for_each(SshConnection::close);
    let answers = match asked {
        Ok(answers) => answers?,
        Err(Stopped) => {
            return Err(Error::new("cannot list: interrupted before all hosts had answered", "list again"));
        }
    };
    let (mut lists, mut failed) = (Vec::new(), Vec::new());
    for (host, answer) in answers {
        match answer.and_then(|answer| readable(&host, answer, form)) {
            Ok((lines, notices)) => {
                for notice in notices {
                    let _ = writeln!(io::stderr(), "{host}: {notice}");
                }
                lists.push((host, lines));
            }
            Err(trouble) => failed.push(trouble),
        }
    }
    if !lists.is_empty() {
        let text = match form {
            Form::Taps => {
                let of_list = |(host, lines): &(SafeText, String)| {
                    taps::of_host((connections.len() > 1).then_some(host), lines)
                };
                lists.iter().map(of_list).collect()
            }
            Form::Table | Form::Json => {
                remote_json::of_hosts(&lists, form == Form::Json, width).unwrap_or_default()
            }
        };
        // A reader who has left does not want the rest.
        let _ = io::stdout().write_all(text.as_bytes());
    }
    let Some(last) = failed.pop() else { return Ok(()) };
    for trouble in failed {
        let _ = writeln!(io::stderr(), "containerdump: {trouble}");
    }
    Err(last)
}

/// What a host answered, and what it said beside.
pub(in crate::cli) type HostAnswer = (String, Vec<SafeText>);

fn ask(
    connection: &SshConnection,
    elevation: Elevation,
    form: Form,
    names: &[String],
) -> Result<HostAnswer, Error> {
    let probe = connection.open()?;
    let option = if form == Form::Taps { "--verbose" } else { "--json" };
    listed(connection, &probe, elevation, option, names)
}

/// The list of a host to which there is a connection.
///
/// Fails when it does not tell.
pub(in crate::cli) fn of(
    connection: &SshConnection,
    probe: &Probe,
    elevation: Elevation,
) -> Result<HostAnswer, Error> {
    listed(connection, probe, elevation, "--json", &[])
}

fn listed(
    connection: &SshConnection,
    probe: &Probe,
    elevation: Elevation,
    option: &str,
    names: &[String],
) -> Result<HostAnswer, Error> {
    let mut session = connection.start_program(probe, elevation)?;
    let mut arguments = vec!["list".to_owned(), option.to_owned()];
    if !names.is_empty() {
        arguments.push("--".to_owned());
        arguments.extend(names.iter().cloned());
    }
    session.send_request(&PeerRequest { arguments, compress: CompressionMode::Off }.line())?;
    let answer = session.read_to_end(MOST, PATIENCE)?;
    Ok((String::from_utf8_lossy(&answer).into_owned(), session.take_stderr_lines()))
}

/// The answer, if it is a list.
fn readable(host: &SafeText, answer: HostAnswer, form: Form) -> Result<HostAnswer, Error> {
    if form == Form::Taps {
        return Ok(answer);
    }
    let lists = [(host.clone(), answer.0)];
    match remote_json::of_hosts(&lists, true, None) {
        Ok(_) => {
            let [(_, lines)] = lists;
            Ok((lines, answer.1))
        }
        Err((_, why)) => Err(Error::new(
            format!("cannot read the list of {host}: {why}"),
            "install the same version of containerdump on both",
        )),
    }
}
