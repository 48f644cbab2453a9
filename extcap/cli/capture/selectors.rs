//! Which containers to capture, as options.

use clap::Args;
use containerdump::container::selection::LabelFilter;
use containerdump::request::CaptureRequest;

#[derive(Args)]
pub(super) struct SelectorArgs {
    /// Containers, by name, by interface (docker-web), or by the first 12 or more digits of the ID;
    /// with :eth0 only that attachment; or groups of containers, by interface (docker-all, compose-shop)
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// All containers of all engines
    #[arg(long, conflicts_with_all = ["project", "label"])]
    all: bool,

    /// All containers of this Compose project; may be repeated
    #[arg(long, value_name = "NAME")]
    project: Vec<String>,

    /// All containers that have this label, KEY or KEY=VALUE; if repeated, all of the labels
    #[arg(long, value_name = "LABEL")]
    label: Vec<LabelFilter>,

    /// Continue when a container stops, and capture it again when it is restarted or recreated; implied by
    /// --all, --project and --label, which also capture containers that start later
    #[arg(long)]
    follow: bool,

    /// Start the capture even if no such container runs yet, and capture it from its start
    #[arg(long)]
    wait: bool,
}

impl SelectorArgs {
    /// The first name or project: default files are named after it.
    pub(super) fn first_name(&self) -> &str {
        self.names.first().or(self.project.first()).map_or("containers", String::as_str)
    }

    /// A request for these containers, with defaults for everything else.
    pub(super) fn request(&self) -> CaptureRequest {
        CaptureRequest {
            names: self.names.clone(),
            all: self.all,
            projects: self.project.clone(),
            labels: self.label.clone(),
            follow: self.follow,
            wait: self.wait,
            ..CaptureRequest::default()
        }
    }
}
