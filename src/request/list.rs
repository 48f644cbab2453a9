//! A request for the containers of a host.

use serde::{Deserialize, Serialize};

use super::limits::check_texts;

/// Which containers to list, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListRequest {
    /// Containers by name, interface value or id; all where there is none.
    pub names: Vec<String>,
    /// What is printed.
    pub format: ListFormat,
}

/// What a list of containers is printed as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListFormat {
    /// One JSON object per container and line: docs/list-json.md.
    Json,
    /// The taps of each container, as text.
    Taps,
}

impl ListRequest {
    pub(super) fn validate(&self) -> Result<(), String> {
        check_texts("names", &self.names)
    }
}
