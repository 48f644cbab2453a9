//! `--extcap-dlts`: a veth carries Ethernet frames, whoever is asked about.

use super::line::ExtcapLine;

pub(super) fn sentences() -> Vec<ExtcapLine> {
    vec![ExtcapLine::new("dlt").with("number", 1).with("name", "EN10MB").with("display", "Ethernet")]
}
