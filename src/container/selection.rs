//! Which containers to capture: a value that is resolved again whenever containers start or stop.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Container, ContainerMatch, EngineKind, value};
use crate::safe_text::SafeText;

/// The containers to capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Containers by name, interface value or id, and groups by interface value.
    pub names: Vec<String>,
    /// Whether interface values take precedence over names: in Wireshark's list, `docker-all` is the group and not a
    /// container of that name.
    pub prefer_values: bool,
    /// Containers by name, interface value or id, never groups.
    pub containers: Vec<String>,
    /// All containers that match one of these.
    pub criteria: Vec<Criteria>,
    /// Whether to wait for containers that do not run yet.
    pub wait_for_start: bool,
    /// Whether to skip named containers that cannot be captured, as for a group.
    pub skip_unavailable: bool,
}

/// Common properties of containers. The default matches all containers of all engines; a network namespace that only the
/// kernel shows is selected by name only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Criteria {
    /// Their engine; `None` for any.
    pub engine: Option<EngineKind>,
    /// Their Compose projects, one of which they belong to; empty for any or none.
    pub projects: Vec<SafeText>,
    /// Labels, all of which they must have.
    pub labels: Vec<LabelFilter>,
}

/// A label that a container must have, as in `docker ps --filter label=`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LabelFilter {
    key: String,
    /// `None` for any value.
    value: Option<String>,
}

/// A selected container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectedContainer<'a> {
    /// The container.
    pub container: &'a Container,
    /// Whether it was selected by name rather than by criteria.
    pub is_named: bool,
    /// Attachments named with it, `web:eth0`; empty where none was named.
    pub attachments: Vec<&'a str>,
}

/// A part of a selection that matches no container at the moment, or more than one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnmatchedSelector {
    /// No container has that name.
    Name(String),
    /// More than one container has that name; their interface values.
    Ambiguous(String, Vec<String>),
    /// No container matches.
    Criteria(Criteria),
}

/// A group of containers that is one interface in Wireshark's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerGroup {
    /// The interface value: `docker-all`, `compose-shop`.
    pub value: String,
    /// The text in the list: `Compose project shop (4 containers)`.
    pub display: SafeText,
    /// Its members.
    pub criteria: Criteria,
}

impl Selection {
    /// Whether it selects containers by criteria.
    pub fn has_criteria(&self) -> bool {
        !self.criteria.is_empty()
    }

    /// Whether `value` is the interface value of a group, which no container can have.
    pub fn is_group_value(value: &str) -> bool {
        value.starts_with("compose-")
            || value::GROUPED_ENGINES
                .iter()
                .any(|engine| value::all_containers_value(*engine).eq_ignore_ascii_case(value))
    }

    /// Binds each name that matches among `containers` to a container or a group: it never changes to the other later.
    #[must_use]
    pub fn bind_names(mut self, containers: &[Container]) -> Self {
        let groups = groups(containers);
        for name in std::mem::take(&mut self.names) {
            match self.resolve_name(&name, containers, &groups) {
                ResolvedName::Group(group) => self.criteria.push(group.criteria.clone()),
                ResolvedName::Container(ContainerMatch::NotFound, _) => self.names.push(name),
                ResolvedName::Container(..) => self.containers.push(name),
            }
        }
        self
    }

    /// The selected ones of `containers`, each once, named ones first; and the parts of the selection that match none.
    pub fn resolve<'a>(
        &'a self,
        containers: &'a [Container],
    ) -> (Vec<SelectedContainer<'a>>, Vec<UnmatchedSelector>) {
        let groups = if self.names.is_empty() { Vec::new() } else { groups(containers) };
        let (mut named, mut matching, mut unmatched) =
            (Vec::<SelectedContainer>::new(), Vec::new(), Vec::new());
        let mut add = |name: &String, found: ContainerMatch<'a>, attachment: Option<&'a str>| match found {
            ContainerMatch::Unique(container) => add_named(&mut named, container, attachment),
            ContainerMatch::Ambiguous(values) => {
                unmatched.push(UnmatchedSelector::Ambiguous(name.clone(), values));
            }
            ContainerMatch::NotFound => unmatched.push(UnmatchedSelector::Name(name.clone())),
        };
        for name in &self.names {
            match self.resolve_name(name, containers, &groups) {
                ResolvedName::Group(group) => matching.extend(group.criteria.matching(containers)),
                ResolvedName::Container(found, attachment) => add(name, found, attachment),
            }
        }
        for name in &self.containers {
            let (found, attachment) = self.find(name, containers);
            add(name, found, attachment);
        }
        for criteria in &self.criteria {
            let before = matching.len();
            matching.extend(criteria.matching(containers));
            if matching.len() == before {
                unmatched.push(UnmatchedSelector::Criteria(criteria.clone()));
            }
        }
        let mut seen: HashSet<_> = named.iter().map(|selected| &selected.container.id).collect();
        matching.retain(|container| seen.insert(&container.id));
        let selected = |container| SelectedContainer { container, is_named: false, attachments: Vec::new() };
        (named.into_iter().chain(matching.into_iter().map(selected)).collect(), unmatched)
    }

    /// Whether a network namespace that only the kernel shows is selected, or may be later, where `containers` run.
    pub fn may_select_namespace(&self, containers: &[Container]) -> bool {
        let (selected, unmatched) = self.resolve(containers);
        selected.iter().any(|selected| selected.container.engine == EngineKind::Kernel)
            || unmatched.iter().any(|selector| !matches!(selector, UnmatchedSelector::Criteria(_)))
    }

    fn resolve_name<'a, 'g>(
        &self,
        name: &'a str,
        containers: &'a [Container],
        groups: &'g [ContainerGroup],
    ) -> ResolvedName<'a, 'g> {
        let group = groups.iter().find(|group| group.value.eq_ignore_ascii_case(name));
        // A container cannot have the value of a group, but the same name.
        if let Some(group) = group.filter(|_| self.prefer_values) {
            return ResolvedName::Group(group);
        }
        match (self.find(name, containers), group) {
            ((ContainerMatch::NotFound, _), Some(group)) => ResolvedName::Group(group),
            ((found, attachment), _) => ResolvedName::Container(found, attachment),
        }
    }

    /// The container with this name, and the attachment named with it: `web:eth0`.
    fn find<'a>(&self, name: &'a str, containers: &'a [Container]) -> (ContainerMatch<'a>, Option<&'a str>) {
        match (value::find_container(containers, name, self.prefer_values), name.rsplit_once(':')) {
            (ContainerMatch::NotFound, Some((name, attachment))) if !attachment.is_empty() => {
                (value::find_container(containers, name, self.prefer_values), Some(attachment))
            }
            (found, _) => (found, None),
        }
    }
}

/// Adds a named container once; all its attachments are selected if it was named without one.
fn add_named<'a>(
    named: &mut Vec<SelectedContainer<'a>>,
    container: &'a Container,
    attachment: Option<&'a str>,
) {
    let Some(known) = named.iter_mut().find(|known| known.container.id == container.id) else {
        named.push(SelectedContainer {
            container,
            is_named: true,
            attachments: attachment.into_iter().collect(),
        });
        return;
    };
    match attachment {
        None => known.attachments.clear(),
        Some(attachment) if !known.attachments.is_empty() => known.attachments.push(attachment),
        Some(_) => {}
    }
}

/// The meaning of a name in a selection.
enum ResolvedName<'a, 'g> {
    Group(&'g ContainerGroup),
    Container(ContainerMatch<'a>, Option<&'a str>),
}

impl Criteria {
    /// All containers of an engine.
    pub fn for_engine(engine: EngineKind) -> Self {
        Self { engine: Some(engine), ..Self::default() }
    }

    /// All containers of a Compose project, in any engine.
    pub fn for_project(project: &str) -> Self {
        Self { projects: vec![SafeText::from_name(project)], ..Self::default() }
    }

    /// Whether `container` matches.
    pub fn matches(&self, container: &Container) -> bool {
        container.engine != EngineKind::Kernel
            && self.engine.is_none_or(|engine| engine == container.engine)
            && (self.projects.is_empty()
                || container.project.as_ref().is_some_and(|project| self.projects.contains(project)))
            && self.labels.iter().all(|label| label.matches(container))
    }

    fn matching<'a>(&self, containers: &'a [Container]) -> impl Iterator<Item = &'a Container> {
        containers.iter().filter(|container| self.matches(container))
    }
}

/// `container`; `container of docker`, `container of project shop with label tier=web`.
impl fmt::Display for Criteria {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "container")?;
        if let Some(engine) = self.engine {
            write!(formatter, " of {}", engine.as_str())?;
        }
        if !self.projects.is_empty() {
            let projects: Vec<&str> = self.projects.iter().map(SafeText::as_str).collect();
            write!(formatter, " of project {}", SafeText::with_limit(&projects.join(" or "), 200))?;
        }
        let labels: Vec<String> = self.labels.iter().map(ToString::to_string).collect();
        if labels.is_empty() {
            return Ok(());
        }
        write!(formatter, " with label {}", SafeText::with_limit(&labels.join(" and "), 300))
    }
}

impl LabelFilter {
    fn matches(&self, container: &Container) -> bool {
        let actual = container.labels.get(&self.key);
        actual.is_some_and(|actual| self.value.as_ref().is_none_or(|value| actual == value))
    }
}

impl fmt::Display for LabelFilter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(formatter, "{}={value}", self.key),
            None => formatter.write_str(&self.key),
        }
    }
}

impl From<LabelFilter> for String {
    fn from(filter: LabelFilter) -> Self {
        filter.to_string()
    }
}

impl TryFrom<String> for LabelFilter {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// `KEY` or `KEY=VALUE`.
impl FromStr for LabelFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (text, None),
        };
        if key.is_empty() {
            return Err("invalid label (expected for example tier or tier=web)".to_owned());
        }
        Ok(Self { key: key.to_owned(), value })
    }
}

/// Compose projects in the list, each an interface in addition to its containers.
const MAX_PROJECT_GROUPS: usize = 100;

/// The groups with at least one container: all containers of an engine, then Compose projects by name. Their values are
/// unique, also among those of containers ([`super::assign_values`]).
pub fn groups(containers: &[Container]) -> Vec<ContainerGroup> {
    let mut groups = Vec::new();
    for engine in value::GROUPED_ENGINES {
        let criteria = Criteria::for_engine(engine);
        if criteria.matching(containers).next().is_some() {
            let display = SafeText::new(&format!("All containers ({})", engine.display_name()));
            groups.push(ContainerGroup { value: value::all_containers_value(engine), display, criteria });
        }
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for project in containers.iter().filter_map(|container| container.project.as_ref()) {
        *counts.entry(project.as_str()).or_default() += 1;
    }
    let mut projects: Vec<(&str, usize)> = counts.into_iter().take(MAX_PROJECT_GROUPS).collect();
    // Valid Compose names have precedence: they keep their values.
    let is_valid_in_compose =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    projects.sort_by_key(|(project, _)| !project.bytes().all(is_valid_in_compose));
    let mut taken = HashSet::new();
    let mut project_groups: Vec<ContainerGroup> = projects
        .into_iter()
        .map(|(project, count)| {
            let named = format!("compose-{}", value::sanitized_name(project));
            let numbered = (2..).map(|number| format!("{named}-{number}"));
            let free = std::iter::once(named.clone()).chain(numbered);
            let value = free.into_iter().find(|value| taken.insert(value::preference_key(value)));
            let suffix = format!(" ({count} container{})", if count == 1 { "" } else { "s" });
            let prefix = "Compose project ";
            // A long project name must not cut off the count.
            let shown =
                SafeText::with_limit(project, crate::safe_text::MAX_LABEL_LEN - prefix.len() - suffix.len());
            let display = SafeText::new(&format!("{prefix}{shown}{suffix}"));
            ContainerGroup {
                value: value.unwrap_or(named),
                display,
                criteria: Criteria::for_project(project),
            }
        })
        .collect();
    project_groups.sort_by(|a, b| a.criteria.projects.cmp(&b.criteria.projects));
    groups.extend(project_groups);
    groups
}
