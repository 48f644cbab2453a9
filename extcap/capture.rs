//! A capture on this host from its request to its end, the same for Wireshark and the command line.

use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::path::Path;

use containerdump::broker::Broker;
use containerdump::capture::{self, CaptureSettings, RingBudget};
use containerdump::container::selection::Selection;
use containerdump::engine::{ContainerWatcher, NamespaceScans, TapContainer};
use containerdump::error::Error;
use containerdump::follow::{
    CapturedContainer, CapturedContainers, FollowOptions, Follower, InitialContainers,
};
use containerdump::link::{NamespaceHandle, Tap};
use containerdump::own_program;
use containerdump::own_traffic;
use containerdump::peer::compression::CompressionMode;
use containerdump::privilege::{self, Privilege, Unprivileged};
use containerdump::request::CaptureRequest;
use containerdump::session::{
    self, CaptureSession, ChangeReceiver, CommandReceiver, Limits, Member, Output, OutputFiles,
    PeriodicReport, Source, Totals,
};
use containerdump::stop::{Stop, Stopped};
use containerdump::tap::{self, TapRights, TargetOptions, Targets};
use log::{debug, info, warn};

use crate::capture_notices;
use crate::wireshark::shared_capture::{MemberConnections, MemberListener};
use crate::wireshark::toolbar::{RunningToolbar, Toolbar, ToolbarConfig};

/// What to capture, where to write it, and when to end.
pub(crate) struct CaptureJob {
    pub(crate) request: CaptureRequest,
    /// Whether named containers that cannot be captured are skipped, as those of a group are.
    pub(crate) skip_unavailable: bool,
    pub(crate) limits: Limits,
    pub(crate) target: OutputTarget,
    /// Wireshark's toolbar for this capture.
    pub(crate) toolbar: Option<Toolbar>,
    /// Notifies the processes whose interfaces are captured here, too.
    pub(crate) confirmation: Option<MemberListener>,
}

/// Where a capture is written.
pub(crate) enum OutputTarget {
    /// A FIFO that is open, and whose section header is written.
    Started(Box<Output>),
    StandardOutput,
    /// Standard output, which containerdump on another host reads.
    Peer(CompressionMode),
    Files(OutputFiles),
}

/// An output that is open.
pub(crate) struct OpenedOutput {
    pub(crate) output: Output,
    pub(crate) is_header_written: bool,
    /// The ring buffer of files whose first one it is.
    pub(crate) files: Option<OutputFiles>,
}

impl OutputTarget {
    pub(crate) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Started(output) => output.pipe(),
            Self::StandardOutput | Self::Peer(_) | Self::Files(_) => None,
        }
    }

    /// Opens the output.
    ///
    /// Fails when it cannot be opened; with [`Stopped`] when the capture is stopped before.
    pub(crate) fn open(self, stop: &Stop) -> Result<Result<OpenedOutput, Error>, Stopped> {
        let opened = |output, is_header_written, files| OpenedOutput { output, is_header_written, files };
        Ok(match self {
            Self::Started(output) => Ok(opened(*output, true, None)),
            Self::StandardOutput => Output::stdout().map(|output| opened(output, false, None)),
            Self::Peer(compress) => {
                Output::stdout().map(|output| opened(output.compressed(compress), false, None))
            }
            Self::Files(mut files) => files.open_next(stop)?.map(|output| opened(output, false, Some(files))),
        })
    }
}

impl CaptureJob {
    fn selection(&self) -> Selection {
        Selection { skip_unavailable: self.skip_unavailable, ..self.request.selection() }
    }

    fn options(&self, privilege: &Privilege) -> Result<TargetOptions, Error> {
        Ok(TargetOptions {
            networks: self.request.networks.clone(),
            tap: self.request.tap.kind(),
            rights: TapRights::from_privilege(privilege),
            entered: tap::scan_named_namespaces(privilege)?,
        })
    }

    /// Finds the containers to capture.
    ///
    /// Fails with [`Stopped`] when the capture is stopped before.
    pub(crate) fn find(&self, stop: &Stop, privilege: &Privilege) -> Result<Result<Targets, Error>, Stopped> {
        let (selection, options, follows) =
            (self.selection(), self.options(privilege), self.request.follows());
        stop.wait_for(self.target.pipe(), move || tap::find(&selection, &options?, follows))
    }

    /// How rings are opened: as requested, without the program's own traffic.
    fn settings(&self, privilege: &Privilege) -> Result<CaptureSettings, Error> {
        let mut settings = self.request.settings()?;
        if !self.request.own_traffic {
            settings.exclusion = own_traffic::exclusion_filter(privilege)?;
            settings.exclusion.iter().for_each(|filter| info!("own traffic is excluded: {filter}"));
        }
        Ok(settings)
    }

    /// Finds and opens the taps, drops all privileges, and captures until there is a reason to stop.
    pub(crate) fn run(
        self,
        stop: &Stop,
        mut privilege: Privilege,
        notice: &(dyn Fn(&str) + Sync),
        report: Option<PeriodicReport<'_>>,
    ) -> Result<Totals, Error> {
        // Before containers are found, each of which holds a file descriptor.
        let limit = privilege::raise_descriptor_limit();
        let mut settings = self.settings(&privilege)?;
        if !self.request.own_traffic {
            // It asks `ssh`, which may take long.
            let filter = stop.wait_for(self.target.pipe(), || Ok(own_traffic::remote_exclusion_filter()));
            let Ok(filter) = filter else { return Ok(Totals::default()) };
            settings.remote_exclusion = filter?;
        }
        let options = self.options(&privilege)?;
        let found = match self.find(stop, &privilege) {
            Ok(found) => found?,
            Err(Stopped) => return Ok(Totals::default()),
        };
        for line in capture_notices::omissions(&found) {
            notice(&line);
        }
        let rings: usize = found.targets.iter().map(|target| target.attachments.len()).sum();
        debug!("{rings} rings, {limit} file descriptors");
        let block_timeout = capture::block_timeout(rings);
        let selection = self.selection().bind_names(&found.running);
        let follows = self.request.follows() || selection.has_criteria();
        let mut budget = ring_budget(&settings, &selection, &found);
        // Before the user namespace of a rootless container is entered, whose root could look into the broker.
        let broker = if follows { start_broker() } else { None };
        let opened = tap::open(&found.targets, &settings, &mut budget, block_timeout, &privilege, notice)?;
        if let Some(line) = capture_notices::mixed_link_types(opened.sources.iter().flatten()) {
            notice(&line);
        }
        privilege.become_caller()?;
        let feeds_session = matches!(self.target, OutputTarget::Peer(_));
        let OpenedOutput { output, is_header_written, files } = match self.target.open(stop) {
            Ok(outcome) => outcome?,
            Err(Stopped) => return Ok(Totals::default()),
        };
        let proof = privilege.give_up()?;
        let (toolbar, commands) = start_toolbar(self.toolbar, &settings, &opened.sources, &proof);
        let confirmation =
            self.confirmation.map(|listener| listener.serve(&proof)).transpose().map_err(|error| {
                Error::new(
                    format!("cannot start a thread: {error}"),
                    "raise the limit of processes: ulimit -u",
                )
            })?;
        let (mut follower, mut changes) = (None, None);
        let mut tap_containers = opened.tap_containers;
        if follows {
            let follow_options = FollowOptions { selection, target_options: options, settings, budget };
            let taken = std::mem::take(&mut tap_containers);
            let captured = captured(&found, opened.taps, opened.ring_kib, taken);
            let started = start_follow(follow_options, &found, captured, broker)?;
            (follower, changes) = (Some(started.0), Some(started.1));
        }
        let members = members(found.targets, opened.sources);
        info!("capturing {} containers", members.len());
        let session = CaptureSession {
            members,
            changes,
            commands,
            names: found.names,
            block_timeout,
            duplicates: self.request.duplicates,
            limits: self.limits,
            feeds_session,
            output,
            is_header_written,
            files,
        };
        let outcome = run_with_follower(follower, notice, || session.run(stop, &proof, report));
        if let Some(toolbar) = toolbar {
            toolbar.end(outcome.as_ref().ok());
        }
        // Tap containers are removed before the program ends.
        tap_containers.into_iter().map(TapContainer::end).for_each(|end| debug!("{end:?}"));
        let totals = outcome?;
        confirmation.into_iter().for_each(MemberConnections::report_end);
        info!("{} packets, {} bytes, {} dropped", totals.packets, totals.bytes, totals.drops);
        for (name, drops) in &totals.drops_by_interface {
            info!("{drops} packets of {name} dropped");
        }
        Ok(totals)
    }
}

/// Starts the toolbar, if there is one, in a capture of `sources`.
pub(crate) fn start_toolbar(
    toolbar: Option<Toolbar>,
    settings: &CaptureSettings,
    sources: &[Vec<Source>],
    proof: &Unprivileged,
) -> (Option<RunningToolbar>, Option<CommandReceiver>) {
    let Some(toolbar) = toolbar else { return (None, None) };
    let ring = |source: &Source| match source {
        Source::Ring(interface, _) => Some(interface.link_type),
        Source::Remote { .. } => None,
    };
    let link_types = sources.iter().flatten().filter_map(ring).collect();
    let config = ToolbarConfig { settings: settings.clone(), link_types, leader: None };
    match toolbar.start(config, proof) {
        Ok((toolbar, commands)) => (Some(toolbar), Some(commands)),
        // The capture continues without it.
        Err(error) => {
            warn!("toolbar disabled: {error}");
            (None, None)
        }
    }
}

/// Runs `work` while containers are followed.
fn run_with_follower<T>(
    follower: Option<Follower>,
    notice: &(dyn Fn(&str) + Sync),
    work: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    let Some(follower) = follower else { return work() };
    let (ended, end) = std::io::pipe().map_err(|error| {
        Error::new(format!("cannot follow containers: {error}"), "raise the limit of open files: ulimit -n")
    })?;
    std::thread::scope(|scope| {
        let ended = &ended;
        scope.spawn(move || follower.run(ended, notice));
        let outcome = work();
        drop(end);
        outcome
    })
}

/// The sources of each target, and what keeps its namespace alive. Targets that share a namespace are one member.
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

/// Attachments that the memory budget of a group allows for.
const GROUP_ATTACHMENTS: usize = 200;

/// Memory for the rings of the targets, and of those that start later.
fn ring_budget(settings: &CaptureSettings, selection: &Selection, found: &Targets) -> RingBudget {
    let count = found.targets.iter().map(|target| target.attachments.len()).sum::<usize>();
    // A container that is restarted gets the memory of its predecessor.
    let expected = if selection.has_criteria() { count.max(GROUP_ATTACHMENTS) } else { count };
    RingBudget::new(settings.ring_kib, expected)
}

/// Starts the broker, which keeps the right to open taps of containers that start later.
fn start_broker() -> Option<Broker> {
    // The capture starts without it.
    Broker::start(Path::new(own_program::EXECUTABLE)).inspect_err(|error| warn!("{error}")).ok()
}

/// The captured containers: the open taps of each target, with a ring of `ring_kib` each.
fn captured(
    found: &Targets,
    taps: Vec<Vec<Tap>>,
    ring_kib: u32,
    tap_containers: Vec<TapContainer>,
) -> CapturedContainers {
    let mut captured = CapturedContainers::default();
    for (target, taps) in found.targets.iter().zip(taps) {
        let rings = vec![(taps.len(), ring_kib)];
        captured
            .add(&target.container.id, CapturedContainer { taps, rings, ..CapturedContainer::new(target) });
    }
    for tap_container in tap_containers {
        captured.add_tap_container(tap_container);
    }
    captured
}

/// Starts to follow containers.
///
/// Fails when there are no threads or file descriptors left.
fn start_follow(
    options: FollowOptions,
    found: &Targets,
    captured: CapturedContainers,
    broker: Option<Broker>,
) -> Result<(Follower, ChangeReceiver), Error> {
    let (sender, changes) = session::change_channel().map_err(|error| {
        Error::new(format!("cannot follow containers: {error}"), "raise the limit of open files: ulimit -n")
    })?;
    let pids: HashMap<_, _> =
        found.targets.iter().map(|target| (target.container.id.clone(), target.pid())).collect();
    let pairs = found.running.iter().map(|one| (one.clone(), pids.get(&one.id).copied().flatten()));
    let may_select = options.selection.may_select_namespace(&found.running);
    let scans = if may_select { NamespaceScans::Prompt } else { NamespaceScans::Slow };
    let watcher = ContainerWatcher::start(pairs, options.target_options.entered.clone(), scans)?;
    let initial = InitialContainers { running: found.running.clone(), captured };
    Ok((Follower::new(options, initial, watcher, broker, sender), changes))
}
