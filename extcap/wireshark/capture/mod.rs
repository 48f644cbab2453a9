//! `--capture`: packets, into Wireshark's FIFO.
//!
//! The FIFO is opened and the section header is written before anything that may take time or fail: the other interfaces
//! of the same capture wait for them, and Wireshark 4.0 hangs on a capture whose FIFO is never opened.

mod local;
mod unavailable;

use std::io::IoSlice;

use containerdump::container::EngineKind;
use containerdump::error::Error;
use containerdump::pcapng::BlockWriter;
use containerdump::privilege::Privilege;
use containerdump::session::{Output, OutputEnd};
use containerdump::stop::{Stop, Stopped};

use super::arguments::ExtcapArgs;
use super::interfaces::{NO_CONTAINERS, unavailable_engine};
use super::options::{SSH_INTERFACE, capture_request, choice, limits};
use super::pipe_guard::PipeGuard;
use super::toolbar::Toolbar;
use super::{as_caller, last_options, remote_target, saved_hosts};
use crate::log_file;

/// Captures until there is a reason to stop.
///
/// # Errors
///
/// With the message that Wireshark shows.
pub(super) fn run(
    arguments: &ExtcapArgs,
    privilege: Result<Privilege, Error>,
    guard: &PipeGuard,
) -> Result<(), Error> {
    let toolbar = Toolbar::open(guard.control_in(), arguments.path("--extcap-control-out").as_deref());
    let stop = Stop::watch(true)?;
    let Some(output) = open_output(arguments, guard, &stop)? else { return Ok(()) };
    let effective = as_caller(&privilege, || last_options::apply(arguments));
    let (arguments, notice) = effective.unwrap_or_else(|| (arguments.clone(), None));
    if let (Some(toolbar), Some(notice)) = (&toolbar, notice) {
        toolbar.handle().log_and_show(&notice);
    }
    let (level, log) = (choice(&arguments, "--log-level")?, arguments.path("--log-file"));
    as_caller(&privilege, || log_file::open(level, log.as_deref())).transpose()?;
    let interface = arguments.text("--extcap-interface").unwrap_or_default();
    if interface == NO_CONTAINERS {
        return unavailable::explain_no_containers(&stop, &output);
    }
    for engine in [EngineKind::Docker, EngineKind::Podman] {
        if interface == unavailable_engine(engine) {
            return unavailable::explain_engine(engine, &stop, &output);
        }
    }
    let privilege = privilege?;
    let (target, container) = if interface == SSH_INTERFACE {
        let target = privilege.as_caller(|| remote_target::from_options(&arguments))??;
        (target, remote_target::selected_container(&arguments))
    } else {
        match privilege.as_caller(|| saved_hosts::resolve(&interface))?? {
            Some(remote) => (remote.target, remote.container),
            None => return local::run(&arguments, &interface, output, toolbar, &stop, privilege),
        }
    };
    let request = capture_request(&arguments, &container)?;
    target.capture(request, limits(&arguments)?, output, toolbar, &stop, privilege)
}

/// Opens the FIFO and writes the section header; `None` if there is a reason to stop before.
fn open_output(arguments: &ExtcapArgs, guard: &PipeGuard, stop: &Stop) -> Result<Option<Output>, Error> {
    let Some(path) = arguments.path("--fifo") else {
        return Err(Error::new(
            "cannot capture: the option --fifo is missing",
            "start the capture in Wireshark, or run: containerdump capture NAME -w FILE",
        ));
    };
    let mut output = match Output::fifo(&path, stop) {
        Ok(output) => output?,
        Err(Stopped) => return Ok(None),
    };
    guard.set_fifo_opened();
    match output.write(&mut [IoSlice::new(&BlockWriter::begin_section().take())], stop) {
        Ok(()) => Ok(Some(output)),
        Err(OutputEnd::ReaderGone | OutputEnd::Stalled) => Ok(None),
        Err(OutputEnd::Failed(error)) => Err(error),
    }
}
