//! Docker's contexts: named addresses, one of which the `docker` command uses where `DOCKER_HOST` is not set.
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

use super::address::ConfiguredAddress;
use crate::container::EngineKind;
use crate::container::endpoint::Endpoint;
use crate::error::Error;
use crate::settings_file;

/// The name that stands for the default socket.
const DEFAULT_CONTEXT: &str = "default";

/// The context in use.
pub(super) struct DockerContext {
    /// The setting that selects it: `DOCKER_CONTEXT=desk`, `the Docker context desk (docker context use)`.
    pub(super) setting: String,
    /// Its address, or why it cannot be used.
    pub(super) endpoint: Result<Endpoint, Error>,
}

/// The context in use: `from_environment`, else the one in Docker's configuration file. `None` for the default socket,
/// also where the file is unreadable, as in Docker's client.
pub(super) fn current(from_environment: Option<String>) -> Option<DockerContext> {
    let folder = config_folder()?;
    let (name, setting) = if let Some(name) = from_environment {
        let setting = format!("DOCKER_CONTEXT={name}");
        (name, setting)
    } else {
        let configured = configured_context(&folder.join("config.json"));
        let name = configured.unwrap_or_else(|error| {
            warn!("{error}");
            None
        })?;
        let setting = format!("the Docker context {name} (docker context use)");
        (name, setting)
    };
    (name != DEFAULT_CONTEXT).then(|| DockerContext { setting, endpoint: endpoint(&folder, &name) })
}

/// Why Docker's configuration file is ignored, where it would select the context.
pub(in crate::engine) fn docker_config_error() -> Option<Error> {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    if is_set("DOCKER_HOST") || is_set("DOCKER_CONTEXT") {
        return None;
    }
    configured_context(&config_folder()?.join("config.json")).err()
}

/// The folder of Docker's configuration.
pub(super) fn config_folder() -> Option<PathBuf> {
    let variable = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("DOCKER_CONFIG").or_else(|| Some(variable("HOME")?.join(".docker")))
}

/// Whether `folder` has the certificates of a context.
pub(in crate::engine) fn is_context_certificate_folder(folder: &Path) -> bool {
    config_folder().is_some_and(|config| folder.starts_with(config.join("contexts/tls")))
}

/// The context in Docker's configuration file. A missing, empty or inaccessible file has none.
///
/// Fails when the file is damaged.
fn configured_context(path: &Path) -> Result<Option<String>, Error> {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    let bytes = match settings_file::read(path) {
        Ok(bytes) => bytes,
        Err(error) if matches!(error.kind(), NotFound | NotADirectory | PermissionDenied) => return Ok(None),
        Err(error) => return Err(unreadable(path, &error)),
    };
    parse_context(&bytes).map_err(|cause| unreadable(path, &cause))
}

/// The context in `config`. As in Docker's client, only the first JSON value counts.
fn parse_context(config: &[u8]) -> Result<Option<String>, String> {
    let mut values = serde_json::Deserializer::from_slice(config).into_iter::<Value>();
    let config = match values.next() {
        None => return Ok(None),
        Some(value) => value.map_err(|error| format!("invalid JSON ({error})"))?,
    };
    let config = match &config {
        Value::Null => return Ok(None),
        Value::Object(config) => config,
        _ => return Err("not a JSON object".to_owned()),
    };
    let context = config.iter().find(|(key, _)| key.eq_ignore_ascii_case("currentContext"));
    match context.map(|(_, name)| name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(name)) => Ok(Some(name.clone()).filter(|name| !name.is_empty())),
        Some(_) => Err("currentContext is not a string".to_owned()),
    }
}

fn unreadable(path: &Path, cause: &dyn std::fmt::Display) -> Error {
    Error::new(
        format!(
            "cannot read Docker's configuration in {}: {cause}; no Docker context is used",
            path.display()
        ),
        "fix or remove the file",
    )
}

/// The endpoint of the context `name`.
fn endpoint(folder: &Path, name: &str) -> Result<Endpoint, Error> {
    let path = folder.join("contexts/meta").join(digest(name)).join("meta.json");
    let remedy =
        "list the contexts (docker context ls) and choose one (docker context use NAME, or DOCKER_CONTEXT)";
    let metadata = read(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            Error::new(format!("cannot use Docker context {name}: no such context"), remedy)
        }
        _ => Error::new(format!("cannot read Docker context {name} in {}: {error}", path.display()), remedy),
    })?;
    let host = metadata["Endpoints"]["docker"]["Host"].as_str().unwrap_or_default();
    if host.is_empty() {
        return Err(Error::new(
            format!("cannot use Docker context {name}: it has no Docker endpoint"),
            remedy,
        ));
    }
    let certificates = folder.join("contexts/tls").join(digest(name)).join("docker");
    let certificates = Some(certificates).filter(|folder| folder.is_dir());
    if host.starts_with("tcp://") && metadata["Endpoints"]["docker"]["SkipTLSVerify"] == true {
        return Err(Error::new(
            format!(
                "cannot use Docker context {name} ({host}): TLS verification is disabled (SkipTLSVerify)"
            ),
            format!("enable verification: docker context update {name} --docker host={host},ca=ca.pem"),
        ));
    }
    let setting = format!("DOCKER_CONTEXT={name}, DOCKER_HOST");
    ConfiguredAddress { setting: &setting, address: host, certificates }.endpoint(EngineKind::Docker)
}

/// Reads a JSON file.
fn read(path: &Path) -> io::Result<Value> {
    let bytes = settings_file::read(path)?;
    serde_json::from_slice(&bytes).map_err(|error| io::Error::other(format!("invalid JSON ({error})")))
}

/// The folder name of a context: SHA-256 of its name, in hexadecimal.
fn digest(name: &str) -> String {
    format!("{:x}", Sha256::digest(name))
}

#[cfg(test)]
mod tests {
    use super::{digest, parse_context};

    #[test]
    fn the_configuration_is_parsed_as_by_dockers_client() {
        for (config, context) in [
            ("", None),
            (" \n", None),
            ("null", None),
            ("{}", None),
            (r#"{"currentContext": ""}"#, None),
            (r#"{"currentContext": "desk"}"#, Some("desk")),
            (r#"{"currentcontext": "desk"} and more"#, Some("desk")),
        ] {
            assert_eq!(parse_context(config.as_bytes()), Ok(context.map(str::to_owned)), "{config}");
        }
        for config in ["{", "\u{feff}{}", "[]", r#"{"currentContext": 5}"#, r#"{"currentContext": "desk",}"#]
        {
            assert!(parse_context(config.as_bytes()).is_err(), "{config}");
        }
    }

    #[test]
    fn context_folders_are_named_as_by_docker() {
        // printf desktop-linux | sha256sum
        assert_eq!(
            digest("desktop-linux"),
            "fe9c6bd7a66301f49ca9b6a70b217107cd1284598bfc254700c989b916da791e"
        );
    }
}
