//! Adds a container to the session: looks up and opens what is not captured yet.

use std::time::{Duration, Instant};

use log::{debug, warn};

use super::{CapturedContainer, Follower, Notify};
use crate::container::Container;
use crate::error::Error;
use crate::link::{Attachment, Links, NamespaceHandle};
use crate::safe_text::SafeText;
use crate::session::{Announcement, Member, SessionChange, SessionEnded, Source};
use crate::tap::{self, Target};

/// What was opened of a container.
#[derive(Default)]
struct OpenedContainer {
    sources: Vec<Source>,
    captured: CapturedContainer,
    since: Option<u64>,
    announcements: Vec<Announcement>,
}

impl Follower {
    /// Captures what is not captured yet of a selected container.
    pub(super) fn join(&mut self, container: &Container, notify: Notify) -> Result<(), SessionEnded> {
        let away = self.ended.get(&container.name).map(Instant::elapsed);
        match self.look_up_and_open(container, away, notify) {
            Ok(Some((holder, opened))) => {
                self.ended.remove(&container.name);
                self.captured.add(&container.id, opened.captured);
                if opened.sources.is_empty() {
                    notify(&format!("{} shares the network of a captured container", container.name));
                    let add_holder = |holder| self.changes.send(SessionChange::AddHolder(holder));
                    return holder.map_or(Ok(()), add_holder);
                }
                // Names precede the packets that need them.
                self.send_names()?;
                notify(&joined_message(&container.name, away));
                self.changes.send(SessionChange::AddMember(Member {
                    sources: opened.sources,
                    holders: holder.into_iter().collect(),
                    since: opened.since,
                    announcements: opened.announcements,
                }))
            }
            Ok(None) => Ok(()),
            Err(error) => {
                warn!("{} cannot be added: {error}", container.name);
                notify(&format!("not captured: {} ({})", container.name, error.message()));
                Ok(())
            }
        }
    }

    /// Captures the containers again whose tap containers have ended with their engine.
    pub(super) fn recapture_broken(&mut self, notify: Notify) -> Result<(), SessionEnded> {
        for id in self.captured.broken() {
            let running = self.running.iter().find(|container| container.id == id).cloned();
            let rings = self.captured.remove(&id);
            self.release_rings(rings.unwrap_or_default());
            if let Some(container) = running {
                self.join(&container, notify)?;
            }
        }
        Ok(())
    }

    /// Returns `None` if all of it is captured already.
    fn look_up_and_open(
        &self,
        container: &Container,
        away: Option<Duration>,
        notify: Notify,
    ) -> Result<Option<(Option<NamespaceHandle>, OpenedContainer)>, Error> {
        let (selected, _) = self.selection.resolve(&self.running);
        let Some(selected) = selected.into_iter().find(|one| one.container.id == container.id) else {
            return Ok(None);
        };
        let Some(mut target) = tap::prepare(&selected, &self.running, &Links::now()?, &self.target_options)?
        else {
            return Ok(None);
        };
        target.back_after = away;
        let is_named = !self.target_options.networks.is_empty() || !selected.attachments.is_empty();
        let captured = CapturedContainer::new(&target);
        let is_captured = self.captured.contains(&container.id);
        // A captured container that has lost its last network has only loopback left, which is not worth adding.
        let is_new = |attachment: &Attachment| {
            (is_named || !is_captured || !attachment.tap.is_loopback())
                && !self.captured.has_tap(&container.id, captured.namespace, &attachment.tap)
        };
        let attachments: Vec<Attachment> =
            std::mem::take(&mut target.attachments).into_iter().filter(is_new).collect();
        if attachments.is_empty() && is_captured {
            return Ok(None);
        }
        let mut opened = OpenedContainer { captured, ..OpenedContainer::default() };
        let others = self.adopt(&target, attachments, &mut opened);
        self.open(&target, &others, &mut opened, notify)?;
        Ok(Some((target.holder.ok(), opened)))
    }

    /// Takes over the attachments that were opened in advance. Returns the others.
    fn adopt(
        &self,
        target: &Target,
        attachments: Vec<Attachment>,
        opened: &mut OpenedContainer,
    ) -> Vec<Attachment> {
        let namespace = target.holder.as_ref().ok().and_then(|holder| holder.namespace_id().ok().flatten());
        let mut others = Vec::new();
        for attachment in attachments {
            let veth = namespace.and_then(|namespace| self.preopener.take(&attachment.tap, namespace));
            let Some(veth) = veth else {
                others.push(attachment);
                continue;
            };
            // If the filter has been changed since, the session changes it for this tap, too.
            match tap::adopt_preopened(target, &attachment, veth.tap, &veth.settings) {
                Ok(source) => {
                    opened.sources.push(source);
                    opened.since = opened.since.or(Some(veth.since));
                    opened.announcements.extend(veth.announcement);
                    opened.captured.rings.push((1, veth.ring_kib));
                    opened.captured.taps.push(attachment.tap);
                }
                Err(error) => {
                    debug!("{} is opened again: {error}", attachment.name());
                    self.release_rings(vec![(1, veth.ring_kib)]);
                    others.push(attachment);
                }
            }
        }
        others
    }

    /// Opens `attachments`. Fails only if nothing else of the container is captured.
    fn open(
        &self,
        target: &Target,
        attachments: &[Attachment],
        opened: &mut OpenedContainer,
        notify: Notify,
    ) -> Result<(), Error> {
        let count = attachments.len();
        if count == 0 {
            return Ok(());
        }
        let ring_kib = self.preopener.with_budget(|budget| budget.allocate(count));
        let settings = self.changes.settings(&self.settings);
        match tap::open_added(target, attachments, &settings, ring_kib, self.broker.as_deref(), notify) {
            Ok(joined) => {
                opened.sources.extend(joined.sources);
                opened.captured.tap_containers.extend(joined.tap_containers);
                opened.captured.rings.push((count, ring_kib));
                opened.captured.taps.extend(attachments.iter().map(|attachment| attachment.tap.clone()));
                Ok(())
            }
            Err(error) => {
                self.release_rings(vec![(count, ring_kib)]);
                if opened.sources.is_empty() {
                    return Err(error);
                }
                warn!("{error}");
                let name = &target.container.name;
                notify(&format!("not captured: some interfaces of {name} ({})", error.message()));
                Ok(())
            }
        }
    }
}

fn joined_message(name: &SafeText, away: Option<Duration>) -> String {
    match away {
        None => format!("{name} was added to the capture"),
        Some(away) => format!("{name} is back after {:.1} s", away.as_secs_f32()),
    }
}
