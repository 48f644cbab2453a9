//! Captures of this host.

use containerdump::error::Error;
use containerdump::privilege::Privilege;
use containerdump::session::{Output, PeriodicReport, Totals};
use containerdump::stop::{Stop, Stopped};

use crate::capture::{CaptureJob, OutputTarget};
use crate::cli::report_drops;
use crate::wireshark::arguments::ExtcapArgs;
use crate::wireshark::options::{capture_request, limits};
use crate::wireshark::shared_capture::{
    self, JoinOutcome, MemberCapture, MemberListener, Role, SiblingCapture,
};
use crate::wireshark::toolbar::{self, Toolbar, ToolbarHandle};

/// Captures `interface`, together with the other selected interfaces that have the same options.
///
/// # Errors
///
/// If the interface cannot be captured.
pub(super) fn run(
    arguments: &ExtcapArgs,
    interface: &str,
    output: Output,
    toolbar: Option<Toolbar>,
    stop: &Stop,
    privilege: Privilege,
) -> Result<(), Error> {
    let handle = toolbar.as_ref().map(Toolbar::handle);
    let show = |line: &str| handle.iter().for_each(|handle| handle.log_and_show(line));
    let mut job = CaptureJob {
        request: capture_request(arguments, interface)?,
        skip_unavailable: false,
        limits: limits(arguments)?,
        target: OutputTarget::Started(Box::new(output)),
        toolbar: None,
        confirmation: None,
    };
    let assign = || shared_capture::assign_role(interface, arguments, shared_capture::find_siblings());
    let (role, mut separate) = privilege.as_caller(assign)?;
    // A leader captures its members even if its own interface cannot be captured.
    let mut own_outcome = Ok(());
    match role {
        Role::Standalone => {}
        Role::Leader(members) => {
            match MemberListener::bind(members.iter().map(|member| member.pid).collect()) {
                Ok(listener) => {
                    job.confirmation = Some(listener);
                    own_outcome = match job.find(stop, &privilege) {
                        Ok(found) => found.map(|_| ()),
                        Err(Stopped) => return Ok(()),
                    };
                    let members = interfaces(members);
                    show(&format!(
                        "{interface} is captured together with {}",
                        shared_capture::list_interfaces(&members)
                    ));
                    job.skip_unavailable = true;
                    if own_outcome.is_err() {
                        job.request.names.clear();
                    }
                    job.request.names.extend(members);
                }
                Err(error) => {
                    log::warn!("cannot capture several interfaces together: {error}");
                    separate.extend(interfaces(members));
                }
            }
        }
        Role::Member(leader) => {
            // An error is reported by the process of the interface.
            match job.find(stop, &privilege) {
                Ok(found) => found.map(|_| ())?,
                Err(Stopped) => return Ok(()),
            }
            match shared_capture::join(&leader, job.target.pipe(), stop) {
                JoinOutcome::Stopped => return Ok(()),
                JoinOutcome::Refused => separate.push(leader.interface),
                JoinOutcome::Joined(stream) => {
                    let settings = job.request.settings()?;
                    let member = MemberCapture { interface, leader: &leader.interface, stream, settings };
                    return member.run(job.target, toolbar, stop, privilege);
                }
            }
        }
    }
    if let Some(line) = shared_capture::separate_notice(interface, separate) {
        show(&line);
    }
    job.toolbar = toolbar;
    own_outcome.and(capture(job, handle.as_deref(), stop, privilege))
}

fn interfaces(siblings: Vec<SiblingCapture>) -> Vec<String> {
    siblings.into_iter().map(|sibling| sibling.interface).collect()
}

fn capture(
    job: CaptureJob,
    handle: Option<&ToolbarHandle>,
    stop: &Stop,
    privilege: Privilege,
) -> Result<(), Error> {
    // Without a toolbar, notices are not shown: Wireshark shows stderr in an error dialog.
    let notice = |line: &str| handle.iter().for_each(|handle| handle.log(line));
    let mut update = |totals: &Totals| {
        if let Some(handle) = handle {
            totals.notices().for_each(|line| handle.log(&line));
            handle.update(totals);
        }
    };
    let report: Option<PeriodicReport> = handle.is_some().then_some((toolbar::UPDATE_INTERVAL, &mut update));
    let totals = job.run(stop, privilege, &notice, report)?;
    if handle.is_none() {
        report_drops(&totals);
    }
    Ok(())
}
