//! Removal of what tap containers leave in an engine: images, and containers that were created but never started.

use std::time::{Duration, SystemTime};

use hyper::Method;
use log::debug;
use serde_json::Value;

use super::image::{REPOSITORY, bare_id};
use crate::container::endpoint::Endpoint;
use crate::container::{ContainerId, EngineKind};
use crate::engine::client::block_on;
use crate::engine::client::error::RequestError;
use crate::engine::client::request::{RequestBody, percent_encoded, request_json};
use crate::engine::{discovery, labels};
use crate::error::Error;
use crate::safe_text::SafeText;

/// For each request.
const CLEANUP_TIMEOUT: Duration = Duration::from_secs(10);
/// A younger tap container that is not running may be about to start.
const MIN_STALE_AGE: Duration = Duration::from_mins(1);
/// Images and containers examined per engine.
const MAX_LEFTOVERS: usize = 1000;

/// An image or stopped container of ours in an engine.
#[derive(Clone, Debug)]
pub struct Leftover {
    engine: EngineKind,
    endpoint: Endpoint,
    kind: LeftoverKind,
    name: SafeText,
}

#[derive(Clone, Debug)]
enum LeftoverKind {
    Container(ContainerId),
    /// The image's name, or its id where it has none.
    Image(String),
}

impl std::fmt::Display for Leftover {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            LeftoverKind::Container(_) => "tap container",
            LeftoverKind::Image(_) => "image",
        };
        write!(formatter, "{kind} {} of {} at {}", self.name, self.engine.as_str(), self.endpoint)
    }
}

/// Lists what tap containers left in the engines of this host, containers first. Running ones are not included: they end
/// with their captures. Engines that do not answer are skipped.
///
/// Fails when requests are not possible at all.
pub fn find_leftovers() -> Result<Vec<Leftover>, Error> {
    block_on(async {
        let mut all = Vec::new();
        for candidate in discovery::candidates() {
            let Ok(endpoint) = &candidate.endpoint else { continue };
            all.extend(leftovers_in(candidate.engine, endpoint).await.unwrap_or_default());
        }
        all
    })
}

/// Removes an image or container from its engine.
///
/// Fails when the engine refuses or does not answer.
pub fn remove_leftover(leftover: &Leftover) -> Result<(), Error> {
    let path = match &leftover.kind {
        LeftoverKind::Container(id) => format!("/containers/{}", id.as_str()),
        LeftoverKind::Image(name) => format!("/images/{name}"),
    };
    let request =
        request_json(&leftover.endpoint, Method::DELETE, &path, RequestBody::Empty, CLEANUP_TIMEOUT);
    match block_on(request)? {
        Ok(_) | Err(RequestError::Status(404, _)) => Ok(()),
        Err(error) => {
            Err(error.explain(leftover.engine, &leftover.endpoint, &format!("remove {}", leftover.name)))
        }
    }
}

async fn leftovers_in(engine: EngineKind, endpoint: &Endpoint) -> Result<Vec<Leftover>, RequestError> {
    let leftover =
        |kind, name: &str| Leftover { engine, endpoint: endpoint.clone(), kind, name: SafeText::new(name) };
    let images = images(endpoint).await?;
    let ids: Vec<&str> = images
        .iter()
        .filter(|image| !names(image).is_empty())
        .filter_map(|image| image["Id"].as_str())
        .collect();
    let has_our_image = |container: &Value| {
        // Our label alone does not cause removal: the container must be of our image, too.
        let image = container["Image"].as_str().unwrap_or_default();
        image.starts_with(REPOSITORY) || container["ImageID"].as_str().is_some_and(|id| ids.contains(&id))
    };
    let listed = containers(endpoint).await?;
    let stopped = listed.iter().filter(|container| has_our_image(container) && !may_run(container));
    let containers = stopped.filter_map(|container| {
        let id = ContainerId::parse(container["Id"].as_str()?)?;
        let name = container["Names"][0].as_str().unwrap_or(id.short()).trim_start_matches('/').to_owned();
        Some(leftover(LeftoverKind::Container(id), &name))
    });
    let images = images.iter().flat_map(names).map(|name| leftover(LeftoverKind::Image(name.clone()), &name));
    Ok(containers.chain(images).collect())
}

/// The names by which our image can be removed.
fn names(image: &Value) -> Vec<String> {
    let tags: Vec<&str> =
        image["RepoTags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    // `<none>:<none>`: another image was imported under the same name at the same time.
    let is_unnamed = tags.iter().all(|tag| tag.starts_with("<none>"));
    if is_unnamed {
        return image["Id"].as_str().and_then(bare_id).into_iter().collect();
    }
    let is_ours = |tag: &&&str| {
        tag.strip_prefix(REPOSITORY).and_then(|rest| rest.strip_prefix(':')).is_some_and(is_tag)
    };
    tags.iter().filter(is_ours).map(ToString::to_string).collect()
}

fn is_tag(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

async fn images(endpoint: &Endpoint) -> Result<Vec<Value>, RequestError> {
    list(endpoint, "/images/json?", labels::PROGRAM_DIGEST).await
}

async fn containers(endpoint: &Endpoint) -> Result<Vec<Value>, RequestError> {
    list(endpoint, "/containers/json?all=1&", labels::TAP).await
}

async fn list(endpoint: &Endpoint, path: &str, label: &str) -> Result<Vec<Value>, RequestError> {
    let filter = serde_json::json!({ "label": [label] }).to_string();
    let path = format!("{path}filters={}", percent_encoded(&filter));
    let response = request_json(endpoint, Method::GET, &path, RequestBody::Empty, CLEANUP_TIMEOUT).await?;
    let items = response.as_array().into_iter().flatten();
    // An engine that does not support the filter returns everything.
    Ok(items.filter(|item| item["Labels"][label].is_string()).take(MAX_LEFTOVERS).cloned().collect())
}

/// Removes tap containers that were left behind. Failures are ignored.
pub(super) async fn remove_stale(endpoint: &Endpoint) {
    let listed = containers(endpoint).await.unwrap_or_default();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    for id in listed.iter().filter_map(|container| stale_id(container, now)) {
        debug!("removing stale tap container {}", id.short());
        remove(endpoint, &id, false).await;
    }
}

/// Whether a container may be running.
fn may_run(container: &Value) -> bool {
    // States of Docker and Podman.
    let ended = ["created", "configured", "initialized", "exited", "stopped", "dead"];
    !container["State"].as_str().is_some_and(|state| ended.contains(&state))
}

/// The id of a tap container that has ended or was never started, and is not about to start.
fn stale_id(container: &Value, now: Duration) -> Option<ContainerId> {
    let created = Duration::from_secs(u64::try_from(container["Created"].as_i64()?).ok()?);
    (!may_run(container) && now.saturating_sub(created) > MIN_STALE_AGE)
        .then(|| ContainerId::parse(container["Id"].as_str()?))?
}

/// Removes a container, also a running one with `force`. Failures are ignored: it may be gone already.
pub(super) async fn remove(endpoint: &Endpoint, id: &ContainerId, force: bool) {
    let path = format!("/containers/{}{}", id.as_str(), if force { "?force=1" } else { "" });
    let response = request_json(endpoint, Method::DELETE, &path, RequestBody::Empty, CLEANUP_TIMEOUT).await;
    if let Err(error) = response {
        debug!("{}", error.explain(EngineKind::Docker, endpoint, "remove a tap container").message());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn running_and_recent_tap_containers_are_not_stale() {
        let now = Duration::from_secs(1000);
        let container =
            |state: &str, created: i64| json!({ "Id": "ab".repeat(32), "State": state, "Created": created });
        assert!(stale_id(&container("created", 900), now).is_some());
        assert!(stale_id(&container("created", 950), now).is_none());
        assert!(stale_id(&container("running", 1), now).is_none());
        assert!(stale_id(&container("created", -1), now).is_none());
        assert!(stale_id(&json!({ "Id": "../x", "State": "created", "Created": 1 }), now).is_none());
    }

    #[test]
    fn only_our_image_names_are_removed() {
        let image = |tags: &Value| json!({ "Id": format!("sha256:{}", "ab".repeat(32)), "RepoTags": tags });
        let ours = format!("{REPOSITORY}:0.1.0-abc");
        assert_eq!(names(&image(&json!([ours, "mine:1", format!("{REPOSITORY}:a/../b")]))), [ours]);
        assert_eq!(names(&image(&json!(["mine:1"]))), Vec::<String>::new());
        assert_eq!(names(&image(&Value::Null)), ["ab".repeat(32)]);
        assert_eq!(names(&image(&json!(["<none>:<none>"]))), ["ab".repeat(32)]);
    }
}
