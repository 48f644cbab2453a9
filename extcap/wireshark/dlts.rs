//! `--extcap-dlts`: Ethernet, the link type of a veth, for every interface.

use super::line::ExtcapLine;

pub(super) fn lines() -> Vec<ExtcapLine> {
    vec![ExtcapLine::new("dlt").with("number", 1).with("name", "EN10MB").with("display", "Ethernet")]
}
