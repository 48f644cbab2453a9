//! Docker's contexts: addresses under a name, one of which the `docker` command takes where
//! `DOCKER_HOST` says nothing.
//!
//! ```text
//! ~/.docker/config.json                                 "currentContext": "desk"
//! ~/.docker/contexts/meta/SHA-256 OF desk/meta.json     "Endpoints": { "docker": { "Host": … } }
//! ~/.docker/contexts/tls/SHA-256 OF desk/docker/        ca.pem, cert.pem, key.pem
//! ```

use std::env;
use std::io;
use std::path::{Path, PathBuf};

use log::warn;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::address::Named;
use crate::container::EngineKind;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::settings_file;

/// Contexts that are looked at.
const MOST_CONTEXTS: usize = 1000;
/// The context that is no context: the usual socket.
const DEFAULT: &str = "default";

/// The context that is in use.
pub(super) struct Current {
    /// What configures it: `DOCKER_CONTEXT=desk`, `Docker context desk`.
    pub(super) by: String,
    /// Its address, or why it cannot be used.
    pub(super) endpoint: Result<Endpoint, Error>,
}

/// The context that is in use: `named` by `DOCKER_CONTEXT`, else by Docker's settings. `None` where that is
/// the usual socket, as with settings that cannot be read: so does Docker's client, with a warning.
pub(super) fn current(named: Option<String>) -> Option<Current> {
    let folder = folder()?;
    let (name, by) = if let Some(name) = named {
        let by = format!("DOCKER_CONTEXT={name}");
        (name, by)
    } else {
        let named = in_settings(&folder.join("config.json"));
        let name = named.unwrap_or_else(|trouble| {
            warn!("{trouble}");
            None
        })?;
        let by = format!("the Docker context {name} (docker context use)");
        (name, by)
    };
    (name != DEFAULT).then(|| Current { by, endpoint: address(&folder, &name) })
}

/// Why Docker's settings cannot be read, where they are needed to know which context is in use.
pub(super) fn unreadable_settings() -> Option<Error> {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    if is_set("DOCKER_HOST") || is_set("DOCKER_CONTEXT") {
        return None;
    }
    in_settings(&folder()?.join("config.json")).err()
}

/// Names and addresses of all of Docker's contexts, as far as they can be read.
pub fn all() -> Vec<(String, String)> {
    let Some(folder) = folder() else { return Vec::new() };
    let entries = std::fs::read_dir(folder.join("contexts/meta")).into_iter().flatten().flatten();
    let contexts = entries.take(MOST_CONTEXTS).filter_map(|entry| {
        let described = read(&entry.path().join("meta.json")).ok()?;
        let address = described["Endpoints"]["docker"]["Host"].as_str()?.to_owned();
        Some((described["Name"].as_str()?.to_owned(), address))
    });
    let mut contexts: Vec<(String, String)> = contexts.collect();
    contexts.sort();
    contexts
}

/// Where Docker's client keeps its settings.
pub(super) fn folder() -> Option<PathBuf> {
    let said = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    said("DOCKER_CONFIG").or_else(|| Some(said("HOME")?.join(".docker")))
}

/// Whether `folder` has the certificates of a context.
pub(super) fn is_certificate_folder(folder: &Path) -> bool {
    self::folder().is_some_and(|settings| folder.starts_with(settings.join("contexts/tls")))
}

/// The context that Docker's settings name. Settings that are missing, empty or not ours to read name none.
///
/// Fails when they cannot be understood.
fn in_settings(path: &Path) -> Result<Option<String>, Error> {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    let bytes = match settings_file::read(path) {
        Ok(bytes) => bytes,
        Err(error) if matches!(error.kind(), NotFound | NotADirectory | PermissionDenied) => return Ok(None),
        Err(error) => return Err(unreadable(path, &error)),
    };
    named_in(&bytes).map_err(|why| unreadable(path, &why))
}

/// The context that `settings` name: in the first value, whatever follows it, as Docker's client reads them.
fn named_in(settings: &[u8]) -> Result<Option<String>, String> {
    let mut values = serde_json::Deserializer::from_slice(settings).into_iter::<Value>();
    let settings = match values.next() {
        None => return Ok(None),
        Some(value) => value.map_err(|error| format!("invalid JSON ({error})"))?,
    };
    let settings = match &settings {
        Value::Null => return Ok(None),
        Value::Object(settings) => settings,
        _ => return Err("not a JSON object".to_owned()),
    };
    let context = settings.iter().find(|(key, _)| key.eq_ignore_ascii_case("currentContext"));
    match context.map(|(_, name)| name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(name)) => Ok(Some(name.clone()).filter(|name| !name.is_empty())),
        Some(_) => Err("currentContext is not a string".to_owned()),
    }
}

fn unreadable(path: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::new(
        format!("cannot read Docker's settings in {}: {why}; no Docker context is used", path.display()),
        "correct or remove the file",
    )
}

/// The address of the context called `name`.
fn address(folder: &Path, name: &str) -> Result<Endpoint, Error> {
    let path = folder.join("contexts/meta").join(digest(name)).join("meta.json");
    let remedy = "see which there are (docker context ls) and choose one (docker context use default, or DOCKER_CONTEXT)";
    let described = read(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            Error::new(format!("cannot use Docker context {name}: there is no such context"), remedy)
        }
        _ => Error::new(format!("cannot read Docker context {name} in {}: {error}", path.display()), remedy),
    })?;
    let host = described["Endpoints"]["docker"]["Host"].as_str().unwrap_or_default();
    if host.is_empty() {
        return Err(Error::new(
            format!("cannot use Docker context {name}: it does not say where Docker listens"),
            remedy,
        ));
    }
    let certificates = folder.join("contexts/tls").join(digest(name)).join("docker");
    let certificates = Some(certificates).filter(|folder| folder.is_dir());
    if host.starts_with("tcp://") && described["Endpoints"]["docker"]["SkipTLSVerify"] == true {
        return Err(Error::new(
            format!("cannot use Docker context {name} ({host}): anybody could answer in its engine's place"),
            format!(
                "have its certificate verified: docker context update {name} --docker host={host},ca=ca.pem"
            ),
        ));
    }
    let by = format!("DOCKER_CONTEXT={name}, DOCKER_HOST");
    Named { by: &by, address: host, certificates }.endpoint(EngineKind::Docker)
}

/// Reads a file of JSON.
fn read(path: &Path) -> io::Result<Value> {
    let bytes = settings_file::read(path)?;
    serde_json::from_slice(&bytes).map_err(|error| io::Error::other(format!("it is no JSON ({error})")))
}

/// The name of a context's folder: SHA-256 of its name, in hexadecimal.
fn digest(name: &str) -> String {
    format!("{:x}", Sha256::digest(name))
}

#[cfg(test)]
mod tests {
    use super::{digest, named_in};

    #[test]
    fn settings_are_read_as_dockers_client_reads_them() {
        for (settings, context) in [
            ("", None),
            (" \n", None),
            ("null", None),
            ("{}", None),
            (r#"{"currentContext": ""}"#, None),
            (r#"{"currentContext": "desk"}"#, Some("desk")),
            (r#"{"currentcontext": "desk"} and more"#, Some("desk")),
        ] {
            assert_eq!(named_in(settings.as_bytes()), Ok(context.map(str::to_owned)), "{settings}");
        }
        for settings in
            ["{", "\u{feff}{}", "[]", r#"{"currentContext": 5}"#, r#"{"currentContext": "desk",}"#]
        {
            assert!(named_in(settings.as_bytes()).is_err(), "{settings}");
        }
    }

    #[test]
    fn folders_are_named_as_docker_names_them() {
        // printf desktop-linux | sha256sum
        assert_eq!(
            digest("desktop-linux"),
            "fe9c6bd7a66301f49ca9b6a70b217107cd1284598bfc254700c989b916da791e"
        );
    }
}
