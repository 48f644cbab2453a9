//! Tap containers of the engines under test.

use std::path::{Path, PathBuf};

use containerdump::container::endpoint::Endpoint;
use containerdump::container::{self as described, ContainerId, EngineKind};
use containerdump::engine::TapContainer;
use containerdump::error::Error;
use containerdump::safe_text::SafeText;
use containerdump::static_program::{Architecture, StaticProgram};

use super::lab::{Lab, eventually};
use super::podman::Podman;

pub(crate) fn companion() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_containerdump")).with_file_name(format!(
        "containerdump-{}",
        Architecture::current().expect("a known processor").name()
    ))
}

pub(crate) fn program() -> StaticProgram {
    StaticProgram::open(&companion(), Architecture::current().expect("a known processor"))
        .expect("the companion")
}

pub(crate) fn tap(target: &described::Container, arguments: &[&str]) -> Result<TapContainer, Error> {
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    TapContainer::start(target, &program(), &arguments, |_| ())
}

pub(crate) fn target(engine: EngineKind, endpoint: Endpoint, id: &str) -> described::Container {
    let id = ContainerId::parse(id).expect("an id");
    described::Container::new(engine, endpoint, id, SafeText::new("target"))
}

pub(crate) fn socket(url: &str) -> Endpoint {
    Endpoint::Unix(url.strip_prefix("unix://").expect("a socket").into())
}

pub(crate) fn docker(lab: &Lab, id: &str) -> described::Container {
    target(EngineKind::Docker, socket(&lab.endpoint), id)
}

/// The tap containers of a target, running or not, listed by the Docker client.
pub(crate) fn taps_of(lab: &Lab, id: &str) -> Vec<String> {
    let label = format!("label=org.containerdump.target={id}");
    let said = lab.docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &label]);
    said.lines().map(str::to_owned).collect()
}

pub(crate) fn assert_no_tap_container(lab: &Lab, id: &str) {
    eventually("no tap container is left", || taps_of(lab, id).is_empty());
}

/// The id of a Podman container, and a function that lists its tap containers.
pub(crate) fn in_podman(podman: &Podman, name: &str) -> (String, impl Fn() -> String) {
    let id = podman.podman(&["inspect", "--format", "{{.Id}}", name]);
    let label = format!("label=org.containerdump.target={id}");
    (id, move || podman.podman(&["ps", "--all", "--quiet", "--filter", &label]))
}
