//! `--extcap-dlts`: a veth carries Ethernet frames, whoever is asked about.

use super::sentence::Sentence;

pub(super) fn sentences() -> Vec<Sentence> {
    vec![Sentence::new("dlt").with("number", 1).with("name", "EN10MB").with("display", "Ethernet")]
}
