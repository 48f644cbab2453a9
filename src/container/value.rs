//! Interface values: stable names of containers in Wireshark and on the command line.

use std::collections::HashSet;

use super::{Container, EngineKind};

/// Engines with an interface for all their containers.
pub(crate) const GROUPED_ENGINES: [EngineKind; 2] = [EngineKind::Docker, EngineKind::Podman];

/// The interface value of all containers of `engine`.
pub(crate) fn all_containers_value(engine: EngineKind) -> String {
    format!("{}-all", engine.as_str())
}

/// Assigns the interface values: engine, hyphen, name, with every byte outside `[a-zA-Z0-9_.-]` replaced by `-`. Where
/// Wireshark would confuse two values, or one with that of a group, the container created later gets its short id
/// appended.
pub fn assign_values<'a>(containers: impl IntoIterator<Item = &'a mut Container>) {
    let mut containers: Vec<&mut Container> = containers.into_iter().collect();
    containers.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
    let mut taken: HashSet<String> =
        GROUPED_ENGINES.map(|engine| preference_key(&all_containers_value(engine))).into();
    for container in containers {
        let named = format!("{}-{}", container.engine.as_str(), sanitized_name(container.name.as_str()));
        let with_id = format!("{named}-{}", container.id.short());
        // For a container whose name contains the short id of another one.
        let numbered = (2..).map(|number| format!("{with_id}-{number}"));
        let free = [named, with_id.clone()]
            .into_iter()
            .chain(numbered)
            .find(|value| taken.insert(preference_key(value)));
        container.value = free.unwrap_or_default();
    }
}

/// Bytes of a name in a value. Wireshark makes a file name of the value and fails from about 220 bytes, which must also
/// hold two short ids and a host name.
const MAX_VALUE_NAME_LEN: usize = 128;

/// `name` with the bytes that a value cannot contain replaced, cut to the maximum length.
pub(crate) fn sanitized_name(name: &str) -> String {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    name.bytes()
        .take(MAX_VALUE_NAME_LEN)
        .map(|byte| if is_allowed(byte) { char::from(byte) } else { '-' })
        .collect()
}

/// A value as the name of a Wireshark preference: lower case, with everything outside `[a-z0-9_]` replaced by `_`.
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

/// Finds a container by name or interface value (the value first with `prefer_values`), by id
/// ([`ContainerId::matches`](super::ContainerId::matches)), or by another container in the same network namespace.
pub fn find_container<'a>(
    containers: &'a [Container],
    name: &str,
    prefer_values: bool,
) -> ContainerMatch<'a> {
    // Two engines may have a container of the same name, and the name may be the value of a third container.
    let by_name = |container: &Container| container.name.as_str() == name;
    let by_value = |container: &Container| container.value == name;
    let criteria: [&dyn Fn(&Container) -> bool; 5] = [
        if prefer_values { &by_value } else { &by_name },
        if prefer_values { &by_name } else { &by_value },
        // Wireshark ignores case in `-i`.
        &|container| container.value.eq_ignore_ascii_case(name),
        &|container| container.id.matches(name),
        &|container| container.namespace_members().iter().any(|member| member.as_str() == name),
    ];
    for is_match in criteria {
        let matches: Vec<&Container> = containers.iter().filter(|container| is_match(container)).collect();
        match matches.as_slice() {
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

/// Result of [`find_container`].
#[derive(Debug, PartialEq, Eq)]
pub enum ContainerMatch<'a> {
    /// Exactly one container.
    Unique(&'a Container),
    /// More than one; their interface values.
    Ambiguous(Vec<String>),
    /// No container.
    NotFound,
}
