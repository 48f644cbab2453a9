//! A capture from names to its end, the same for Wireshark and for people.

use std::os::fd::BorrowedFd;

use containerdump::capture::{self, CaptureSettings};
use containerdump::container::selection::Selection;
use containerdump::engine::TapContainer;
use containerdump::error::Error;
use containerdump::follow::{FollowOptions, Follower};
use containerdump::link::NamespaceHandle;
use containerdump::own_traffic;
use containerdump::peer::compression::CompressionMode;
use containerdump::privilege::{self, Privilege, Unprivileged};
use containerdump::session::{
    CaptureSession, CommandReceiver, Duplicates, Limits, Member, Output, OutputFiles, Report, Source, Totals,
};
use containerdump::stop::{Stop, Stopped};
use containerdump::tap::{self, TapRights, TargetOptions, Targets, UncapturedNetwork};
use log::{debug, info, warn};

use crate::capture_notices;
use crate::following;
use crate::wireshark::shared_capture::{MemberConnections, MemberListener};
use crate::wireshark::toolbar::{RunningToolbar, Toolbar, ToolbarConfig};

/// What to capture, and where to.
pub(crate) struct CaptureJob {
    pub(crate) selection: Selection,
    /// Networks or interfaces of theirs; all where there is none.
    pub(crate) networks: Vec<String>,
    /// The kind of tap that was asked for; the best where none was.
    pub(crate) tap: Option<tap::TapKind>,
    /// Whether containers that are recreated are captured again; those of a group are, and later ones, too.
    pub(crate) follow: bool,
    /// What is kept of packets that cross between the containers.
    pub(crate) duplicates: Duplicates,
    pub(crate) settings: CaptureSettings,
    /// Whether the program's own traffic is captured, too.
    pub(crate) own_traffic: bool,
    pub(crate) limits: Limits,
    pub(crate) target: OutputTarget,
    /// Where it can be watched and changed, in Wireshark.
    pub(crate) toolbar: Option<Toolbar>,
    /// What other processes wait for whose interfaces are captured here, too.
    pub(crate) confirmation: Option<MemberListener>,
}

/// Where a capture goes to.
pub(crate) enum OutputTarget {
    /// A FIFO that is open already and has the section header.
    Begun(Box<Output>),
    StandardOutput,
    /// Standard output, which a session on another host reads.
    Session(CompressionMode),
    Files(OutputFiles),
}

/// An output that is open.
pub(crate) struct OpenedOutput {
    pub(crate) output: Output,
    /// Whether its header was written.
    pub(crate) begun: bool,
    /// The ring buffer of files that it is the first of.
    pub(crate) files: Option<OutputFiles>,
}

impl OutputTarget {
    pub(crate) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Begun(output) => output.pipe(),
            Self::StandardOutput | Self::Session(_) | Self::Files(_) => None,
        }
    }

    /// Opens the output.
    ///
    /// Fails when it cannot be opened; with [`Stopped`] when there is a reason to stop before it can.
    pub(crate) fn open(self, stop: &Stop) -> Result<Result<OpenedOutput, Error>, Stopped> {
        let opened = |output, begun, files| OpenedOutput { output, begun, files };
        Ok(match self {
            Self::Begun(output) => Ok(opened(*output, true, None)),
            Self::StandardOutput => Output::stdout().map(|output| opened(output, false, None)),
            Self::Session(compress) => {
                Output::stdout().map(|output| opened(output.compressed(compress), false, None))
            }
            Self::Files(mut files) => files.open_next(stop)?.map(|output| opened(output, false, Some(files))),
        })
    }
}

impl CaptureJob {
    fn wanted(&self, privilege: &Privilege) -> Result<TargetOptions, Error> {
        Ok(TargetOptions {
            networks: self.networks.clone(),
            tap: self.tap,
            rights: TapRights::from_privilege(privilege),
            entered: tap::scan_named_namespaces(privilege)?,
        })
    }

    /// Looks up what it is to capture.
    ///
    /// Fails with [`Stopped`] when there is a reason to stop before.
    pub(crate) fn find(&self, stop: &Stop, privilege: &Privilege) -> Result<Result<Targets, Error>, Stopped> {
        let (selection, wanted, follows) = (self.selection.clone(), self.wanted(privilege), self.follow);
        stop.wait_for(self.target.pipe(), move || tap::find(&selection, &wanted?, follows))
    }

    /// Looks up, opens, gives up every right, and captures until there is a reason to stop.
    pub(crate) fn run(
        self,
        stop: &Stop,
        mut privilege: Privilege,
        notice: &(dyn Fn(&str) + Sync),
        report: Option<Report<'_>>,
    ) -> Result<Totals, Error> {
        // Each container that is found holds one already.
        let limit = privilege::raise_descriptor_limit();
        let mut settings = self.settings.clone();
        if !self.own_traffic {
            settings.exclusion = own_traffic::exclusion_filter(&privilege)?;
            settings.remote_exclusion = own_traffic::remote_exclusion_filter();
            settings.exclusion.iter().for_each(|filter| info!("own traffic is left out: {filter}"));
        }
        let wanted = self.wanted(&privilege)?;
        let found = match self.find(stop, &privilege) {
            Ok(found) => found?,
            Err(Stopped) => return Ok(Totals::default()),
        };
        for target in &found.targets {
            if target.uses_host_network() {
                let name = &target.container.name;
                notice(&format!(
                    "{name} has no network of its own: it uses the host's, so this is the traffic of the host"
                ));
            }
            for UncapturedNetwork { network, why } in &target.left_out {
                notice(&format!("not captured: {network} of {} ({why})", target.container.name));
            }
        }
        for target in &found.targets {
            if let Some(line) = capture_notices::omitted_interfaces(target) {
                notice(&line);
            }
        }
        for name in &found.awaited {
            notice(&format!("{name} is between two restarts: it is captured from its next start"));
        }
        for (name, why) in &found.left_out {
            notice(&format!("not captured: {name} ({})", why.message()));
        }
        let rings: usize = found.targets.iter().map(|target| target.attachments.len() * 2).sum();
        let block_timeout = capture::block_timeout(rings);
        let selection = self.selection.bind_names(&found.running);
        let follows = self.follow || selection.has_criteria();
        let mut budget = following::budget(&settings, &selection, &found);
        debug!("{rings} rings, {limit} file descriptors");
        // Before the user namespace of a rootless container is entered, whose root could look into what starts there.
        let opener = if follows { following::opener() } else { None };
        let taken = tap::open(&found.targets, &settings, &mut budget, block_timeout, &privilege, notice)?;
        if let Some(line) = capture_notices::mixed_link_types(taken.sources.iter().flatten()) {
            notice(&line);
        }
        privilege.become_caller()?;
        let feeds_session = matches!(self.target, OutputTarget::Session(_));
        let OpenedOutput { output, begun, files } = match self.target.open(stop) {
            Ok(outcome) => outcome?,
            Err(Stopped) => return Ok(Totals::default()),
        };
        let proof = privilege.give_up()?;
        let (toolbar, commands) = start_toolbar(self.toolbar, &settings, &taken.sources, &proof);
        let confirmed =
            self.confirmation.map(|listener| listener.serve(&proof)).transpose().map_err(|error| {
                Error::new(format!("cannot start a thread: {error}"), "free some processes: ulimit -u")
            })?;
        let (mut follow, mut changes) = (None, None);
        let mut tap_containers = taken.tap_containers;
        if follows {
            let options = FollowOptions { selection, target_options: wanted, settings, budget };
            let captured =
                following::captured(&found, taken.taps, taken.ring_mib, std::mem::take(&mut tap_containers));
            let begun = following::begin(options, &found, captured, opener)?;
            (follow, changes) = (Some(begun.0), Some(begun.1));
        }
        let members = members(found.targets, taken.sources);
        info!("capturing {} containers", members.len());
        let session = CaptureSession {
            members,
            changes,
            commands,
            names: found.names,
            block_timeout,
            duplicates: self.duplicates,
            limits: self.limits,
            feeds_session,
            output,
            is_header_written: begun,
            files,
        };
        let outcome = run_with_follow(follow, notice, || session.run(stop, &proof, report));
        if let Some(toolbar) = toolbar {
            toolbar.end(outcome.as_ref().ok());
        }
        // What was made for the capture is gone before the program is.
        tap_containers.into_iter().map(TapContainer::end).for_each(|end| debug!("{end:?}"));
        let totals = outcome?;
        confirmed.into_iter().for_each(MemberConnections::report_end);
        info!("{} packets, {} bytes, {} dropped", totals.packets, totals.bytes, totals.drops);
        for (name, lost) in &totals.drops_by_interface {
            info!("{lost} packets of {name} dropped");
        }
        Ok(totals)
    }
}

/// Begins to use the toolbar, if there is one, in a capture of `sources`.
pub(crate) fn start_toolbar(
    toolbar: Option<Toolbar>,
    settings: &CaptureSettings,
    sources: &[Vec<Source>],
    proof: &Unprivileged,
) -> (Option<RunningToolbar>, Option<CommandReceiver>) {
    let Some(toolbar) = toolbar else { return (None, None) };
    let ring = |source: &Source| match source {
        Source::Rings(interface, _) => Some(interface.link_type),
        Source::Remote { .. } => None,
    };
    let link_types = sources.iter().flatten().filter_map(ring).collect();
    let config = ToolbarConfig { settings: settings.clone(), link_types, leader: None };
    match toolbar.start(config, proof) {
        Ok((toolbar, ordered)) => (Some(toolbar), Some(ordered)),
        // Packets matter more.
        Err(error) => {
            warn!("toolbar disabled: {error}");
            (None, None)
        }
    }
}

/// Does `work`, while `follow` goes on.
fn run_with_follow<T>(
    follow: Option<Follower>,
    notice: &(dyn Fn(&str) + Sync),
    work: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    let Some(follow) = follow else { return work() };
    let (ended, end) = std::io::pipe().map_err(|error| {
        Error::new(format!("cannot follow containers: {error}"), "free some file descriptors: ulimit -n")
    })?;
    std::thread::scope(|scope| {
        let ended = &ended;
        scope.spawn(move || follow.run(ended, notice));
        let outcome = work();
        drop(end);
        outcome
    })
}

/// The sources of each target, and what keeps its namespace there; those who share one come and go
/// together.
fn members(targets: Vec<tap::Target>, sources: Vec<Vec<Source>>) -> Vec<Member> {
    let mut members: Vec<(Option<u64>, Member)> = Vec::new();
    for (target, sources) in targets.into_iter().zip(sources) {
        let identity = target.holder.as_ref().ok().and_then(NamespaceHandle::network_identity);
        let known = members.iter().position(|(other, _)| other.is_some() && *other == identity);
        let index = known.unwrap_or_else(|| {
            members.push((identity, Member::default()));
            members.len() - 1
        });
        let member = &mut members[index].1;
        member.sources.extend(sources);
        member.holders.extend(target.holder.ok());
    }
    members.into_iter().map(|(_, member)| member).collect()
}
