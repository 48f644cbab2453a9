//! Which tool captures a container at which host veth, from the facts that the lookup script printed.

use crate::container::ContainerId;
use crate::safe_text::SafeText;

/// Without the terminating zero (IFNAMSIZ, linux/if.h).
const MAX_INTERFACE_NAME_LEN: usize = 15;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct VethCapture {
    pub(super) tool: &'static str,
    pub(super) engine: &'static str,
    /// The interface inside the container.
    pub(super) interface: SafeText,
    pub(super) host_veth: String,
    /// How many other interfaces with a host veth the container has.
    pub(super) others: usize,
}

impl VethCapture {
    /// Finds the host veth of `wanted`, an interface inside `container`, or of its first one.
    ///
    /// # Errors
    /// Why there is none, or no tool or engine.
    pub(super) fn from_facts(
        facts: &[String],
        container: &str,
        wanted: Option<&str>,
    ) -> Result<Self, String> {
        let values = |keyword: &'static str| {
            facts.iter().filter_map(move |line| line.strip_prefix(keyword)?.strip_prefix(' '))
        };
        let first_of = |keyword, names: [&'static str; 2]| {
            names.into_iter().find(|name| values(keyword).any(|value| value == *name))
        };
        let has = |keyword: &str| facts.iter().any(|line| line == keyword);
        let tool =
            first_of("tool", ["tcpdump", "dumpcap"]).ok_or("neither tcpdump nor dumpcap is installed")?;
        let engine = first_of("engine", ["docker", "podman"])
            .ok_or("neither docker nor podman reports a running container of that name")?;
        // Engines accept any prefix of an id, which a mistyped name may be.
        if !values("container").any(|value| is_identity_of(value, container)) {
            return Err("the engine has no running container of that name or id".to_owned());
        }
        if has("shared") {
            return Err("the container uses the network of the host".to_owned());
        }
        if !has("unchanged") {
            return Err("the container has stopped meanwhile".to_owned());
        }
        let host_veth = |(index, _, peer): (u32, &str, u32)| {
            let mut ends =
                values("host").filter_map(parse_link).filter(|end| end.0 == peer && end.2 == index);
            let name = ends.next().map(|end| end.1);
            name.filter(|name| is_name(name, MAX_INTERFACE_NAME_LEN)).map(str::to_owned)
        };
        let interfaces: Vec<(&str, String)> = values("inside")
            .filter_map(parse_link)
            .filter_map(|link| Some((link.1, host_veth(link)?)))
            .collect();
        let is_wanted = |(name, _): &&(&str, String)| wanted.is_none_or(|wanted| wanted == *name);
        let Some((name, host_veth)) = interfaces.iter().find(is_wanted) else {
            return Err(match wanted {
                Some(wanted) if !interfaces.is_empty() => {
                    format!("the container has no interface {}", SafeText::new(wanted))
                }
                _ if values("inside").next().is_none() => {
                    "only root can look into the network of the container".to_owned()
                }
                _ => "the container has no host veth".to_owned(),
            });
        };
        let (interface, host_veth) = (SafeText::new(name), host_veth.clone());
        Ok(Self { tool, engine, interface, host_veth, others: interfaces.len() - 1 })
    }
}

/// Whether `text` is a name such as engines and the kernel assign, and not an option.
pub(super) fn is_name(text: &str, max_len: usize) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    text.len() <= max_len
        && text.bytes().all(is_allowed)
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
}

/// Parses the beginning of a line of `ip -o link`: index, name, and index of the peer in another namespace.
fn parse_link(text: &str) -> Option<(u32, &str, u32)> {
    let (index, link) = text.split_once(' ')?;
    let (name, peer) = link.strip_suffix(':')?.split_once("@if")?;
    Some((index.strip_suffix(':')?.parse().ok()?, name, peer.parse().ok()?))
}

/// Whether `value`, an id and a name, belongs to the `wanted` container.
fn is_identity_of(value: &str, wanted: &str) -> bool {
    let Some((id, name)) = value.split_once(' ') else { return false };
    name.trim_start_matches('/') == wanted || ContainerId::parse(id).is_some_and(|id| id.matches(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(facts: &str, wanted: Option<&str>) -> Result<VethCapture, String> {
        let facts: Vec<String> = facts.lines().map(str::to_owned).collect();
        VethCapture::from_facts(&facts, "web", wanted)
    }

    const FACTS: &str = "tool dumpcap\nengine docker\ncontainer ID /web\ninside 1: lo:\ninside 12: eth0@if13:\n\
        inside 14: eth1@if15:\nhost 2: eth0:\nhost 13: veth1@if12:\nhost 15: veth2@if14:\nunchanged";

    #[test]
    fn host_veth_is_found_by_both_ends() {
        let veth = find(FACTS, None).expect("one");
        assert_eq!((veth.tool, veth.engine, veth.others), ("dumpcap", "docker", 1));
        assert_eq!((veth.interface.as_str(), veth.host_veth.as_str()), ("eth0", "veth1"));
        assert_eq!(find(FACTS, Some("eth1")).expect("one").host_veth, "veth2");
    }

    #[test]
    fn interface_that_is_no_host_veth_of_the_container_is_refused() {
        let cause = |from: &str, to: &str| find(&FACTS.replace(from, to), Some("eth0")).expect_err("none");
        assert_eq!(cause("@if12", "@if99"), "the container has no interface eth0");
        assert_eq!(cause("veth1", "-w"), "the container has no interface eth0");
        assert_eq!(cause("veth1", "a;b"), "the container has no interface eth0");
        assert_eq!(cause("veth1", "averyveryverylongname"), "the container has no interface eth0");
        assert_eq!(cause("host", "hos"), "the container has no host veth");
        assert_eq!(cause("inside", "insid"), "only root can look into the network of the container");
        assert_eq!(cause("unchanged", "changed"), "the container has stopped meanwhile");
        assert_eq!(cause("unchanged", "unchanged\nshared"), "the container uses the network of the host");
        assert!(cause("docker", "docker2").starts_with("neither docker nor podman"));
        assert_eq!(cause("dumpcap", "rm"), "neither tcpdump nor dumpcap is installed");
    }

    #[test]
    fn container_is_identified_by_name_or_twelve_digits_of_its_id() {
        let id = "64ab".repeat(16);
        for wanted in ["web", &id[..12], &id] {
            assert!(is_identity_of(&format!("{id} /web"), wanted), "{wanted}");
        }
        for wanted in ["64", &id[..11], "we", "64ab64ab64ac"] {
            assert!(!is_identity_of(&format!("{id} /web"), wanted), "{wanted}");
        }
        let error = find(&FACTS.replace("/web", "/webs"), None).expect_err("another");
        assert_eq!(error, "the engine has no running container of that name or id");
    }
}
