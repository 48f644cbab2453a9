//! The interface value that stands for a container in Wireshark and on the command line.

use std::collections::HashSet;

use super::{Container, EngineKind};

/// Engines whose containers are one more interface together.
pub(crate) const GROUPED_ENGINES: [EngineKind; 2] = [EngineKind::Docker, EngineKind::Podman];

/// The interface value that stands for all containers of `engine`.
pub(crate) fn all_containers_value(engine: EngineKind) -> String {
    format!("{}-all", engine.as_str())
}

/// Gives every container its interface value: engine, hyphen, name, with every byte outside
/// `[a-zA-Z0-9_.-]` replaced by `-`. Where two would be one to Wireshark, the one made later
/// gets its short id appended; so does one whose value stands for all of an engine's.
pub fn assign_values<'a>(containers: impl IntoIterator<Item = &'a mut Container>) {
    let mut containers: Vec<&mut Container> = containers.into_iter().collect();
    containers.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
    let mut taken: HashSet<String> =
        GROUPED_ENGINES.map(|engine| preference_key(&all_containers_value(engine))).into();
    for container in containers {
        let named = format!("{}-{}", container.engine.as_str(), sanitized_name(container.name.as_str()));
        let with_id = format!("{named}-{}", container.id.short());
        // A number is needed where somebody named a container after the short id of another.
        let numbered = (2..).map(|number| format!("{with_id}-{number}"));
        let free = [named, with_id.clone()]
            .into_iter()
            .chain(numbered)
            .find(|value| taken.insert(preference_key(value)));
        container.value = free.unwrap_or_default();
    }
}

/// Longest name inside a value, in bytes: Wireshark makes a file name of the value and fails
/// from about 220 bytes; two short ids and a host's name must fit beside it.
const MAX_VALUE_NAME_LEN: usize = 128;

/// A name with every byte that a value cannot hold replaced, cut where a value would be too long.
pub(crate) fn sanitized_name(name: &str) -> String {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    name.bytes()
        .take(MAX_VALUE_NAME_LEN)
        .map(|byte| if allowed(byte) { char::from(byte) } else { '-' })
        .collect()
}

/// A value as Wireshark's preferences fold it: lower case, everything outside `[a-z0-9_]` is `_`.
pub fn preference_key(value: &str) -> String {
    value
        .bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' => char::from(byte.to_ascii_lowercase()),
            b'a'..=b'z' | b'0'..=b'9' => char::from(byte),
            _ => '_',
        })
        .collect()
}

/// Finds what `wanted` names: a container by its name or its interface value (the value first with `values_first`), by
/// its id ([`ContainerId::is`](super::ContainerId::is)), or by another container in the same network namespace.
pub fn find_container<'a>(
    containers: &'a [Container],
    wanted: &str,
    values_first: bool,
) -> ContainerMatch<'a> {
    // Two engines may each have a container of that name, and it may be the value of another container.
    let by_name = |container: &Container| container.name.as_str() == wanted;
    let by_value = |container: &Container| container.value == wanted;
    let ways: [&dyn Fn(&Container) -> bool; 5] = [
        if values_first { &by_value } else { &by_name },
        if values_first { &by_name } else { &by_value },
        // Wireshark matches `-i` without regard to case.
        &|container| container.value.eq_ignore_ascii_case(wanted),
        &|container| container.id.matches(wanted),
        &|container| container.namespace_members().iter().any(|member| member.as_str() == wanted),
    ];
    for is_meant in ways {
        let meant: Vec<&Container> = containers.iter().filter(|container| is_meant(container)).collect();
        match meant.as_slice() {
            [] => {}
            [container] => return ContainerMatch::Unique(container),
            several => {
                return ContainerMatch::Ambiguous(
                    several.iter().map(|container| container.value.clone()).collect(),
                );
            }
        }
    }
    ContainerMatch::NotFound
}

/// Outcome of [`find`].
#[derive(Debug, PartialEq, Eq)]
pub enum ContainerMatch<'a> {
    /// Exactly one.
    Unique(&'a Container),
    /// More than one; their interface values.
    Ambiguous(Vec<String>),
    /// Nothing of that name.
    NotFound,
}
