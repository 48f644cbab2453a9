//! How a container joins.

use std::time::{Duration, Instant};

use log::{debug, warn};

use super::{Follow, Notice, Place};
use crate::container::Container;
use crate::error::Error;
use crate::link::{Attachment, Links, NamespaceHandle};
use crate::safe_text::SafeText;
use crate::session::{Announcement, Member, SessionChange, SessionEnded, Source};
use crate::tap::{self, Target};

/// What was opened for a container that joins.
#[derive(Default)]
struct Opened {
    sources: Vec<Source>,
    place: Place,
    since: Option<u64>,
    expected: Vec<Announcement>,
}

impl Follow {
    /// Takes `container`, which is meant, into the capture: all of it that is not there already.
    pub(super) fn join(&mut self, container: &Container, notice: Notice) -> Result<(), SessionEnded> {
        let away = self.left.get(&container.name).map(Instant::elapsed);
        match self.look_up_and_open(container, away, notice) {
            Ok(Some((holder, opened))) => {
                self.left.remove(&container.name);
                self.known.captured.add(&container.id, opened.place);
                if opened.sources.is_empty() {
                    notice(&format!("{} is in the network of one that is captured already", container.name));
                    return holder
                        .map_or(Ok(()), |holder| self.changes.send(SessionChange::AddHolder(holder)));
                }
                // Before the first packet that needs them.
                self.tell_names()?;
                notice(&joined_in_words(&container.name, away));
                self.changes.send(SessionChange::AddMember(Member {
                    sources: opened.sources,
                    holders: holder.into_iter().collect(),
                    since: opened.since,
                    announcements: opened.expected,
                }))
            }
            Ok(None) => Ok(()),
            Err(why) => {
                warn!("{} does not join: {why}", container.name);
                notice(&format!("not captured: {} ({})", container.name, why.message()));
                Ok(())
            }
        }
    }

    /// Takes those in again whose tap containers have ended, as they do with their engine.
    pub(super) fn join_again(&mut self, notice: Notice) -> Result<(), SessionEnded> {
        for id in self.known.captured.broken() {
            let runs = self.known.running.iter().find(|container| container.id == id).cloned();
            let rings = self.known.captured.remove(&id);
            self.give_back(rings.unwrap_or_default());
            if let Some(container) = runs {
                self.join(&container, notice)?;
            }
        }
        Ok(())
    }

    /// `None` where there is nothing of it to be captured that is not already.
    fn look_up_and_open(
        &self,
        container: &Container,
        away: Option<Duration>,
        notice: Notice,
    ) -> Result<Option<(Option<NamespaceHandle>, Opened)>, Error> {
        let running = &self.known.running;
        let (chosen, _) = self.selection.resolve(running);
        let Some(chosen) = chosen.into_iter().find(|chosen| chosen.container.id == container.id) else {
            return Ok(None);
        };
        let Some(mut target) = tap::prepare(&chosen, running, &Links::now()?, &self.wanted)? else {
            return Ok(None);
        };
        target.back_after = away;
        let is_named = !self.wanted.networks.is_empty() || !chosen.attachments.is_empty();
        let place = Place::of(&target);
        let captured = &self.known.captured;
        // Of a container that has lost its last network, nothing but loopback would be left.
        let is_left = |one: &Attachment| is_named || !captured.has(&container.id) || !one.tap.is_loopback();
        let is_new =
            |one: &Attachment| is_left(one) && !captured.has_tap(&container.id, place.namespace, &one.tap);
        let attachments: Vec<Attachment> =
            std::mem::take(&mut target.attachments).into_iter().filter(is_new).collect();
        if attachments.is_empty() && captured.has(&container.id) {
            return Ok(None);
        }
        let mut opened = Opened { place, ..Opened::default() };
        let others = self.adopt(&target, attachments, &mut opened);
        self.open(&target, &others, &mut opened, notice)?;
        Ok(Some((target.holder.ok(), opened)))
    }

    /// Takes over what of `attachments` was opened early. Returns the others.
    fn adopt(&self, target: &Target, attachments: Vec<Attachment>, opened: &mut Opened) -> Vec<Attachment> {
        let namespace = target.holder.as_ref().ok().and_then(|holder| holder.namespace_id().ok().flatten());
        let mut others = Vec::new();
        for attachment in attachments {
            let early = namespace.and_then(|namespace| self.early.take(&attachment.tap, namespace));
            let Some(early) = early else {
                others.push(attachment);
                continue;
            };
            // Where the filter was changed since, the session has it changed there, too.
            match tap::adopt_preopened(target, &attachment, early.asked, &early.settings) {
                Ok(source) => {
                    opened.sources.push(source);
                    opened.since = opened.since.or(Some(early.since));
                    opened.expected.extend(early.expected);
                    opened.place.rings.push((1, early.ring_mib));
                    opened.place.taps.push(attachment.tap);
                }
                Err(why) => {
                    debug!("{} is opened anew: {why}", attachment.name());
                    self.give_back(vec![(1, early.ring_mib)]);
                    others.push(attachment);
                }
            }
        }
        others
    }

    /// Opens `attachments`. Fails where nothing else is there to be captured.
    fn open(
        &self,
        target: &Target,
        attachments: &[Attachment],
        opened: &mut Opened,
        notice: Notice,
    ) -> Result<(), Error> {
        let count = attachments.len();
        if count == 0 {
            return Ok(());
        }
        let each = self.early.budget(|budget| budget.allocate(count));
        let settings = self.changes.settings(&self.settings);
        match tap::open_added(target, attachments, &settings, each, self.opener.as_deref(), notice) {
            Ok(joined) => {
                opened.sources.extend(joined.sources);
                opened.place.tap_containers.extend(joined.tap_containers);
                opened.place.rings.push((count, each));
                opened.place.taps.extend(attachments.iter().map(|attachment| attachment.tap.clone()));
                Ok(())
            }
            Err(why) => {
                self.give_back(vec![(count, each)]);
                if opened.sources.is_empty() {
                    return Err(why);
                }
                warn!("{why}");
                notice(&format!("not captured: a part of {} ({})", target.container.name, why.message()));
                Ok(())
            }
        }
    }
}

fn joined_in_words(name: &SafeText, away: Option<Duration>) -> String {
    match away {
        None => format!("{name} has joined"),
        Some(away) => format!("{name} is back after {:.1} s", away.as_secs_f32()),
    }
}
