//! Whom a capture is of, as people say it.

use clap::Args;
use containerdump::container::selection::{Criteria, LabelFilter, Selection};
use containerdump::safe_text::SafeText;

#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct SelectorArgs {
    /// Containers, by name, by interface (docker-web), or by the first 12 or more digits of the id;
    /// with :eth0 only that attachment; else groups of them, by interface (docker-all, compose-shop)
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// All containers that an engine tells of
    #[arg(long, conflicts_with_all = ["project", "label"])]
    all: bool,

    /// The containers of this compose project; may be repeated
    #[arg(long, value_name = "NAME")]
    project: Vec<String>,

    /// The containers that have this label, KEY or KEY=VALUE; where repeated, all of them
    #[arg(long, value_name = "LABEL")]
    label: Vec<LabelFilter>,

    /// Continue when a container stops, and capture it again when it is restarted or recreated; always so with
    /// --all, --project and --label, where containers that start later join
    #[arg(long)]
    follow: bool,

    /// Begin although there is no such container yet, and take it in when it starts
    #[arg(long)]
    wait: bool,

    /// NAMEs are those of Wireshark's list, where docker-all is the group whatever containers are called
    #[arg(long, hide = true)]
    by_interface: bool,
}

impl SelectorArgs {
    /// What a file is named after where nobody names it.
    pub(super) fn word(&self) -> &str {
        self.names.first().or(self.project.first()).map_or("containers", String::as_str)
    }

    /// Whether no container is selected in any way.
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty() && !self.is_fitting()
    }

    fn is_fitting(&self) -> bool {
        self.all || !self.project.is_empty() || !self.label.is_empty()
    }

    /// Whether the capture goes on as containers come and go, whatever they are.
    pub(super) fn follows(&self) -> bool {
        self.follow || self.wait
    }

    /// The only container that is captured, if it is one, by name, and nothing is followed. In Wireshark following is the
    /// default, which nobody asked for.
    pub(super) fn only(&self, is_of_window: bool) -> Option<&str> {
        let follows = self.wait || (self.follow && !is_of_window);
        match self.names.as_slice() {
            [name] if !follows && !self.is_fitting() => Some(name),
            _ => None,
        }
    }

    /// The same as a command line for another host; names come last.
    pub(super) fn for_far(&self) -> Vec<String> {
        let flags = [
            (self.all, "--all"),
            (self.follow, "--follow"),
            (self.wait, "--wait"),
            (self.by_interface, "--by-interface"),
        ];
        let mut arguments: Vec<String> =
            flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| (*flag).to_owned()).collect();
        arguments.extend(self.project.iter().map(|project| format!("--project={project}")));
        arguments.extend(self.label.iter().map(|label| format!("--label={label}")));
        arguments.push("--".to_owned());
        arguments.extend(self.names.iter().cloned());
        arguments
    }

    pub(super) fn selection(self) -> Selection {
        let is_fitting = self.is_fitting();
        let projects = self.project.iter().map(|project| SafeText::from_name(project)).collect();
        let criteria = Criteria { engine: None, projects, labels: self.label };
        Selection {
            names: self.names,
            prefer_values: self.by_interface,
            criteria: is_fitting.then_some(criteria).into_iter().collect(),
            wait_for_start: self.wait,
            ..Selection::default()
        }
    }
}
