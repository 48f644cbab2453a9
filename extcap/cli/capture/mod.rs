//! `containerdump capture`.

mod args;
mod no_selection;
mod remote;
mod selectors;

use containerdump::error::Error;
use containerdump::privilege::Privilege;
use containerdump::request::CaptureRequest;
use containerdump::session::{Limits, Totals};
use containerdump::stop::Stop;

use super::progress::{Progress, REPORT_INTERVAL};
use crate::capture::{CaptureJob, OutputTarget};
pub(super) use args::CaptureArgs;
pub(super) use remote::{LocalOutput, RemoteCapture};

/// Shown when a capture has ended because its containers stopped.
const CONTAINERS_STOPPED: &str = "the capture has ended: every captured container has stopped.\n\
    Remedy: with --follow it continues when they are restarted or recreated.";

/// Shown when a capture has ended because its interfaces are gone.
const INTERFACES_GONE: &str = "the capture has ended: no captured interface is left.\n\
    Remedy: with --follow it continues when the container is connected to a network again.";

impl CaptureArgs {
    pub(super) fn run(self, privilege: Privilege) -> Result<(), Error> {
        let stop = Stop::watch(false)?;
        privilege.as_caller(|| self.open_log())??;
        let request = self.request();
        check(&request, !self.hosts.is_empty())?;
        let (target, limits) = (self.target()?, self.limits());
        let progress = Progress::new(self.quiet);
        if !self.hosts.is_empty() {
            let capture = RemoteCapture { hosts: self.hosts, request, limits, quiet: self.quiet };
            return capture.run(LocalOutput { target, progress, toolbar: None }, &stop, privilege);
        }
        progress.show_target(&target);
        let follows = request.follows();
        let totals = capture(request, limits, target, &progress, &stop, privilege)?;
        if !follows && totals.sources_ended {
            progress.warn(if totals.has_removed_interface { INTERFACES_GONE } else { CONTAINERS_STOPPED });
        }
        Ok(())
    }
}

/// Captures what containerdump on another host requests, to standard output, which it reads over ssh.
pub(super) fn serve(request: CaptureRequest, privilege: Privilege) -> Result<(), Error> {
    let stop = Stop::watch(false)?.with_lifeline()?;
    check(&request, false)?;
    let target = OutputTarget::Peer(request.compress);
    capture(request, Limits::default(), target, &Progress::new(false), &stop, privilege).map(|_| ())
}

/// Fails when `request` selects no container, or its capture filter is not valid.
fn check(request: &CaptureRequest, is_remote: bool) -> Result<(), Error> {
    request.settings()?;
    if request.is_empty() { Err(no_selection::error(is_remote)) } else { Ok(()) }
}

/// Captures on this host.
fn capture(
    request: CaptureRequest,
    limits: Limits,
    target: OutputTarget,
    progress: &Progress,
    stop: &Stop,
    privilege: Privilege,
) -> Result<Totals, Error> {
    let job =
        CaptureJob { request, skip_unavailable: false, limits, target, toolbar: None, confirmation: None };
    let mut show = |totals: &Totals| progress.show(totals);
    let totals = job.run(stop, privilege, &|line| progress.warn(line), Some((REPORT_INTERVAL, &mut show)))?;
    progress.end(&totals);
    Ok(totals)
}
