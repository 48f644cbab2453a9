//! A request for the packets of containers.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::limits::{check_number, check_text, check_texts};
use crate::capture::{self, CaptureSettings, MAX_FILTER_LEN, MAX_SNAP_LEN};
use crate::container::selection::{Criteria, LabelFilter, Selection};
use crate::error::Error;
use crate::peer::compression::CompressionMode;
use crate::safe_text::SafeText;
use crate::session::Duplicates;
use crate::tap::TapChoice;

/// Sizes that the kernel buffer of an attachment may have, in MiB.
pub const BUFFER_MIB: RangeInclusive<u32> = 2..=2046;

/// Which packets to capture, the same for a capture on this host and on another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct CaptureRequest {
    /// Containers by name, interface value or id, `web:eth0` for one attachment; groups by interface value.
    pub names: Vec<String>,
    /// Whether `names` are interface values as in Wireshark's list, where `docker-all` is the group.
    pub by_interface: bool,
    /// All containers of the engines; excludes `projects` and `labels`.
    pub all: bool,
    /// All containers of these compose projects.
    pub projects: Vec<String>,
    /// All containers that have all of these labels.
    pub labels: Vec<LabelFilter>,
    /// Whether the capture continues when a container stops, and captures it again.
    pub follow: bool,
    /// Whether the capture starts although a container does not run yet.
    pub wait: bool,
    /// Networks or interfaces; the default attachments of each container where there is none.
    pub networks: Vec<String>,
    /// Capture filter in the language of pcap-filter(7), `inbound` and `outbound` as the container sees them.
    pub filter: Option<String>,
    /// Bytes kept of each packet, 1 to [`MAX_SNAP_LEN`].
    pub snap_length: u32,
    /// Kernel buffer of each attachment in MiB ([`BUFFER_MIB`]); where there is none, 112 MiB or a share of 128 MiB.
    pub buffer_mib: Option<u32>,
    /// Where packets are captured.
    pub tap: TapChoice,
    /// Whether a packet between two captured containers is kept once or twice.
    pub duplicates: Duplicates,
    /// Whether host veths are put into promiscuous mode.
    pub promiscuous: bool,
    /// Whether containerdump's own connections are captured, too.
    pub own_traffic: bool,
    /// Whether the stream is compressed on its way; of no meaning on this host.
    pub compress: CompressionMode,
}

/// Whole packets of no container, with the defaults of the command line.
impl Default for CaptureRequest {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            by_interface: false,
            all: false,
            projects: Vec::new(),
            labels: Vec::new(),
            follow: false,
            wait: false,
            networks: Vec::new(),
            filter: None,
            snap_length: MAX_SNAP_LEN,
            buffer_mib: None,
            tap: TapChoice::Auto,
            duplicates: Duplicates::Drop,
            promiscuous: true,
            own_traffic: false,
            compress: CompressionMode::Auto,
        }
    }
}

impl CaptureRequest {
    /// Whether it selects no container.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && !self.has_criteria()
    }

    /// Whether it selects containers by what they have in common.
    pub fn has_criteria(&self) -> bool {
        self.all || !self.projects.is_empty() || !self.labels.is_empty()
    }

    /// Whether the capture continues without a container, whichever are selected.
    pub fn follows(&self) -> bool {
        self.follow || self.wait
    }

    /// The containers that it selects.
    pub fn selection(&self) -> Selection {
        let projects = self.projects.iter().map(|project| SafeText::from_name(project)).collect();
        let criteria = Criteria { engine: None, projects, labels: self.labels.clone() };
        Selection {
            names: self.names.clone(),
            prefer_values: self.by_interface,
            criteria: self.has_criteria().then_some(criteria).into_iter().collect(),
            wait_for_start: self.wait,
            ..Selection::default()
        }
    }

    /// How rings are opened.
    ///
    /// Fails when the capture filter is not valid.
    pub fn settings(&self) -> Result<CaptureSettings, Error> {
        Ok(CaptureSettings {
            filter: capture::combine_filters(self.filter.as_deref(), None)?,
            snap_length: self.snap_length,
            ring_kib: self.buffer_mib.map(|size| size * 1024),
            promiscuous: self.promiscuous,
            ..CaptureSettings::default()
        })
    }

    /// Fails with the first field whose value is out of range.
    pub(super) fn validate(&self) -> Result<(), String> {
        check_texts("names", &self.names)?;
        check_texts("projects", &self.projects)?;
        check_texts("networks", &self.networks)?;
        let labels: Vec<String> = self.labels.iter().map(ToString::to_string).collect();
        check_texts("labels", &labels)?;
        if self.all && !(self.projects.is_empty() && self.labels.is_empty()) {
            return Err("all excludes projects and labels".to_owned());
        }
        check_text("filter", self.filter.as_deref().unwrap_or_default(), MAX_FILTER_LEN)?;
        check_number("snap_length", self.snap_length, &(1..=MAX_SNAP_LEN))?;
        self.buffer_mib.map_or(Ok(()), |size| check_number("buffer_mib", size, &BUFFER_MIB))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_fields() -> CaptureRequest {
        let text = |text: &str| vec![text.to_owned()];
        CaptureRequest {
            names: text("web:eth0"),
            by_interface: true,
            all: false,
            projects: text("shop"),
            labels: ["tier=web", "x"].map(|label| label.parse().expect("a label")).to_vec(),
            follow: true,
            wait: true,
            networks: text("back"),
            filter: Some("tcp port 80".to_owned()),
            snap_length: 128,
            buffer_mib: Some(4),
            tap: TapChoice::Engine,
            duplicates: Duplicates::Keep,
            promiscuous: false,
            own_traffic: true,
            compress: CompressionMode::On,
        }
    }

    #[test]
    fn every_field_survives_the_way_to_another_host() {
        let request = all_fields();
        let text = serde_json::to_string(&request).expect("JSON");
        assert_eq!(serde_json::from_str::<CaptureRequest>(&text).expect("a request"), request);
        for part in [r#""labels":["tier=web","x"]"#, r#""tap":"engine""#, r#""duplicates":"keep""#] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(request.validate(), Ok(()));
    }

    #[test]
    fn values_out_of_range_are_refused_by_the_name_of_their_field() {
        let ok = all_fields;
        let many = vec!["x".to_owned(); 1001];
        let long = || vec!["x".repeat(4097)];
        for (field, request) in [
            ("names", CaptureRequest { names: many.clone(), ..ok() }),
            ("names", CaptureRequest { names: long(), ..ok() }),
            ("projects", CaptureRequest { projects: many.clone(), ..ok() }),
            ("networks", CaptureRequest { networks: many, ..ok() }),
            ("labels", CaptureRequest { labels: vec![long()[0].parse().expect("a label")], ..ok() }),
            ("all", CaptureRequest { all: true, ..ok() }),
            ("filter", CaptureRequest { filter: Some("x".repeat(MAX_FILTER_LEN + 1)), ..ok() }),
            ("snap_length", CaptureRequest { snap_length: 0, ..ok() }),
            ("snap_length", CaptureRequest { snap_length: MAX_SNAP_LEN + 1, ..ok() }),
            ("buffer_mib", CaptureRequest { buffer_mib: Some(1), ..ok() }),
            ("buffer_mib", CaptureRequest { buffer_mib: Some(2047), ..ok() }),
        ] {
            let reason = request.validate().expect_err(field);
            assert!(reason.starts_with(&format!("{field} ")), "{field}: {reason}");
        }
    }

    #[test]
    fn an_invalid_capture_filter_is_refused() {
        let request = CaptureRequest { filter: Some("tcp prt 80".to_owned()), ..all_fields() };
        assert!(request.settings().is_err());
    }
}
