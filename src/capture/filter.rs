//! Capture filters: checked by libpcap, run by the kernel.
//!
//! libpcap does not install the program: its own socket captures nothing. For a loopback interface, the user's filter
//! follows a test of the kernel's packet type (`SKF_AD_PKTTYPE`).

use pcap::{Activated, BpfInstruction, Capture, Linktype};
use socket2::SockFilter;

use crate::error::Error;
use crate::safe_text::SafeText;

/// `BPF_LD | BPF_H | BPF_ABS`, `BPF_JMP | BPF_JEQ | BPF_K`, `BPF_RET | BPF_K` (linux/bpf_common.h).
const LOAD_HALF: u16 = 0x28;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;
/// `SKF_AD_OFF + SKF_AD_PKTTYPE` (linux/filter.h).
const PACKET_TYPE: u32 = 0xffff_f004;
/// `PACKET_OUTGOING` (linux/if_packet.h).
const OUTGOING: u32 = 4;
/// `BPF_CLASS`, `BPF_MODE` and their values (linux/bpf_common.h).
const CLASS_MASK: u16 = 0x07;
const LOAD: u16 = 0x00;
const LOAD_INDEX: u16 = 0x01;
const MODE_MASK: u16 = 0xe0;
const ABSOLUTE: u16 = 0x20;
const INDIRECT: u16 = 0x40;
const HEADER_LENGTH: u16 = 0xa0;
/// `SKF_AD_OFF`, and `SKF_AD_OFF + SKF_AD_PROTOCOL` (linux/filter.h).
const EXTENSIONS: u32 = 0xffff_f000;
const PROTOCOL: u32 = 0xffff_f000;
/// Header of LINKTYPE_LINUX_SLL: its length, and the offset of the protocol in it.
const COOKED_HEADER_LEN: u32 = 16;
const COOKED_PROTOCOL_AT: u32 = 14;
/// `BPF_MAXINSNS` (linux/bpf_common.h).
const MAX_INSTRUCTIONS: usize = 4096;

/// An instruction of classic BPF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FilterInstruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    value: u32,
}

impl FilterInstruction {
    const fn new(code: u16, if_true: u8, if_false: u8, value: u32) -> Self {
        Self { code, if_true, if_false, value }
    }

    pub(super) const fn to_sock_filter(self) -> SockFilter {
        SockFilter::new(self.code, self.if_true, self.if_false, self.value)
    }
}

/// Characters of a filter in an error.
const MAX_SHOWN_LEN: usize = 200;
/// Longest filter, in bytes: libpcap compiles 80 KiB for ten seconds, and an option of pcapng holds 64 KiB.
pub const MAX_FILTER_LEN: usize = 4000;

/// The error of `filter`, most often libpcap's; `None` when it is valid for Ethernet.
pub fn filter_syntax_error(filter: &str) -> Option<String> {
    if filter.len() > MAX_FILTER_LEN {
        return Some(format!("longer than {MAX_FILTER_LEN} bytes"));
    }
    let dead = Capture::dead(Linktype::ETHERNET).ok()?;
    dead.compile(filter, true).err().map(|error| error_text(&error))
}

/// Keywords that shift the offsets of the rest of an expression (pcap-filter(7)).
const OFFSET_KEYWORDS: [&str; 5] = ["vlan", "mpls", "pppoes", "geneve", "vxlan"];

/// Combines two filters into one for packets that pass both. Empty filters are ignored.
///
/// Fails when one is invalid by itself, or both shift offsets.
pub fn combine_filters(first: Option<&str>, second: Option<&str>) -> Result<Option<String>, Error> {
    let (first, second) = (non_empty(first), non_empty(second));
    for filter in [first, second].into_iter().flatten() {
        if let Some(why) = filter_syntax_error(filter) {
            return Err(rejection(filter, &why));
        }
    }
    let (Some(one), Some(other)) = (first, second) else {
        return Ok(first.or(second).map(str::to_owned));
    };
    match (contains_word(one, &OFFSET_KEYWORDS), contains_word(other, &OFFSET_KEYWORDS)) {
        (true, true) => Err(Error::new(
            format!(
                "cannot combine capture filters \"{one}\" and \"{other}\": each has a word ({}) that changes what the \
                 rest of the expression refers to",
                OFFSET_KEYWORDS.join(", ")
            ),
            "write both as one filter, in one of the two places",
        )),
        (true, false) => Ok(Some(format!("({other}) and ({one})"))),
        (false, _) => Ok(Some(format!("({one}) and ({other})"))),
    }
}

/// Combines `filter` with an exclusion that the program made, which shifts no offsets.
pub fn with_exclusion(exclusion: Option<&str>, filter: Option<&str>) -> Option<String> {
    match (non_empty(exclusion), non_empty(filter)) {
        (Some(exclusion), Some(filter)) => Some(format!("({exclusion}) and ({filter})")),
        (one, other) => one.or(other).map(str::to_owned),
    }
}

fn non_empty(filter: Option<&str>) -> Option<&str> {
    filter.map(str::trim).filter(|text| !text.is_empty())
}

/// Whether `filter` contains one of `words`.
pub(super) fn contains_word(filter: &str, words: &[&str]) -> bool {
    filter.split(|character: char| !character.is_ascii_alphanumeric()).any(|word| words.contains(&word))
}

/// The end of an attachment at which a ring captures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VethSide {
    /// The host veth: its outgoing packets are inbound for the container.
    Host,
    /// The container's interface, or a host interface for a container in the host's network.
    Container,
}

/// The filter for a host veth, where directions are reversed.
fn with_swapped_directions(filter: &str) -> String {
    let is_word = |character: char| character.is_ascii_alphanumeric() || "_-.\\".contains(character);
    let mut swapped = String::with_capacity(filter.len() + 8);
    let mut rest = filter;
    while !rest.is_empty() {
        let end = rest.find(|character| !is_word(character)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        swapped.push_str(match word {
            "inbound" => "outbound",
            "outbound" => "inbound",
            other => other,
        });
        let gap = after.find(is_word).unwrap_or(after.len());
        swapped.push_str(&after[..gap]);
        rest = &after[gap..];
    }
    swapped
}

/// Compiles `filter` for the link type of `handle`.
///
/// Fails when libpcap rejects it.
pub(super) fn compile<T: Activated + ?Sized>(
    handle: &Capture<T>,
    filter: Option<&str>,
    side: VethSide,
    snap_length: u32,
) -> Result<Vec<FilterInstruction>, Error> {
    let Some(filter) = filter else { return Ok(vec![FilterInstruction::new(RETURN, 0, 0, snap_length)]) };
    let seen = if side == VethSide::Host { with_swapped_directions(filter) } else { filter.to_owned() };
    let compiled = handle.compile(&seen, true).map_err(|error| rejection(filter, &error_text(&error)))?;
    let program =
        compiled.get_instructions().iter().filter_map(|one| instruction(one, snap_length)).collect();
    if !is_cooked(handle.get_datalink()) {
        return Ok(program);
    }
    without_cooked_header(program)
        .ok_or_else(|| rejection(filter, "the kernel cannot test that field of a cooked link"))
}

/// The program of a ring. On a loopback interface each packet is seen twice: there, outgoing ones are rejected first.
///
/// Fails when it is too long for the kernel.
pub(super) fn build_program(
    compiled: &[FilterInstruction],
    is_loopback: bool,
) -> Result<Vec<FilterInstruction>, Error> {
    let program = [if is_loopback { &REJECT_OUTGOING[..] } else { &[] }, compiled].concat();
    if program.len() > MAX_INSTRUCTIONS {
        return Err(Error::new(
            format!(
                "capture filter is too long for the kernel: {} of {MAX_INSTRUCTIONS} instructions",
                program.len()
            ),
            "use a shorter filter, and Wireshark's display filter for the rest",
        ));
    }
    Ok(program)
}

const REJECT_OUTGOING: [FilterInstruction; 3] = [
    FilterInstruction::new(LOAD_HALF, 0, 0, PACKET_TYPE),
    FilterInstruction::new(JUMP_IF_EQUAL, 0, 1, OUTGOING),
    FilterInstruction::new(RETURN, 0, 0, 0),
];

/// Whether libpcap lets the kernel leave out the header of such a link, and makes that of LINKTYPE_LINUX_SLL (pcap-linux.c,
/// `activate_pf_packet`).
pub(super) fn is_cooked(link_type: Linktype) -> bool {
    [Linktype::LINUX_SLL, Linktype::LINUX_IRDA, Linktype::LINUX_LAPD, Linktype::NETLINK].contains(&link_type)
}

/// Moves the offsets of a program for LINKTYPE_LINUX_SLL, whose header the kernel's filter does not see, as libpcap does
/// (pcap-linux.c, `fix_offset`). `None` if it tests a field of the header that the kernel has not.
fn without_cooked_header(program: Vec<FilterInstruction>) -> Option<Vec<FilterInstruction>> {
    let moved = |one: FilterInstruction| {
        let loads = matches!(one.code & CLASS_MASK, LOAD | LOAD_INDEX);
        if !loads || !matches!(one.code & MODE_MASK, ABSOLUTE | INDIRECT | HEADER_LENGTH) {
            return Some(one);
        }
        let value = match one.value {
            0 => PACKET_TYPE,
            COOKED_PROTOCOL_AT => PROTOCOL,
            at if at >= EXTENSIONS => at,
            at => at.checked_sub(COOKED_HEADER_LEN)?,
        };
        Some(FilterInstruction { value, ..one })
    };
    program.into_iter().map(moved).collect()
}

/// Converts an instruction: the pcap crate exposes its fields as text only.
fn instruction(instruction: &BpfInstruction, snap_length: u32) -> Option<FilterInstruction> {
    let text = instruction.to_string();
    let mut numbers = text.split(' ').map(str::parse::<u32>);
    let mut next = || numbers.next()?.ok();
    let (code, if_true, if_false, value) = (next()?, next()?, next()?, next()?);
    let code = u16::try_from(code).ok()?;
    let accepts = code == RETURN && value != 0;
    Some(FilterInstruction::new(
        code,
        u8::try_from(if_true).ok()?,
        u8::try_from(if_false).ok()?,
        if accepts { snap_length } else { value },
    ))
}

fn rejection(filter: &str, why: &str) -> Error {
    Error::new(
        format!("cannot use capture filter \"{}\": {why}", SafeText::with_limit(filter, MAX_SHOWN_LEN)),
        "see the syntax in: man pcap-filter; use addresses of containers, not their names",
    )
}

/// The text of libpcap's error.
pub(super) fn error_text(error: &pcap::Error) -> String {
    match error {
        pcap::Error::PcapError(text) => text.clone(),
        pcap::Error::InvalidString => "a filter cannot hold a zero byte".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_direction_keywords_are_swapped() {
        assert_eq!(
            with_swapped_directions("inbound and (port 80 or not outbound)"),
            "outbound and (port 80 or not inbound)"
        );
        assert_eq!(with_swapped_directions("host inbound.example"), "host inbound.example");
        assert_eq!(with_swapped_directions("  tcp[13]&2!=0 "), "  tcp[13]&2!=0 ");
        assert_eq!(with_swapped_directions("host \\inbound"), "host \\inbound");
        assert_eq!(with_swapped_directions("host é and inbound"), "host é and outbound");
    }

    #[test]
    fn a_combined_filter_requires_both() {
        let both = |one: &str, other: &str| combine_filters(Some(one), Some(other)).expect("a filter");
        assert_eq!(both("tcp", "port 80 or port 81").as_deref(), Some("(tcp) and (port 80 or port 81)"));
        assert_eq!(both(" ", "udp").as_deref(), Some("udp"));
        assert_eq!(combine_filters(None, Some("")).expect("none"), None);
    }

    #[test]
    fn a_filter_that_shifts_offsets_comes_last_and_two_are_refused() {
        for shifting in ["not vlan", "vlan 7 and tcp", "mpls", "pppoes"] {
            let last = Some(format!("(icmp) and ({shifting})"));
            assert_eq!(combine_filters(Some(shifting), Some("icmp")).expect("a filter"), last);
            assert_eq!(combine_filters(Some("icmp"), Some(shifting)).expect("a filter"), last);
            let refused = combine_filters(Some(shifting), Some("vlan")).expect_err("both shift");
            assert!(refused.message().as_str().starts_with("cannot combine capture filters"), "{refused}");
        }
        assert!(!contains_word("host vlan7", &OFFSET_KEYWORDS));
    }

    #[test]
    fn combined_filters_must_be_valid_by_themselves() {
        for wrong in ["udp) or (tcp", "tcp prt 80", "81"] {
            for (one, other) in [(wrong, "tcp port 80"), ("tcp port 80", wrong)] {
                let refused = combine_filters(Some(one), Some(other)).expect_err("no filter");
                assert!(refused.message().as_str().contains(&format!("\"{wrong}\"")), "{refused}");
            }
        }
    }

    #[test]
    fn a_filter_of_a_cooked_link_tests_the_bytes_that_the_kernel_has() {
        let compile = |link_type, text| {
            let dead = Capture::dead(link_type).expect("a handle");
            compile(&dead, Some(text), VethSide::Container, 96)
        };
        // Behind the header, the offsets are those of a link without any.
        let loads = |program: &[FilterInstruction]| -> Vec<(u16, u32)> {
            let loads = program.iter().filter(|one| matches!(one.code & CLASS_MASK, LOAD | LOAD_INDEX));
            loads.map(|one| (one.code, one.value)).filter(|(_, value)| *value < EXTENSIONS).collect()
        };
        let cooked = compile(Linktype::LINUX_SLL, "ip[2:2] > 600 and udp port 53").expect("a filter");
        let raw = compile(Linktype::IPV4, "ip[2:2] > 600 and udp port 53").expect("a filter");
        let offsets = |program| loads(program).into_iter().map(|(_, value)| value).collect::<Vec<_>>();
        assert!(offsets(&cooked).iter().all(|offset| offsets(&raw).contains(offset)), "{cooked:?} {raw:?}");
        assert!(cooked.iter().any(|one| one.value == PROTOCOL && one.code == LOAD_HALF), "{cooked:?}");
        let error = compile(Linktype::LINUX_SLL, "link[4:2] = 6").expect_err("a field that is not there");
        assert!(error.message().as_str().contains("cooked link"), "{error}");
    }

    #[test]
    fn libpcap_checks_the_syntax() {
        assert_eq!(filter_syntax_error("tcp port 80 and inbound"), None);
        assert!(filter_syntax_error("tcp prt 80").is_some_and(|text| text.contains("syntax error")));
        assert!(filter_syntax_error("tcp\0").is_some());
    }
}
