//! Capture filters: checked by libpcap, run by the kernel.
//!
//! A ring takes one direction only. The filter of the user is preceded by a look at the kernel's
//! own mark of who sent the packet, `SKF_AD_PKTTYPE`; a source address can be forged, that mark
//! cannot. libpcap's own way of installing a filter is not used: it runs every filter once more
//! in user space over the first block of the ring, where that mark reads as "no packet".

use pcap::{Activated, BpfInstruction, Capture, Linktype};
use socket2::SockFilter;

use super::Direction;
use crate::error::Error;

/// `BPF_LD | BPF_H | BPF_ABS`, `BPF_JMP | BPF_JEQ | BPF_K`, `BPF_RET | BPF_K` (linux/bpf_common.h).
const LOAD_HALF: u16 = 0x28;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;
/// `SKF_AD_OFF + SKF_AD_PKTTYPE` (linux/filter.h).
const PACKET_TYPE: u32 = 0xffff_f004;
/// `PACKET_OUTGOING` (linux/if_packet.h).
const OUTGOING: u32 = 4;
/// `BPF_MAXINSNS` (linux/bpf_common.h).
const MOST_INSTRUCTIONS: usize = 4096;

/// One instruction of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    value: u32,
}

impl Instruction {
    const fn new(code: u16, if_true: u8, if_false: u8, value: u32) -> Self {
        Self { code, if_true, if_false, value }
    }

    pub(super) const fn of_kernel(self) -> SockFilter {
        SockFilter::new(self.code, self.if_true, self.if_false, self.value)
    }
}

/// What libpcap says against `filter`; `None` when it is a valid filter for Ethernet.
pub fn filter_syntax_error(filter: &str) -> Option<String> {
    let dead = Capture::dead(Linktype::ETHERNET).ok()?;
    dead.compile(filter, true).err().map(|error| error_text(&error))
}

/// Words after which the rest of an expression refers to another place in the packet (pcap-filter(7)).
const SHIFTING_WORDS: [&str; 5] = ["vlan", "mpls", "pppoes", "geneve", "vxlan"];

/// Both filters as one, which accepts what each of them accepts. Empty ones are left out.
///
/// Fails when one of them is not a filter by itself, or when both shift what follows in an expression.
pub fn combine_filters(first: Option<&str>, second: Option<&str>) -> Result<Option<String>, Error> {
    let (first, second) = (given(first), given(second));
    for filter in [first, second].into_iter().flatten() {
        if let Some(why) = filter_syntax_error(filter) {
            return Err(refused(filter, &why));
        }
    }
    let (Some(one), Some(other)) = (first, second) else {
        return Ok(first.or(second).map(str::to_owned));
    };
    match (contains_word(one, &SHIFTING_WORDS), contains_word(other, &SHIFTING_WORDS)) {
        (true, true) => Err(Error::new(
            format!(
                "cannot combine capture filters \"{one}\" and \"{other}\": each has a word ({}) that changes what the \
                 rest of the expression refers to",
                SHIFTING_WORDS.join(", ")
            ),
            "write both as one filter, in one of the two places",
        )),
        (true, false) => Ok(Some(format!("({other}) and ({one})"))),
        (false, _) => Ok(Some(format!("({one}) and ({other})"))),
    }
}

/// `filter` for packets that pass `exclusion`, too: a filter that the program made, without shifting words.
pub fn with_exclusion(exclusion: Option<&str>, filter: Option<&str>) -> Option<String> {
    match (given(exclusion), given(filter)) {
        (Some(exclusion), Some(filter)) => Some(format!("({exclusion}) and ({filter})")),
        (one, other) => one.or(other).map(str::to_owned),
    }
}

fn given(filter: Option<&str>) -> Option<&str> {
    filter.map(str::trim).filter(|text| !text.is_empty())
}

/// Whether one of `words` stands in `filter`.
pub(super) fn contains_word(filter: &str, words: &[&str]) -> bool {
    filter.split(|character: char| !character.is_ascii_alphanumeric()).any(|word| words.contains(&word))
}

/// Which end of an attachment a ring is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The end on this host: what goes out there comes in at the container.
    Host,
    /// The container's own end, or an interface of the host whose network it uses.
    Container,
}

/// The filter as the host end of a veth must read it: what comes in at the container goes out at
/// its host veth.
fn seen_from_host(filter: &str) -> String {
    let is_word = |character: char| character.is_ascii_alphanumeric() || "_-.\\".contains(character);
    let mut turned = String::with_capacity(filter.len() + 8);
    let mut rest = filter;
    while !rest.is_empty() {
        let end = rest.find(|character| !is_word(character)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        turned.push_str(match word {
            "inbound" => "outbound",
            "outbound" => "inbound",
            other => other,
        });
        let gap = after.find(is_word).unwrap_or(after.len());
        turned.push_str(&after[..gap]);
        rest = &after[gap..];
    }
    turned
}

/// `filter` for packets of the kind of `handle`, at most `snap_length` bytes of each.
///
/// Fails when libpcap refuses it.
pub(super) fn compiled<T: Activated + ?Sized>(
    handle: &Capture<T>,
    filter: Option<&str>,
    side: Side,
    snap_length: u32,
) -> Result<Vec<Instruction>, Error> {
    let Some(filter) = filter else { return Ok(vec![Instruction::new(RETURN, 0, 0, snap_length)]) };
    let seen = if side == Side::Host { seen_from_host(filter) } else { filter.to_owned() };
    let compiled = handle.compile(&seen, true).map_err(|error| refused(filter, &error_text(&error)))?;
    Ok(compiled.get_instructions().iter().filter_map(|one| instruction(one, snap_length)).collect())
}

/// The program for a ring that takes packets of one direction, of those that pass what was `compiled`.
///
/// Fails when it is too long for the kernel.
pub(super) fn program(
    compiled: &[Instruction],
    direction: Direction,
    side: Side,
) -> Result<Vec<Instruction>, Error> {
    let program = [&guard(direction, side)[..], compiled].concat();
    if program.len() > MOST_INSTRUCTIONS {
        return Err(Error::new(
            format!(
                "capture filter is too long for the kernel: {} of {MOST_INSTRUCTIONS} instructions",
                program.len()
            ),
            "use a shorter filter, and Wireshark's display filter for the rest",
        ));
    }
    Ok(program)
}

/// Instructions that a program begins with, see [`guard`].
const GUARD: usize = 3;

/// Returns "no packet" for the other direction and goes on to what follows otherwise.
fn guard(direction: Direction, side: Side) -> [Instruction; GUARD] {
    let (if_outgoing, otherwise) = match (direction, side) {
        // Outgoing at the host end is what the container receives.
        (Direction::Inbound, Side::Host) | (Direction::Outbound, Side::Container) => (1, 0),
        // On a loopback interface each packet goes out and comes in.
        (Direction::Outbound | Direction::Within, _) | (Direction::Inbound, Side::Container) => (0, 1),
    };
    [
        Instruction::new(LOAD_HALF, 0, 0, PACKET_TYPE),
        Instruction::new(JUMP_IF_EQUAL, if_outgoing, otherwise, OUTGOING),
        Instruction::new(RETURN, 0, 0, 0),
    ]
}

/// One instruction of libpcap's program: the crate shows its four numbers as text only.
fn instruction(instruction: &BpfInstruction, snap_length: u32) -> Option<Instruction> {
    let text = instruction.to_string();
    let mut numbers = text.split(' ').map(str::parse::<u32>);
    let mut next = || numbers.next()?.ok();
    let (code, if_true, if_false, value) = (next()?, next()?, next()?, next()?);
    let code = u16::try_from(code).ok()?;
    let accepts = code == RETURN && value != 0;
    Some(Instruction::new(
        code,
        u8::try_from(if_true).ok()?,
        u8::try_from(if_false).ok()?,
        if accepts { snap_length } else { value },
    ))
}

fn refused(filter: &str, why: &str) -> Error {
    Error::new(
        format!("cannot use capture filter \"{filter}\": {why}"),
        "see the syntax with: man pcap-filter; containers have addresses there, not names",
    )
}

fn error_text(error: &pcap::Error) -> String {
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
    fn directions_are_turned_and_nothing_else() {
        assert_eq!(
            seen_from_host("inbound and (port 80 or not outbound)"),
            "outbound and (port 80 or not inbound)"
        );
        assert_eq!(seen_from_host("host inbound.example"), "host inbound.example");
        assert_eq!(seen_from_host("  tcp[13]&2!=0 "), "  tcp[13]&2!=0 ");
        assert_eq!(seen_from_host("host \\inbound"), "host \\inbound");
        assert_eq!(seen_from_host("host é and inbound"), "host é and outbound");
    }

    #[test]
    fn a_combined_filter_accepts_what_each_of_both_accepts() {
        let both = |one: &str, other: &str| combine_filters(Some(one), Some(other)).expect("a filter");
        assert_eq!(both("tcp", "port 80 or port 81").as_deref(), Some("(tcp) and (port 80 or port 81)"));
        assert_eq!(both(" ", "udp").as_deref(), Some("udp"));
        assert_eq!(combine_filters(None, Some("")).expect("none"), None);
    }

    #[test]
    fn a_filter_that_shifts_what_follows_comes_last_and_two_such_are_refused() {
        for shifting in ["not vlan", "vlan 7 and tcp", "mpls", "pppoes"] {
            let last = Some(format!("(icmp) and ({shifting})"));
            assert_eq!(combine_filters(Some(shifting), Some("icmp")).expect("a filter"), last);
            assert_eq!(combine_filters(Some("icmp"), Some(shifting)).expect("a filter"), last);
            let refused = combine_filters(Some(shifting), Some("vlan")).expect_err("both shift");
            assert!(refused.message().as_str().starts_with("cannot combine capture filters"), "{refused}");
        }
        assert!(!contains_word("host vlan7", &SHIFTING_WORDS));
    }

    #[test]
    fn each_of_two_filters_has_to_be_one_by_itself() {
        for wrong in ["udp) or (tcp", "tcp prt 80", "81"] {
            for (one, other) in [(wrong, "tcp port 80"), ("tcp port 80", wrong)] {
                let refused = combine_filters(Some(one), Some(other)).expect_err("no filter");
                assert!(refused.message().as_str().contains(&format!("\"{wrong}\"")), "{refused}");
            }
        }
    }

    #[test]
    fn libpcap_itself_judges_a_filter() {
        assert_eq!(filter_syntax_error("tcp port 80 and inbound"), None);
        assert!(filter_syntax_error("tcp prt 80").is_some_and(|text| text.contains("syntax error")));
        assert!(filter_syntax_error("tcp\0").is_some());
    }
}
