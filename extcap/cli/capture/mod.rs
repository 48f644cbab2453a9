//! `containerdump capture`.

mod args;
mod no_selection;
mod remote;
mod selectors;

use containerdump::error::Error;
use containerdump::peer::compression::CompressionMode;
use containerdump::privilege::Privilege;
use containerdump::stop::Stop;

use super::progress::EVERY;
use crate::capture::OutputTarget;
pub(super) use args::CaptureArgs;
pub(super) use remote::{LocalOutput, run as run_far};

/// Why a capture of named containers ended by itself.
const CONTAINERS_STOPPED: &str = "the capture has ended: every captured container has stopped.\n\
    Remedy: with --follow it goes on when they are restarted or recreated.";

/// The same where their interfaces went away.
const INTERFACES_GONE: &str = "the capture has ended: no captured interface is left.\n\
    Remedy: with --follow it goes on when the container is connected to a network again.";

impl CaptureArgs {
    pub(super) fn run(self, privilege: Privilege) -> Result<(), Error> {
        let stop = Stop::watch(false)?;
        self.run_until(&stop, privilege, None)
    }

    /// The same for a session on another host, which reads standard output.
    pub(super) fn run_for_session(
        self,
        privilege: Privilege,
        compress: CompressionMode,
    ) -> Result<(), Error> {
        let stop = Stop::watch(false)?.with_lifeline()?;
        self.run_until(&stop, privilege, Some(compress))
    }

    fn run_until(
        self,
        stop: &Stop,
        privilege: Privilege,
        session: Option<CompressionMode>,
    ) -> Result<(), Error> {
        privilege.as_caller(|| self.open_log())??;
        self.filter()?;
        if self.selected.is_empty() {
            return Err(no_selection::refusal(!self.hosts.is_empty()));
        }
        let progress = self.progress();
        if !self.hosts.is_empty() {
            let here = LocalOutput { target: self.target()?, progress, toolbar: None };
            return remote::run(&self, here, stop, privilege);
        }
        let target = match session {
            Some(compress) => OutputTarget::Session(compress),
            None => self.target()?,
        };
        progress.say_where(&target);
        let ends_with_containers = session.is_none() && !self.selected.follows();
        let totals = self.job(target)?.run(
            stop,
            privilege,
            &|line| progress.warn(line),
            Some((EVERY, &mut |totals| progress.show(totals))),
        )?;
        progress.end(&totals);
        if ends_with_containers && totals.sources_ended {
            progress.warn(if totals.has_removed_interface { INTERFACES_GONE } else { CONTAINERS_STOPPED });
        }
        Ok(())
    }
}
