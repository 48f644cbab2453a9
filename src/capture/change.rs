//! Changes the capture filter of open rings.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use pcap::{Capture, Linktype};

use super::filter::{self, FilterInstruction, VethSide};
use super::{CaptureSettings, PacketFormat, Ring, attach};
use crate::error::Error;

/// For name lookups in a filter that is compiled again by the thread that reads packets.
const LOOKUP_TIMEOUT: Duration = Duration::from_millis(100);

const USE_ADDRESSES: &str = "write addresses instead of names";
const RETRY: &str = "free some memory, then try again";
pub(super) const USE_SHORTER_FILTER: &str =
    "use a shorter filter, or give filters more memory: sudo sysctl net.core.optmem_max=1048576";

/// A capture filter for open rings, compiled in advance on another thread, since its names may need DNS.
#[derive(Clone, Debug)]
pub struct CompiledFilter {
    text: Option<String>,
    /// With the exclusion.
    combined: Option<String>,
    programs: Vec<(Linktype, VethSide, Vec<FilterInstruction>)>,
}

impl CompiledFilter {
    /// Compiles the filter of `settings` for packets of `link_types`, numbers of
    /// <https://www.tcpdump.org/linktypes.html>.
    ///
    /// Fails when libpcap rejects it, or its names are not found in time.
    pub fn compile(settings: &CaptureSettings, link_types: &[u32]) -> Result<Self, Error> {
        let (text, combined) = (settings.filter.clone(), settings.combined_filter());
        let mut filter = Self { text, combined, programs: Vec::new() };
        let begin = Instant::now();
        let kinds = link_types.iter().map(|kind| kind.cast_signed());
        let kinds: BTreeSet<i32> = kinds.chain([Linktype::ETHERNET.0]).collect();
        for link_type in kinds.into_iter().map(Linktype) {
            let dead =
                Capture::dead(link_type).map_err(|error| filter.rejection(&error.to_string(), RETRY))?;
            for side in [VethSide::Host, VethSide::Container] {
                // Valid by itself: its parentheses must not match those around it.
                filter::compile(&dead, filter.text(), side, settings.snap_length)?;
                let combined = filter::compile(&dead, filter.combined(), side, settings.snap_length)?;
                filter.programs.push((link_type, side, combined));
            }
        }
        if filter.text().is_some_and(|text| filter::contains_word(text, &["vlan"])) {
            // The kernel keeps VLAN tags apart, which libpcap considers only for an open device.
            filter.programs.clear();
            if begin.elapsed() > LOOKUP_TIMEOUT {
                return Err(filter.rejection("its host names take too long to resolve", USE_ADDRESSES));
            }
        }
        Ok(filter)
    }

    /// Not compiled in advance: each ring compiles it.
    pub fn uncompiled(text: Option<String>) -> Self {
        Self { text: text.clone(), combined: text, programs: Vec::new() }
    }

    /// The filter; `None` for all packets.
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// The filter combined with the exclusion.
    pub fn combined(&self) -> Option<&str> {
        self.combined.as_deref()
    }

    fn rejection(&self, why: &str, remedy: &str) -> Error {
        let text = self.text().unwrap_or_default();
        Error::new(format!("cannot change the capture filter to \"{text}\": {why}"), remedy)
    }
}

impl Ring {
    /// Changes the filter. Needs no capability.
    ///
    /// Fails, without a change, when the filter is rejected.
    pub fn set_filter(&mut self, filter: &CompiledFilter) -> Result<(), Error> {
        let PacketFormat { link_type, side, is_loopback, snap_length } = self.format;
        let known = filter.programs.iter().find(|(of, at, _)| (*of, *at) == (link_type, side));
        let own;
        let compiled = if let Some((.., compiled)) = known {
            compiled
        } else {
            own = filter::compile(&self.handle, filter.combined(), side, snap_length)?;
            &own
        };
        let program = filter::build_program(compiled, is_loopback)?;
        attach(&self.kernel, &program)
            .map_err(|error| filter.rejection(&error.to_string(), USE_SHORTER_FILTER))?;
        self.previous_program = std::mem::replace(&mut self.program, program);
        Ok(())
    }

    /// Restores the filter before the last change.
    pub fn restore_filter(&mut self) {
        // The kernel had memory for it before.
        if attach(&self.kernel, &self.previous_program).is_ok() {
            self.program = std::mem::take(&mut self.previous_program);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(text: &str, link_types: &[u32]) -> Result<CompiledFilter, Error> {
        let without = Some("not tcp port 2375".to_owned());
        let filter = Some(text.to_owned()).filter(|text| !text.is_empty());
        CompiledFilter::compile(
            &CaptureSettings { filter, exclusion: without, ..CaptureSettings::default() },
            link_types,
        )
    }

    #[test]
    fn a_filter_is_compiled_for_both_ends_of_each_link_type() {
        let filter = compile("tcp port 80 and inbound", &[12, 1, 12]).expect("a filter");
        assert_eq!(filter.programs.len(), 4);
        let (.., host) = &filter.programs[0];
        let (.., container) = &filter.programs[1];
        assert!(host != container && !host.is_empty());
    }

    #[test]
    fn the_exclusion_is_part_of_every_filter() {
        let combined = |text: &str| compile(text, &[]).expect("a filter").combined().map(str::to_owned);
        assert_eq!(combined("udp").as_deref(), Some("(not tcp port 2375) and (udp)"));
        assert_eq!(combined("").as_deref(), Some("not tcp port 2375"));
        for wrong in ["tcp prt 80", "udp) or (tcp"] {
            let error = compile(wrong, &[]).expect_err("no filter");
            assert!(error.message().as_str().starts_with(&format!("cannot use capture filter \"{wrong}\"")));
        }
    }

    #[test]
    fn a_vlan_filter_is_compiled_by_each_ring() {
        let on_raw_ip = compile("vlan 7 and tcp", &[12]).expect_err("raw IP has none");
        assert!(on_raw_ip.message().as_str().contains("vlan"));
        assert!(compile("vlan 7 and tcp", &[1]).expect("a filter").programs.is_empty());
        assert!(compile("not(vlan)", &[1]).expect("a filter").programs.is_empty());
    }
}
