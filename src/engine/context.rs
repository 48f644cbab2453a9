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

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::address::Named;
use crate::container::EngineKind;
use crate::endpoint::Endpoint;
use crate::settings_file;
use crate::trouble::Trouble;

/// Contexts that are looked at.
const MOST_CONTEXTS: usize = 1000;
/// The context that is no context: the usual socket.
const DEFAULT: &str = "default";

/// The address of the context that is in use: the one that is `named`, else the one in Docker's
/// settings. `None` where that is the usual socket.
///
/// Fails when the settings make no sense, or the context is not there or cannot be used.
pub(super) fn current(named: Option<String>) -> Result<Option<Endpoint>, Trouble> {
    let Some(folder) = folder() else { return Ok(None) };
    let name = match named {
        Some(name) => Some(name),
        None => in_settings(&folder.join("config.json"))?,
    };
    match name.filter(|name| name != DEFAULT) {
        Some(name) => address(&folder, &name).map(Some),
        None => Ok(None),
    }
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

/// The context that Docker's settings name. Settings that are not there, or not ours to read, name
/// none.
fn in_settings(path: &Path) -> Result<Option<String>, Trouble> {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    let settings = match read(path) {
        Ok(settings) => settings,
        Err(error) if matches!(error.kind(), NotFound | NotADirectory | PermissionDenied) => return Ok(None),
        Err(error) => {
            return Err(Trouble::new(
                format!("cannot read Docker's settings in {}: {error}", path.display()),
                "mend or remove the file, or set DOCKER_HOST=unix:///var/run/docker.sock",
            ));
        }
    };
    let name = settings["currentContext"].as_str().unwrap_or_default();
    Ok(Some(name.to_owned()).filter(|name| !name.is_empty()))
}

/// The address of the context called `name`.
fn address(folder: &Path, name: &str) -> Result<Endpoint, Trouble> {
    let path = folder.join("contexts/meta").join(digest(name)).join("meta.json");
    let remedy = "see which there are (docker context ls) and choose one (docker context use default, or DOCKER_CONTEXT)";
    let described = read(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            Trouble::new(format!("cannot use Docker context {name}: there is no such context"), remedy)
        }
        _ => {
            Trouble::new(format!("cannot read Docker context {name} in {}: {error}", path.display()), remedy)
        }
    })?;
    let host = described["Endpoints"]["docker"]["Host"].as_str().unwrap_or_default();
    if host.is_empty() {
        return Err(Trouble::new(
            format!("cannot use Docker context {name}: it does not say where Docker listens"),
            remedy,
        ));
    }
    let certificates = folder.join("contexts/tls").join(digest(name)).join("docker");
    let certificates = Some(certificates).filter(|folder| folder.is_dir());
    if host.starts_with("tcp://") && described["Endpoints"]["docker"]["SkipTLSVerify"] == true {
        return Err(Trouble::new(
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
    use super::digest;

    #[test]
    fn folders_are_named_as_docker_names_them() {
        // printf desktop-linux | sha256sum
        assert_eq!(
            digest("desktop-linux"),
            "fe9c6bd7a66301f49ca9b6a70b217107cd1284598bfc254700c989b916da791e"
        );
    }
}
