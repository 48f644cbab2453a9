//! `--capture`: the packets, into Wireshark's FIFO.
//!
//! The FIFO and the section header come before anything that may take time or fail: the other
//! interfaces of the same capture wait for them, and Wireshark 4.0 hangs on a capture whose FIFO
//! nobody opens.

use std::io::IoSlice;

use containerdump::container::EngineKind;
use containerdump::container::selection::Selection;
use containerdump::engine::{self, EngineStatus, EngineTimeouts};
use containerdump::error::Error;
use containerdump::link::NamedNamespaces;
use containerdump::pcapng::BlockWriter;
use containerdump::privilege::Privilege;
use containerdump::request::CaptureRequest;
use containerdump::session::{Output, OutputEnd, Report, Totals};
use containerdump::stop::{Stop, Stopped};

use super::arguments::ExtcapArgs;
use super::interfaces::{NOTHING, troubled};
use super::options::{self, containers};
use super::pipe_guard::PipeGuard;
use super::saved;
use super::shared_capture::{self, JoinOutcome, MemberCapture, MemberListener, Role};
use super::ssh;
use super::{as_caller, last};
use crate::capture::{CaptureJob, OutputTarget};
use crate::cli::report_drops;
use crate::log_file;
use crate::wireshark::toolbar::{self, Toolbar, ToolbarHandle};

/// Captures until there is a reason to stop.
///
/// Fails with what Wireshark shall show.
pub(super) fn run(
    arguments: &ExtcapArgs,
    privilege: Result<Privilege, Error>,
    guard: &PipeGuard,
) -> Result<(), Error> {
    let toolbar = Toolbar::open(guard.control_in(), arguments.path("--extcap-control-out").as_deref());
    let stop = Stop::watch(true)?;
    let Some(path) = arguments.path("--fifo") else {
        return Err(Error::new(
            "cannot capture: no FIFO was named",
            "let Wireshark start the capture, or as a person: containerdump capture NAME -w FILE",
        ));
    };
    let mut output = match Output::fifo(&path, &stop) {
        Ok(output) => output?,
        Err(Stopped) => return Ok(()),
    };
    guard.set_fifo_opened();
    match output.write(&mut [IoSlice::new(&BlockWriter::begin_section().take())], &stop) {
        Ok(()) => {}
        Err(OutputEnd::ReaderGone | OutputEnd::Stalled) => return Ok(()),
        Err(OutputEnd::Failed(trouble)) => return Err(trouble),
    }
    let applied = as_caller(&privilege, || last::apply(arguments));
    let (arguments, line) = applied.unwrap_or_else(|| (arguments.clone(), None));
    let arguments = &arguments;
    if let (Some(toolbar), Some(line)) = (&toolbar, line) {
        toolbar.handle().log_and_show(&line);
    }
    log_file::open(options::choice(arguments, "--log-level")?, arguments.path("--log-file").as_deref())?;
    let interface = arguments.text("--extcap-interface").unwrap_or_default();
    for engine in [EngineKind::Docker, EngineKind::Podman] {
        if interface == troubled(engine) {
            return tell_trouble(engine, &stop, &output);
        }
    }
    if interface == NOTHING {
        return explain_nothing(&stop, &output);
    }
    if interface == ssh::INTERFACE {
        return ssh::capture(arguments, output, toolbar, &stop, privilege?);
    }
    let privilege = privilege?;
    if let Some((there, rest)) = privilege.as_caller(|| saved::meant(&interface))?? {
        let (request, limits) = (ssh::request(arguments, &rest)?, options::limits(arguments)?);
        return there.capture(request, limits, output, toolbar, &stop, privilege);
    }
    capture_here(arguments, &interface, output, toolbar, &stop, privilege)
}

/// Captures what `interface` is on this host, together with others that are marked, or waits for the one that does.
fn capture_here(
    arguments: &ExtcapArgs,
    interface: &str,
    output: Output,
    toolbar: Option<Toolbar>,
    stop: &Stop,
    privilege: Privilege,
) -> Result<(), Error> {
    let handle = toolbar.as_ref().map(Toolbar::handle);
    let in_window = |line: &str| handle.iter().for_each(|handle| handle.log_and_show(line));
    let some = if Selection::is_group_value(interface) { containers(arguments) } else { Vec::new() };
    let by_interface = some.is_empty();
    let names = if by_interface { vec![interface.to_owned()] } else { some };
    let mut job = CaptureJob {
        request: CaptureRequest { names, by_interface, ..options::request(arguments)? },
        skip_unavailable: false,
        limits: options::limits(arguments)?,
        target: OutputTarget::Started(Box::new(output)),
        toolbar: None,
        confirmation: None,
    };
    let (role, mut separate) = privilege
        .as_caller(|| shared_capture::assign_role(interface, arguments, shared_capture::find_siblings()))?;
    let mut own = Ok(());
    match role {
        Role::Standalone => {}
        Role::Leader(members) => {
            match MemberListener::bind(members.iter().map(|member| member.pid).collect()) {
                Ok(listener) => {
                    job.confirmation = Some(listener);
                    own = match job.find(stop, &privilege) {
                        Ok(found) => found.map(|_| ()),
                        Err(Stopped) => return Ok(()),
                    };
                    let others: Vec<String> = members.into_iter().map(|member| member.interface).collect();
                    in_window(&format!(
                        "{interface} is captured together with {}",
                        shared_capture::list_interfaces(&others)
                    ));
                    job.skip_unavailable = true;
                    if own.is_err() {
                        job.request.names.clear();
                    }
                    job.request.names.extend(others);
                }
                Err(error) => {
                    log::warn!("cannot capture several interfaces together: {error}");
                    separate.extend(members.into_iter().map(|member| member.interface));
                }
            }
        }
        Role::Member(leader) => {
            // What cannot be captured is reported here, for this interface.
            match job.find(stop, &privilege) {
                Ok(found) => found.map(|_| ())?,
                Err(Stopped) => return Ok(()),
            }
            match shared_capture::join(&leader, job.target.pipe(), stop) {
                JoinOutcome::Stopped => return Ok(()),
                JoinOutcome::Refused => separate.push(leader.interface),
                JoinOutcome::Joined(stream) => {
                    let member = MemberCapture {
                        interface,
                        leader: &leader.interface,
                        stream,
                        settings: job.request.settings()?,
                    };
                    return member.run(job.target, toolbar, stop, privilege);
                }
            }
        }
    }
    if let Some(line) = shared_capture::separate_notice(interface, separate) {
        in_window(&line);
    }
    job.toolbar = toolbar;
    let captured = capture(job, handle.as_deref(), stop, privilege);
    own.and(captured)
}

fn capture(
    job: CaptureJob,
    handle: Option<&ToolbarHandle>,
    stop: &Stop,
    privilege: Privilege,
) -> Result<(), Error> {
    // Without a toolbar nobody is told but of a failure: what is said on stderr becomes a dialog.
    let notice = |line: &str| handle.iter().for_each(|handle| handle.log(line));
    let mut show = |totals: &Totals| {
        if let Some(handle) = handle {
            totals.notices().for_each(|line| handle.log(&line));
            handle.update(totals);
        }
    };
    let report: Option<Report> = handle.is_some().then_some((toolbar::UPDATE_INTERVAL, &mut show));
    let totals = job.run(stop, privilege, &notice, report)?;
    if handle.is_none() {
        report_drops(&totals);
    }
    Ok(())
}

/// Explains why no container can be captured.
fn explain_nothing(stop: &Stop, output: &Output) -> Result<(), Error> {
    let running =
        || containerdump::tap::running_containers(&NamedNamespaces::default(), EngineTimeouts::COMMAND_LINE);
    let Ok(running) = stop.wait_for(output.pipe(), running) else { return Ok(()) };
    Err(if running?.containers.is_empty() {
        Error::new("no container is running", "start one, then press F5")
    } else {
        Error::new("containers have started since the list was made", "press F5 and choose one")
    })
}

/// Tells the trouble with an engine as it is now, which its interface was started for.
fn tell_trouble(engine: EngineKind, stop: &Stop, output: &Output) -> Result<(), Error> {
    let Ok(listings) = stop.wait_for(output.pipe(), || {
        Ok(engine::list(&NamedNamespaces::default(), EngineTimeouts::COMMAND_LINE))
    }) else {
        return Ok(());
    };
    let mut is_absent = true;
    for listing in listings?.into_iter().filter(|listing| listing.engine == engine) {
        match listing.status {
            EngineStatus::Unavailable(trouble) => return Err(trouble),
            EngineStatus::Available { .. } => is_absent = false,
            EngineStatus::Absent => {}
        }
    }
    let now = if is_absent { "no such engine runs" } else { "the engine answers" };
    Err(Error::new(
        format!("cannot capture {}: it is no container, and {now} now", troubled(engine)),
        "load the list anew (F5) and choose a container; one that is not in the list can be captured by its name: \
         containerdump capture NAME",
    ))
}
