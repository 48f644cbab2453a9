//! Another capture filter for rings that are open.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use pcap::{Capture, Linktype};

use super::filter::{self, Instruction, Side};
use super::{CaptureSettings, Ring, attach};
use crate::error::Error;

/// How long names in a filter may take to be looked up that has to be compiled where packets are read.
const LONGEST: Duration = Duration::from_millis(100);

const ADDRESSES: &str = "write addresses instead of names";
const RETRY: &str = "free some memory, then try again";
pub(super) const SHORTER: &str =
    "use a shorter filter, or give filters more memory: sudo sysctl net.core.optmem_max=1048576";

/// A capture filter for rings that are open: compiled elsewhere than where they are read, since names in it
/// may have to be asked for.
#[derive(Clone, Debug)]
pub struct CompiledFilter {
    text: Option<String>,
    /// With what is left out anyway.
    whole: Option<String>,
    programs: Vec<(Linktype, Side, Vec<Instruction>)>,
}

impl CompiledFilter {
    /// Compiles the filter of `settings` for packets of `link_types`, numbers of
    /// <https://www.tcpdump.org/linktypes.html>.
    ///
    /// Fails when libpcap refuses it, or names in it cannot be looked up soon enough.
    pub fn compile(settings: &CaptureSettings, link_types: &[u32]) -> Result<Self, Error> {
        let (text, whole) = (settings.filter.clone(), settings.combined_filter());
        let mut filter = Self { text, whole, programs: Vec::new() };
        let begin = Instant::now();
        let kinds = link_types.iter().map(|kind| kind.cast_signed());
        let kinds: BTreeSet<i32> = kinds.chain([Linktype::ETHERNET.0]).collect();
        for link_type in kinds.into_iter().map(Linktype) {
            let dead = Capture::dead(link_type).map_err(|error| filter.refused(&error.to_string(), RETRY))?;
            for side in [Side::Host, Side::Container] {
                // It has to be one by itself: brackets must not end those around it.
                filter::compiled(&dead, filter.text(), side, settings.snap_length)?;
                let whole = filter::compiled(&dead, filter.whole(), side, settings.snap_length)?;
                filter.programs.push((link_type, side, whole));
            }
        }
        if filter.text().is_some_and(|text| filter::contains_word(text, &["vlan"])) {
            // The kernel keeps a tag apart from its packet, and libpcap minds that only where it reads packets.
            filter.programs.clear();
            if begin.elapsed() > LONGEST {
                return Err(filter.refused("names in it take too long to be looked up", ADDRESSES));
            }
        }
        Ok(filter)
    }

    /// One that each ring compiles, for a program that has nothing else to do.
    pub fn uncompiled(text: Option<String>) -> Self {
        Self { text: text.clone(), whole: text, programs: Vec::new() }
    }

    /// The filter; none for every packet.
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// The same with what is left out anyway.
    pub fn whole(&self) -> Option<&str> {
        self.whole.as_deref()
    }

    fn refused(&self, why: &str, remedy: &str) -> Error {
        let text = self.text().unwrap_or_default();
        Error::new(format!("cannot change the capture filter to \"{text}\": {why}"), remedy)
    }
}

impl Ring {
    /// Takes those packets only from now on that pass `filter`. Needs no right.
    ///
    /// Fails when the filter is refused; nothing is changed then.
    pub fn set_filter(&mut self, filter: &CompiledFilter) -> Result<(), Error> {
        let link_type = self.handle.get_datalink();
        let known = filter.programs.iter().find(|(of, side, _)| (*of, *side) == (link_type, self.side));
        let own;
        let compiled = if let Some((.., compiled)) = known {
            compiled
        } else {
            own = filter::compiled(&self.handle, filter.whole(), self.side, self.snap_length)?;
            &own
        };
        let program = filter::program(compiled, self.direction, self.side)?;
        attach(&self.handle, &program).map_err(|error| filter.refused(&error.to_string(), SHORTER))?;
        self.former = std::mem::replace(&mut self.program, program);
        Ok(())
    }

    /// Takes what it took before the filter was changed last.
    pub fn restore_filter(&mut self) {
        // The kernel had room for it a moment ago.
        if attach(&self.handle, &self.former).is_ok() {
            self.program = std::mem::take(&mut self.former);
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
    fn a_filter_is_compiled_for_both_ends_of_each_kind_of_link() {
        let filter = compile("tcp port 80 and inbound", &[12, 1, 12]).expect("a filter");
        assert_eq!(filter.programs.len(), 4);
        let (.., host) = &filter.programs[0];
        let (.., container) = &filter.programs[1];
        assert!(host != container && !host.is_empty());
    }

    #[test]
    fn what_is_left_out_anyway_is_so_with_each_filter() {
        let whole = |text: &str| compile(text, &[]).expect("a filter").whole().map(str::to_owned);
        assert_eq!(whole("udp").as_deref(), Some("(not tcp port 2375) and (udp)"));
        assert_eq!(whole("").as_deref(), Some("not tcp port 2375"));
        for wrong in ["tcp prt 80", "udp) or (tcp"] {
            let trouble = compile(wrong, &[]).expect_err("no filter");
            assert!(
                trouble.message().as_str().starts_with(&format!("cannot use capture filter \"{wrong}\""))
            );
        }
    }

    #[test]
    fn a_filter_of_vlans_is_compiled_by_each_ring() {
        let on_raw_ip = compile("vlan 7 and tcp", &[12]).expect_err("raw IP has none");
        assert!(on_raw_ip.message().as_str().contains("vlan"));
        assert!(compile("vlan 7 and tcp", &[1]).expect("a filter").programs.is_empty());
        assert!(compile("not(vlan)", &[1]).expect("a filter").programs.is_empty());
    }
}
