//! Whom a capture is of: a value that can be asked again as containers come and go.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::container::{self, Container, ContainerMatch, EngineKind};
use crate::safe_text::SafeText;

/// The containers that a capture is of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Containers by name, interface value or id; and groups by interface value.
    pub names: Vec<String>,
    /// Whether names are interface values as in Wireshark's list, where `docker-all` is the group: elsewhere a
    /// container of that name comes first.
    pub prefer_values: bool,
    /// Containers by name, interface value or id, and never a group.
    pub containers: Vec<String>,
    /// All containers that fit one of these.
    pub criteria: Vec<Criteria>,
    /// Whether containers that do not run yet are waited for.
    pub wait_for_start: bool,
    /// Whether named containers that cannot be captured are left out, as those of a group are.
    pub skip_unavailable: bool,
}

/// What containers have in common. Where nothing is said, all that an engine tells of fit: a network
/// namespace that the kernel alone shows is nobody's container, and is captured by its name only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Criteria {
    /// Who runs them; any engine where there is none.
    pub engine: Option<EngineKind>,
    /// The compose projects that they may belong to; any, or none at all, where this is empty.
    pub projects: Vec<SafeText>,
    /// Labels, all of which they have.
    pub labels: Vec<LabelFilter>,
}

/// A label that a container must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LabelFilter {
    key: String,
    /// Any will do where there is none.
    value: Option<String>,
}

/// A container that is selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectedContainer<'a> {
    /// The container.
    pub container: &'a Container,
    /// Whether it was named, rather than being one of many that fit.
    pub is_named: bool,
    /// Attachments that were named with it, `web:eth0`; where there is none, whatever else is wanted.
    pub attachments: Vec<&'a str>,
}

/// A part of a selection that means no container at the moment, or none for sure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnmatchedSelector {
    /// Nothing has that name.
    Name(String),
    /// More than one container has that name; their interface values.
    Ambiguous(String, Vec<String>),
    /// Nothing fits.
    Criteria(Criteria),
}

/// Containers that stand in Wireshark's list as one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerGroup {
    /// The interface value: `docker-all`, `compose-shop`.
    pub value: String,
    /// What people read in the list: `Compose project shop (4 containers)`.
    pub display: SafeText,
    /// Who belongs to it.
    pub criteria: Criteria,
}

impl Selection {
    /// Whether it selects containers by what they have in common.
    pub fn has_criteria(&self) -> bool {
        !self.criteria.is_empty()
    }

    /// Whether `value` is the interface value of a group, which no container has.
    pub fn is_group_value(value: &str) -> bool {
        value.starts_with("compose-")
            || container::GROUPED_ENGINES
                .iter()
                .any(|engine| container::all_containers_value(*engine).eq_ignore_ascii_case(value))
    }

    /// The same with each name that means something among `containers` bound to that: a name that means a container
    /// never means a group later, nor the other way round.
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

    /// Those of `containers` that are selected, each once, the named ones first; and the parts that select none.
    pub fn resolve<'a>(
        &'a self,
        containers: &'a [Container],
    ) -> (Vec<SelectedContainer<'a>>, Vec<UnmatchedSelector>) {
        let groups = if self.names.is_empty() { Vec::new() } else { groups(containers) };
        let (mut named, mut fitting, mut missed) = (Vec::<SelectedContainer>::new(), Vec::new(), Vec::new());
        let mut take = |name: &String, found: ContainerMatch<'a>, attachment: Option<&'a str>| match found {
            ContainerMatch::Unique(container) => add_named(&mut named, container, attachment),
            ContainerMatch::Ambiguous(values) => {
                missed.push(UnmatchedSelector::Ambiguous(name.clone(), values));
            }
            ContainerMatch::NotFound => missed.push(UnmatchedSelector::Name(name.clone())),
        };
        for name in &self.names {
            match self.resolve_name(name, containers, &groups) {
                ResolvedName::Group(group) => fitting.extend(group.criteria.matching(containers)),
                ResolvedName::Container(found, attachment) => take(name, found, attachment),
            }
        }
        for name in &self.containers {
            let (found, attachment) = self.container(name, containers);
            take(name, found, attachment);
        }
        for criteria in &self.criteria {
            let before = fitting.len();
            fitting.extend(criteria.matching(containers));
            if fitting.len() == before {
                missed.push(UnmatchedSelector::Criteria(criteria.clone()));
            }
        }
        let mut taken: HashSet<_> = named.iter().map(|one| &one.container.id).collect();
        fitting.retain(|container| taken.insert(&container.id));
        let fits = |container| SelectedContainer { container, is_named: false, attachments: Vec::new() };
        (named.into_iter().chain(fitting.into_iter().map(fits)).collect(), missed)
    }

    fn resolve_name<'a, 'g>(
        &self,
        name: &'a str,
        containers: &'a [Container],
        groups: &'g [ContainerGroup],
    ) -> ResolvedName<'a, 'g> {
        let group = groups.iter().find(|group| group.value.eq_ignore_ascii_case(name));
        // No container has the value of a group, but it may have it for a name.
        if let Some(group) = group.filter(|_| self.prefer_values) {
            return ResolvedName::Group(group);
        }
        match (self.container(name, containers), group) {
            ((ContainerMatch::NotFound, _), Some(group)) => ResolvedName::Group(group),
            ((found, attachment), _) => ResolvedName::Container(found, attachment),
        }
    }

    /// The container that `name` means, and which attachment of it: `web:eth0`.
    fn container<'a>(
        &self,
        name: &'a str,
        containers: &'a [Container],
    ) -> (ContainerMatch<'a>, Option<&'a str>) {
        match (container::find_container(containers, name, self.prefer_values), name.rsplit_once(':')) {
            (ContainerMatch::NotFound, Some((name, attachment))) if !attachment.is_empty() => {
                (container::find_container(containers, name, self.prefer_values), Some(attachment))
            }
            (found, _) => (found, None),
        }
    }
}

/// Adds a container that was named, once: whole if it was named without an attachment.
fn add_named<'a>(
    named: &mut Vec<SelectedContainer<'a>>,
    container: &'a Container,
    attachment: Option<&'a str>,
) {
    let Some(known) = named.iter_mut().find(|one| one.container.id == container.id) else {
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

/// What a name of a selection means.
enum ResolvedName<'a, 'g> {
    Group(&'g ContainerGroup),
    Container(ContainerMatch<'a>, Option<&'a str>),
}

impl Criteria {
    /// All of an engine.
    pub fn for_engine(engine: EngineKind) -> Self {
        Self { engine: Some(engine), ..Self::default() }
    }

    /// All of a compose project, whichever engine runs them.
    pub fn for_project(project: &str) -> Self {
        Self { projects: vec![SafeText::from_name(project)], ..Self::default() }
    }

    /// Whether `container` fits.
    pub fn matches(&self, container: &Container) -> bool {
        container.engine != EngineKind::Kernel
            && self.engine.is_none_or(|engine| engine == container.engine)
            && (self.projects.is_empty()
                || container.project.as_ref().is_some_and(|its| self.projects.contains(its)))
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
        let its = container.labels.get(&self.key);
        its.is_some_and(|its| self.value.as_ref().is_none_or(|value| its == value))
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

/// `KEY` or `KEY=VALUE`, as `docker ps --filter label=` takes it.
impl FromStr for LabelFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (text, None),
        };
        if key.is_empty() {
            return Err("no label such as tier or tier=web".to_owned());
        }
        Ok(Self { key: key.to_owned(), value })
    }
}

/// Compose projects that stand in the list at most: each is a further interface beside its containers.
const MAX_PROJECT_GROUPS: usize = 100;

/// The groups that have anything in them: all containers of an engine, then compose projects by name.
/// No two have the same value, nor has any container ([`container::assign_values`]).
pub fn groups(containers: &[Container]) -> Vec<ContainerGroup> {
    let mut groups = Vec::new();
    for engine in container::GROUPED_ENGINES {
        let criteria = Criteria::for_engine(engine);
        if criteria.matching(containers).next().is_some() {
            let display = SafeText::new(&format!("All containers ({})", engine.display_name()));
            groups.push(ContainerGroup { value: container::all_containers_value(engine), display, criteria });
        }
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for project in containers.iter().filter_map(|container| container.project.as_ref()) {
        *counts.entry(project.as_str()).or_default() += 1;
    }
    let mut projects: Vec<(&str, usize)> = counts.into_iter().take(MAX_PROJECT_GROUPS).collect();
    // Those that compose itself would call so keep their names.
    let is_of_compose =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    projects.sort_by_key(|(project, _)| !project.bytes().all(is_of_compose));
    let mut taken = HashSet::new();
    let mut of_projects: Vec<ContainerGroup> = projects
        .into_iter()
        .map(|(project, count)| {
            let named = format!("compose-{}", container::sanitized_name(project));
            let numbered = (2..).map(|number| format!("{named}-{number}"));
            let free = std::iter::once(named.clone()).chain(numbered);
            let value = free.into_iter().find(|value| taken.insert(container::preference_key(value)));
            let many = format!(" ({count} container{})", if count == 1 { "" } else { "s" });
            let begin = "Compose project ";
            // How many there are must not be what is cut off.
            let shown =
                SafeText::with_limit(project, crate::safe_text::MAX_LABEL_LEN - begin.len() - many.len());
            let display = SafeText::new(&format!("{begin}{shown}{many}"));
            ContainerGroup {
                value: value.unwrap_or(named),
                display,
                criteria: Criteria::for_project(project),
            }
        })
        .collect();
    of_projects.sort_by(|a, b| a.criteria.projects.cmp(&b.criteria.projects));
    groups.extend(of_projects);
    groups
}
