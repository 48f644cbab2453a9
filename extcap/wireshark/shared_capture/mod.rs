//! Interfaces of this host that are selected together become one capture, so that packets between them are captured once.
//!
//! Wireshark starts one process for each of them. The process with the smallest interface value, the leader, captures all
//! of them; the others, its members, wait for its end. A member does so only after the leader has confirmed that it captures.

mod leader_socket;
mod member;
mod siblings;

pub(crate) use leader_socket::{MemberConnections, MemberListener};
pub(super) use member::{JoinOutcome, MemberCapture, join};
pub(super) use siblings::{SiblingCapture, find as find_siblings, list as list_interfaces, separate_notice};

use super::arguments::ExtcapArgs;
use super::last_options;

/// Options that apply to a single interface.
const SINGLE_INTERFACE_OPTIONS: [&str; 2] = ["--containers", "--remote-count"];
/// Members of one capture.
const MAX_MEMBERS: usize = 500;

/// The role of this process among its siblings.
#[derive(Debug)]
pub(super) enum Role {
    /// Captures its own interface only.
    Standalone,
    /// Captures its own interface and those of the members.
    Leader(Vec<SiblingCapture>),
    /// Waits for the leader.
    Member(SiblingCapture),
}

/// The role of this process, and the interfaces of siblings that are captured separately.
pub(super) fn assign_role(
    interface: &str,
    arguments: &ExtcapArgs,
    siblings: Vec<SiblingCapture>,
) -> (Role, Vec<String>) {
    let own = last_options::comparable_options(arguments);
    let may_share = |interface: &str, arguments: &ExtcapArgs| {
        siblings::is_local(interface)
            && SINGLE_INTERFACE_OPTIONS.iter().all(|name| arguments.text(name).is_none())
    };
    let shares = |sibling: &SiblingCapture| {
        let arguments = last_options::effective_options(&sibling.arguments, &sibling.interface);
        may_share(&sibling.interface, &arguments) && last_options::comparable_options(&arguments) == own
    };
    let (mut sharing, others): (Vec<_>, Vec<_>) = if may_share(interface, arguments) {
        siblings.into_iter().partition(shares)
    } else {
        (Vec::new(), siblings)
    };
    let mut separate: Vec<String> = others.into_iter().map(|sibling| sibling.interface).collect();
    sharing.sort_by(|a, b| a.interface.cmp(&b.interface));
    // Of two processes with one interface, one belongs to another capture, which may be ending.
    let has_duplicate = sharing.windows(2).any(|pair| pair[0].interface == pair[1].interface)
        || sharing.iter().any(|sibling| sibling.interface == interface);
    if has_duplicate || sharing.len() > MAX_MEMBERS {
        separate.extend(sharing.drain(..).map(|sibling| sibling.interface));
    }
    let role = match sharing.first() {
        None => Role::Standalone,
        Some(first) if first.interface.as_str() < interface => Role::Member(first.clone()),
        Some(_) => Role::Leader(sharing),
    };
    (role, separate)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn arguments(options: &str) -> ExtcapArgs {
        ExtcapArgs::parse(&options.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    /// The role of `own` among `others`, each an interface with its options, and the interfaces captured separately.
    fn role(own: (&str, &str), others: &[(&str, &str)]) -> (String, Vec<String>) {
        let sibling = |(pid, (interface, options)): (i32, &(&str, &str))| SiblingCapture {
            pid,
            interface: (*interface).to_owned(),
            arguments: arguments(options),
        };
        let siblings = (1..).zip(others).map(sibling).collect();
        let (role, separate) = assign_role(own.0, &arguments(own.1), siblings);
        let role = match role {
            Role::Standalone => "standalone".to_owned(),
            Role::Leader(members) => {
                let names: Vec<String> = members.into_iter().map(|member| member.interface).collect();
                format!("leader of {}", names.join(" "))
            }
            Role::Member(leader) => format!("member of {}", leader.interface),
        };
        (role, separate)
    }

    #[test]
    fn interfaces_with_equal_options_have_one_leader() {
        let (a, b) = (("docker-a", "--fifo /1"), ("docker-b", "--fifo /2 --duplicates drop --network all"));
        let group = ("compose-shop", "--fifo /3 --no-promiscuous false");
        assert_eq!(role(group, &[b, a]), ("leader of docker-a docker-b".to_owned(), vec![]));
        for member in [a, b] {
            let other = if member == a { b } else { a };
            assert_eq!(role(member, &[other, group]), ("member of compose-shop".to_owned(), vec![]));
        }
    }

    #[test]
    fn interfaces_that_cannot_share_a_capture_stay_separate() {
        let own = ("docker-b", "--filter udp");
        for other in [
            ("docker-a", "--filter tcp"),
            ("docker-a", "--filter udp --extcap-capture-filter tcp"),
            ("docker-a", "--filter udp --remote-count 5"),
            ("docker-all", "--filter udp --containers web"),
            ("build1-docker-a", "--filter udp"),
            ("containerdump-ssh", "--filter udp"),
            ("docker-b", "--filter udp"),
        ] {
            assert_eq!(role(own, &[other]), ("standalone".to_owned(), vec![other.0.to_owned()]), "{other:?}");
        }
    }
}
