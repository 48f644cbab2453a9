//! Whom a capture is of: a value that can be asked again as containers come and go.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::str::FromStr;

use crate::container::{self, Container, EngineKind, Found};
use crate::text::Label;

/// The containers that a capture is of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Containers by interface value, name or id; and groups, by their interface values.
    pub names: Vec<String>,
    /// All that fit, beside those.
    pub fitting: Option<Criteria>,
    /// Whether those that do not run yet are waited for.
    pub waits: bool,
}

/// What containers have in common. Where nothing is said, all that an engine tells of fit: a network
/// namespace that the kernel alone shows is nobody's container, and is captured by its name only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Criteria {
    /// Who runs them; any engine where there is none.
    pub engine: Option<EngineKind>,
    /// The compose projects that they may belong to; any, or none at all, where this is empty.
    pub projects: Vec<Label>,
    /// Labels, all of which they have.
    pub labels: Vec<WantedLabel>,
}

/// A label that a container must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedLabel {
    key: String,
    /// Any will do where there is none.
    value: Option<String>,
}

/// A container that is selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen<'a> {
    /// The container.
    pub container: &'a Container,
    /// Whether it was named, rather than being one of many that fit.
    pub is_named: bool,
}

/// A part of a selection that means no container at the moment, or none for sure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missed {
    /// Nothing has that name.
    Name(String),
    /// More than one container has that name; their interface values.
    Ambiguous(String, Vec<String>),
    /// Nothing fits.
    Fitting(Criteria),
}

/// Containers that stand in Wireshark's list as one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The interface value: `docker-all`, `compose-shop`.
    pub value: String,
    /// What people read in the list: `Compose project shop (4 containers)`.
    pub display: Label,
    /// Who belongs to it.
    pub criteria: Criteria,
}

impl Selection {
    /// Whether it means all that have something in common, rather than containers by their names.
    pub fn is_of_group(&self) -> bool {
        self.fitting.is_some() || self.names.iter().any(|name| Self::is_group(name))
    }

    /// Whether `name` is the interface value of a group.
    pub fn is_group(name: &str) -> bool {
        name.starts_with("compose-")
            || container::GROUPED
                .iter()
                .any(|engine| container::value_of_all(*engine).eq_ignore_ascii_case(name))
    }

    /// Those of `containers` that are meant, each once, the named ones first; and what means none.
    pub fn of<'a>(&self, containers: &'a [Container]) -> (Vec<Chosen<'a>>, Vec<Missed>) {
        let groups = if self.names.is_empty() { Vec::new() } else { groups(containers) };
        let (mut named, mut fitting, mut missed) = (Vec::new(), Vec::new(), Vec::new());
        for name in &self.names {
            // No container has the value of a group.
            if let Some(group) = groups.iter().find(|group| group.value.eq_ignore_ascii_case(name)) {
                fitting.extend(group.criteria.of(containers));
                continue;
            }
            match container::find(containers, name) {
                Found::One(container) => named.push(container),
                Found::Several(values) => missed.push(Missed::Ambiguous(name.clone(), values)),
                Found::None => missed.push(Missed::Name(name.clone())),
            }
        }
        if let Some(criteria) = &self.fitting {
            let before = fitting.len();
            fitting.extend(criteria.of(containers));
            if fitting.len() == before {
                missed.push(Missed::Fitting(criteria.clone()));
            }
        }
        let mut taken = HashSet::new();
        let all = named.into_iter().map(|one| (one, true)).chain(fitting.into_iter().map(|one| (one, false)));
        let each_once = all.filter(|(container, _)| taken.insert(&container.id));
        (each_once.map(|(container, is_named)| Chosen { container, is_named }).collect(), missed)
    }
}

impl Criteria {
    /// All of an engine.
    pub fn of_engine(engine: EngineKind) -> Self {
        Self { engine: Some(engine), ..Self::default() }
    }

    /// All of a compose project, whichever engine runs them.
    pub fn of_project(project: &str) -> Self {
        Self { projects: vec![Label::new(project)], ..Self::default() }
    }

    /// Whether `container` fits.
    pub fn includes(&self, container: &Container) -> bool {
        container.engine != EngineKind::Kernel
            && self.engine.is_none_or(|engine| engine == container.engine)
            && (self.projects.is_empty()
                || container.project.as_ref().is_some_and(|its| self.projects.contains(its)))
            && self.labels.iter().all(|label| label.is_of(container))
    }

    fn of<'a>(&self, containers: &'a [Container]) -> impl Iterator<Item = &'a Container> {
        containers.iter().filter(|container| self.includes(container))
    }
}

/// `container`; `container of docker`, `container of project shop with label tier=web`.
impl fmt::Display for Criteria {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "container")?;
        if let Some(engine) = self.engine {
            write!(formatter, " of {}", engine.word())?;
        }
        if !self.projects.is_empty() {
            let projects: Vec<&str> = self.projects.iter().map(Label::as_str).collect();
            write!(formatter, " of project {}", Label::with_limit(&projects.join(" or "), 200))?;
        }
        let labels: Vec<String> = self.labels.iter().map(ToString::to_string).collect();
        if labels.is_empty() {
            return Ok(());
        }
        write!(formatter, " with label {}", Label::with_limit(&labels.join(" and "), 300))
    }
}

impl WantedLabel {
    fn is_of(&self, container: &Container) -> bool {
        let its = container.labels.get(&self.key);
        its.is_some_and(|its| self.value.as_ref().is_none_or(|value| its == value))
    }
}

impl fmt::Display for WantedLabel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(formatter, "{}={value}", self.key),
            None => formatter.write_str(&self.key),
        }
    }
}

/// `KEY` or `KEY=VALUE`, as `docker ps --filter label=` takes it.
impl FromStr for WantedLabel {
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
const MOST_PROJECTS: usize = 100;

/// The groups that have anything in them: all containers of an engine, then compose projects by name.
/// No two have the same value, nor has any container ([`container::assign_values`]).
pub fn groups(containers: &[Container]) -> Vec<Group> {
    let mut groups = Vec::new();
    for engine in container::GROUPED {
        let criteria = Criteria::of_engine(engine);
        if criteria.of(containers).next().is_some() {
            let display = Label::new(&format!("All containers ({})", engine.name()));
            groups.push(Group { value: container::value_of_all(engine), display, criteria });
        }
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for project in containers.iter().filter_map(|container| container.project.as_ref()) {
        *counts.entry(project.as_str()).or_default() += 1;
    }
    let mut projects: Vec<(&str, usize)> = counts.into_iter().take(MOST_PROJECTS).collect();
    // Those that compose itself would call so keep their names.
    let is_of_compose =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    projects.sort_by_key(|(project, _)| !project.bytes().all(is_of_compose));
    let mut taken = HashSet::new();
    let mut of_projects: Vec<Group> = projects
        .into_iter()
        .map(|(project, count)| {
            let named = format!("compose-{}", container::plain(project));
            let numbered = (2..).map(|number| format!("{named}-{number}"));
            let free = std::iter::once(named.clone()).chain(numbered);
            let value = free.into_iter().find(|value| taken.insert(container::folded(value)));
            let many = format!(" ({count} container{})", if count == 1 { "" } else { "s" });
            let begin = "Compose project ";
            // How many there are must not be what is cut off.
            let shown = Label::with_limit(project, crate::text::LONGEST - begin.len() - many.len());
            let display = Label::new(&format!("{begin}{shown}{many}"));
            Group { value: value.unwrap_or(named), display, criteria: Criteria::of_project(project) }
        })
        .collect();
    of_projects.sort_by(|a, b| a.criteria.projects.cmp(&b.criteria.projects));
    groups.extend(of_projects);
    groups
}
