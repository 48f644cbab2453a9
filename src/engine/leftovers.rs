//! What of tap containers an engine still has: containers that were made and never started, and
//! images.

use std::time::{Duration, SystemTime};

use hyper::Method;
use log::debug;
use serde_json::Value;

use super::ask::{Sent, ask, encoded};
use super::failure::Failure;
use super::tap_image::{NAME, bare_id};
use super::{labels, places};
use crate::container::{ContainerId, EngineKind};
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::safe_text::SafeText;

/// For one step of clearing away, which nobody should wait for long.
const DEADLINE: Duration = Duration::from_secs(10);
/// A tap container that does not run and is younger may be about to.
const STARTING: Duration = Duration::from_mins(1);
/// Most that are looked at in one engine.
const MOST: usize = 1000;

/// Something of ours that an engine keeps.
#[derive(Clone, Debug)]
pub struct Leftover {
    engine: EngineKind,
    endpoint: Endpoint,
    kind: Kind,
    name: SafeText,
}

#[derive(Clone, Debug)]
enum Kind {
    Container(ContainerId),
    /// By a name of ours, or by its id where it has none.
    Image(String),
}

impl std::fmt::Display for Leftover {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            Kind::Container(_) => "tap container",
            Kind::Image(_) => "image",
        };
        write!(formatter, "{kind} {} of {} at {}", self.name, self.engine.as_str(), self.endpoint)
    }
}

/// Everything of tap containers that the engines of this host keep, containers first. Those that run are
/// not among them: they end with their captures. Engines that cannot be asked are passed over.
///
/// Fails when there is nothing to wait with.
pub fn find_leftovers() -> Result<Vec<Leftover>, Error> {
    super::block_on(async {
        let mut all = Vec::new();
        for place in places::all() {
            let Ok(endpoint) = &place.endpoint else { continue };
            all.extend(of_engine(place.engine, endpoint).await.unwrap_or_default());
        }
        all
    })
}

/// Removes it.
///
/// Fails when the engine does not.
pub fn remove_leftover(leftover: &Leftover) -> Result<(), Error> {
    let path = match &leftover.kind {
        Kind::Container(id) => format!("/containers/{}", id.as_str()),
        Kind::Image(name) => format!("/images/{name}"),
    };
    let asked = ask(&leftover.endpoint, Method::DELETE, &path, Sent::Nothing, DEADLINE);
    match super::block_on(asked)? {
        Ok(_) | Err(Failure::Refused(404, _)) => Ok(()),
        Err(failure) => {
            Err(failure.trouble(leftover.engine, &leftover.endpoint, &format!("remove {}", leftover.name)))
        }
    }
}

async fn of_engine(engine: EngineKind, endpoint: &Endpoint) -> Result<Vec<Leftover>, Failure> {
    let leftover =
        |kind, name: &str| Leftover { engine, endpoint: endpoint.clone(), kind, name: SafeText::new(name) };
    let images = images(endpoint).await?;
    let ids: Vec<&str> = images
        .iter()
        .filter(|image| !names(image).is_empty())
        .filter_map(|image| image["Id"].as_str())
        .collect();
    let is_of_ours = |made: &Value| {
        // Whoever labels a container of another image with our word does not have it removed by that.
        let image = made["Image"].as_str().unwrap_or_default();
        image.starts_with(NAME) || made["ImageID"].as_str().is_some_and(|id| ids.contains(&id))
    };
    let made = containers(endpoint).await?;
    let containers = made.iter().filter(|made| is_of_ours(made) && !runs(made)).filter_map(|made| {
        let id = ContainerId::parse(made["Id"].as_str()?)?;
        let name = made["Names"][0].as_str().unwrap_or(id.short()).trim_start_matches('/').to_owned();
        Some(leftover(Kind::Container(id), &name))
    });
    let images = images.iter().flat_map(names).map(|name| leftover(Kind::Image(name.clone()), &name));
    Ok(containers.chain(images).collect())
}

/// What an image of ours is removed by.
fn names(image: &Value) -> Vec<String> {
    let tags: Vec<&str> =
        image["RepoTags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    // `<none>:<none>` stands for no name: it went to one that was imported at the same time.
    let is_nameless = tags.iter().all(|tag| tag.starts_with("<none>"));
    if is_nameless {
        return image["Id"].as_str().and_then(bare_id).into_iter().collect();
    }
    let is_ours =
        |tag: &&&str| tag.strip_prefix(NAME).and_then(|rest| rest.strip_prefix(':')).is_some_and(is_tag);
    tags.iter().filter(is_ours).map(ToString::to_string).collect()
}

fn is_tag(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

async fn images(endpoint: &Endpoint) -> Result<Vec<Value>, Failure> {
    listed(endpoint, "/images/json?", labels::DIGEST).await
}

async fn containers(endpoint: &Endpoint) -> Result<Vec<Value>, Failure> {
    listed(endpoint, "/containers/json?all=1&", labels::TAP).await
}

async fn listed(endpoint: &Endpoint, path: &str, label: &str) -> Result<Vec<Value>, Failure> {
    let filter = serde_json::json!({ "label": [label] }).to_string();
    let path = format!("{path}filters={}", encoded(&filter));
    let told = ask(endpoint, Method::GET, &path, Sent::Nothing, DEADLINE).await?;
    let all = told.as_array().into_iter().flatten();
    // An engine that does not know the filter tells of everything.
    Ok(all.filter(|one| one["Labels"][label].is_string()).take(MOST).cloned().collect())
}

/// Removes tap containers that do not run and will not. What cannot be removed stays.
pub(super) async fn remove_stale(endpoint: &Endpoint) {
    let made = containers(endpoint).await.unwrap_or_default();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    for id in made.iter().filter_map(|made| stale(made, now)) {
        debug!("tap container {} was left behind and is removed", id.short());
        remove(endpoint, &id, false).await;
    }
}

/// Whether a container runs, or may.
fn runs(made: &Value) -> bool {
    // Docker's words and Podman's.
    let ended = ["created", "configured", "initialized", "exited", "stopped", "dead"];
    !made["State"].as_str().is_some_and(|state| ended.contains(&state))
}

/// The id of a tap container that has ended or never began, and is not about to.
fn stale(made: &Value, now: Duration) -> Option<ContainerId> {
    let since = Duration::from_secs(u64::try_from(made["Created"].as_i64()?).ok()?);
    (!runs(made) && now.saturating_sub(since) > STARTING).then(|| ContainerId::parse(made["Id"].as_str()?))?
}

/// Removes a container, one that runs only with `force`. Best effort: it may be gone by itself.
pub(super) async fn remove(endpoint: &Endpoint, id: &ContainerId, force: bool) {
    let path = format!("/containers/{}{}", id.as_str(), if force { "?force=1" } else { "" });
    if let Err(failure) = ask(endpoint, Method::DELETE, &path, Sent::Nothing, DEADLINE).await {
        debug!("{}", failure.trouble(EngineKind::Docker, endpoint, "remove a tap container").message());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_neither_runs_nor_is_about_to_is_stale() {
        let now = Duration::from_secs(1000);
        let made =
            |state: &str, created: i64| json!({ "Id": "ab".repeat(32), "State": state, "Created": created });
        assert!(stale(&made("created", 900), now).is_some());
        assert!(stale(&made("created", 950), now).is_none());
        assert!(stale(&made("running", 1), now).is_none());
        assert!(stale(&made("created", -1), now).is_none());
        assert!(stale(&json!({ "Id": "../x", "State": "created", "Created": 1 }), now).is_none());
    }

    #[test]
    fn an_image_is_removed_by_our_name_only() {
        let image = |tags: &Value| json!({ "Id": format!("sha256:{}", "ab".repeat(32)), "RepoTags": tags });
        let ours = format!("{NAME}:0.1.0-abc");
        assert_eq!(names(&image(&json!([ours, "mine:1", format!("{NAME}:a/../b")]))), [ours]);
        assert_eq!(names(&image(&json!(["mine:1"]))), Vec::<String>::new());
        assert_eq!(names(&image(&Value::Null)), ["ab".repeat(32)]);
        assert_eq!(names(&image(&json!(["<none>:<none>"]))), ["ab".repeat(32)]);
    }
}
