//! A capture that goes on as containers come and go.
//!
//! ```text
//! engine::Watch ──> who came, and is meant ──> looked up, opened by the opener or its engine ──> joins
//!                   who went                   (the session sees it by itself)
//!                   what is called how now ──────────────────────────────────────────> names
//! ```

use std::collections::HashMap;
use std::io::PipeReader;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use log::{info, warn};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::capture::{Budget, Settings};
use crate::container::{Container, ContainerId};
use crate::engine::{self, TapContainer, Watch};
use crate::link::{self, Entered, Links, Tap};
use crate::names;
use crate::opener::Opener;
use crate::selection::Selection;
use crate::session::{Change, Joining, Member, Over};
use crate::tap::{self, Kind, Means};
use crate::text::Label;

/// What those who join are captured like.
pub struct Terms {
    /// Who is meant.
    pub selection: Selection,
    /// Networks or interfaces of theirs; all where there is none.
    pub networks: Vec<String>,
    /// The kind of tap that was asked for; the best where none was.
    pub tap: Option<Kind>,
    /// Filter, snap length and so on.
    pub settings: Settings,
    /// What is left of the memory for rings.
    pub budget: Budget,
    /// What the kernel tells of namespaces without processes.
    pub entered: Entered,
}

/// Follows containers for as long as a capture runs.
pub struct Follow {
    terms: Terms,
    watch: Watch,
    opener: Option<Opener>,
    means: Means,
    joining: Joining,
    /// Everybody who runs, as far as it is known.
    running: Vec<Container>,
    /// Who is captured, and where.
    captured: HashMap<ContainerId, Captured>,
    /// When those left who were captured, by their names.
    left: HashMap<Label, Instant>,
    names: Vec<(std::net::IpAddr, Label)>,
    tap_containers: Vec<TapContainer>,
}

/// Where a container is captured.
#[derive(Clone, Debug, Default)]
pub struct Captured {
    /// The taps of its attachments.
    pub taps: Vec<Tap>,
    /// How many attachments have rings of how many MiB.
    pub rings: Vec<(usize, u32)>,
}

impl Follow {
    /// Follows from what is `running`, of which `captured` are in the capture; tells `joining`.
    pub fn new(
        terms: Terms,
        watch: Watch,
        opener: Option<Opener>,
        means: Means,
        joining: Joining,
        running: Vec<Container>,
        captured: HashMap<ContainerId, Captured>,
    ) -> Self {
        // Nobody enters a user namespace while threads run, and none could come back from there.
        let means = Means {
            capture: opener.is_some(),
            enter: opener.as_ref().is_some_and(Opener::may_enter),
            goes_there: false,
            ..means
        };
        Self {
            terms,
            watch,
            opener,
            means,
            joining,
            running,
            captured,
            left: HashMap::new(),
            names: Vec::new(),
            tap_containers: Vec::new(),
        }
    }

    /// Does so until the other end of `end` is closed, or the capture is over. `notice` is told who joins,
    /// and why somebody cannot.
    pub fn run(mut self, end: &PipeReader, notice: &(dyn Fn(&str) + Sync)) {
        loop {
            let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
            let mut watched = [readable(self.watch.as_fd()), readable(end.as_fd())];
            // An interrupted wait is a short wait.
            let _ = poll(&mut watched, PollTimeout::NONE);
            if watched[1].any() == Some(true) {
                break;
            }
            let changes = self.watch.changes();
            let change_of_names = !changes.is_empty();
            for change in changes {
                if self.change(change, notice).is_err() {
                    break;
                }
            }
            if change_of_names && self.tell_names().is_err() {
                break;
            }
        }
        self.tap_containers.into_iter().map(TapContainer::end).for_each(|end| info!("{end:?}"));
    }

    fn change(&mut self, change: engine::Change, notice: &(dyn Fn(&str) + Sync)) -> Result<(), Over> {
        match change {
            engine::Change::Came(container, _) => {
                self.running.retain(|one| one.id != container.id);
                self.running.push((*container).clone());
                self.join(&container, notice)
            }
            engine::Change::Renamed(container) | engine::Change::Networks(container) => {
                self.running.retain(|one| one.id != container.id);
                self.running.push((*container).clone());
                self.join(&container, notice)
            }
            engine::Change::Went(id) => {
                let gone = self.running.iter().position(|one| one.id == id);
                if let Some(gone) = gone.map(|at| self.running.swap_remove(at))
                    && let Some(captured) = self.captured.remove(&id)
                {
                    for (count, each) in captured.rings {
                        self.terms.budget.give_back(count, each);
                    }
                    notice(&format!("{} has ended", gone.name));
                    self.left.insert(gone.name, Instant::now());
                }
                Ok(())
            }
            engine::Change::Lost(place, why) => {
                warn!("{why}");
                notice(&format!("{place} does not answer any more ({}); the capture goes on", why.what()));
                Ok(())
            }
            engine::Change::Back(place) => {
                notice(&format!("{place} answers again"));
                Ok(())
            }
        }
    }

    /// Takes `container` into the capture, if it is meant: all of it that is not there already.
    fn join(&mut self, container: &Container, notice: &(dyn Fn(&str) + Sync)) -> Result<(), Over> {
        let (chosen, _) = self.terms.selection.of(&self.running);
        let Some(chosen) = chosen.into_iter().find(|chosen| chosen.container.id == container.id) else {
            return Ok(());
        };
        let away = self.left.remove(&container.name).map(|since| since.elapsed());
        if let Some(filter) = self.joining.filter() {
            self.terms.settings.filter = filter.text().map(str::to_owned);
        }
        let joined = Links::now().and_then(|links| {
            let Terms { networks, tap, entered, settings, budget, .. } = &mut self.terms;
            let prepared =
                tap::prepared(chosen, &self.running, &links, networks, &self.means, *tap, entered)?;
            let Some(mut target) = prepared else { return Ok(None) };
            let known = self.captured.entry(container.id.clone()).or_default();
            target.attachments.retain(|attachment| !known.taps.contains(&attachment.tap));
            target.back_after = away;
            if target.attachments.is_empty() {
                return Ok(None);
            }
            let count = target.attachments.len();
            let each = budget.take(count);
            let joined = tap::join(&target, settings, each, self.opener.as_ref(), notice);
            let joined = joined.inspect_err(|_| budget.give_back(count, each))?;
            known.taps.extend(target.attachments.iter().map(|attachment| attachment.tap.clone()));
            known.rings.push((count, each));
            Ok(Some((target, joined)))
        });
        if self.captured.get(&container.id).is_some_and(|captured| captured.taps.is_empty()) {
            self.captured.remove(&container.id);
        }
        match joined {
            Ok(Some((target, joined))) => {
                notice(&joined_in_words(&container.name, away));
                self.tap_containers.extend(joined.tap_containers);
                let holders = target.holder.into_iter().collect();
                self.joining.tell(Change::Join(Member { sources: joined.sources, holders }))
            }
            Ok(None) => Ok(()),
            Err(why) => {
                warn!("{} does not join: {why}", container.name);
                notice(&format!("not captured: {} ({})", container.name, why.what()));
                Ok(())
            }
        }
    }

    fn tell_names(&mut self) -> Result<(), Over> {
        let is_captured = |container: &&Container| self.captured.contains_key(&container.id);
        let captured: Vec<&Container> = self.running.iter().filter(is_captured).collect();
        let names = names::of(&self.running, &captured, &link::own_addresses());
        if names == self.names {
            return Ok(());
        }
        self.names.clone_from(&names);
        self.joining.tell(Change::Names(names))
    }
}

fn joined_in_words(name: &Label, away: Option<Duration>) -> String {
    match away {
        None => format!("{name} has joined"),
        Some(away) => format!("{name} is back after {:.1} s", away.as_secs_f32()),
    }
}
