//! Names for the addresses in captured packets, for name resolution blocks.
//!
//! | address | names, the last of which is shown |
//! |---|---|
//! | this host | `host` |
//! | 127.0.0.11 | `docker-dns` |
//! | gateway of a network | `gateway.shop_default` |
//! | container | its aliases, its Compose service, its own name: `shop-web-1` |
//!
//! Wireshark shows the last name of an address; other readers see all of them. More specific names come later.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};

use super::{Container, ContainerId, EngineKind, NetworkMode};
use crate::safe_text::SafeText;

/// Docker's DNS server inside each container that is in a user-defined network (moby, libnetwork/resolver.go).
const DOCKER_DNS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));
/// Docker's default network, without DNS.
const DEFAULT_BRIDGE: &str = "bridge";
/// Names of one capture: 3 MB at 80 characters. The least specific ones are left out first.
const MAX_ADDRESS_NAMES: usize = 30_000;

/// Containers in the name of a reused address: the most recent ones.
const MAX_OWNERS: usize = 4;
/// Characters of the name of a reused address, as many as Wireshark shows (`MAXDNSNAMELEN`).
const MAX_SHARED_NAME_LEN: usize = 250;

/// The containers that had each address since the start of the capture. A reader may show an address's last name for
/// earlier packets, too; so a reused address is named after all of them: `job1 or job2`.
#[derive(Debug, Default)]
pub struct AddressHistory(BTreeMap<IpAddr, Vec<(ContainerId, SafeText)>>);

impl AddressHistory {
    /// Adds to `names`, those of `containers` now, the names of reused addresses.
    pub fn add_shared_names(&mut self, names: &mut Vec<(IpAddr, SafeText)>, containers: &[Container]) {
        let shown: BTreeMap<IpAddr, SafeText> = names.iter().cloned().collect();
        let mut now: BTreeMap<IpAddr, Vec<&Container>> = BTreeMap::new();
        for container in containers {
            container.addresses().for_each(|address| now.entry(*address).or_default().push(container));
        }
        for (address, containers) in now {
            let is_shown = |container: &&&Container| shown.get(&address) == Some(&container.name);
            let Some(owner) = containers.iter().find(is_shown) else { continue };
            let is_full = self.0.len() >= MAX_ADDRESS_NAMES && !self.0.contains_key(&address);
            if is_full {
                continue;
            }
            let owners = self.0.entry(address).or_default();
            // Not those that share the address now, nor a recreated container of the same name.
            owners.retain(|(id, name)| {
                *name != owner.name && containers.iter().all(|container| container.id != *id)
            });
            owners.push((owner.id.clone(), owner.name.clone()));
            let excess = owners.len().saturating_sub(MAX_OWNERS);
            owners.drain(..excess);
            if owners.len() > 1 {
                let all: Vec<&str> = owners.iter().map(|(_, name)| name.as_str()).collect();
                names.push((address, SafeText::with_limit(&all.join(" or "), MAX_SHARED_NAME_LEN)));
            }
        }
    }
}

/// Sorts containers that share a network by how much their names say: its owner first, then those that joined it, then
/// Podman's infra container of a pod.
pub fn sort_by_name_priority(containers: &mut [&Container]) {
    containers.sort_by_key(|container| match container.network_mode {
        _ if is_pod_infra(container) => 2,
        NetworkMode::Shared(_) => 1,
        NetworkMode::Own | NetworkMode::Unknown | NetworkMode::Host | NetworkMode::None => 0,
    });
}

/// Whether it is Podman's infra container of a pod: `0123456789ab-infra`, with the pod's short id.
fn is_pod_infra(container: &Container) -> bool {
    let is_digits = |digits: &str| digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    container.engine == EngineKind::Podman
        && container.name.as_str().strip_suffix("-infra").is_some_and(is_digits)
}

/// Names for the addresses of `containers`, their gateways and this host, whose addresses are `host`. An address of
/// several `captured` containers is named after the first of them.
pub fn address_names(
    containers: &[Container],
    captured: &[&Container],
    host: &[IpAddr],
) -> Vec<(IpAddr, SafeText)> {
    // Containers that share a network have the same address, named after the first captured one, else its owner.
    let position = |container: &Container| captured.iter().position(|other| other.id == container.id);
    let mut containers: Vec<(Option<usize>, &Container)> = containers
        .iter()
        .map(|container| {
            let position = position(container);
            (position, position.map_or(container, |position| captured[position]))
        })
        .collect();
    containers.sort_by_key(|(position, container)| {
        (position.map(Reverse), !matches!(container.network_mode, NetworkMode::Shared(_)))
    });
    let mut names: Vec<(IpAddr, SafeText)> =
        host.iter().map(|address| (*address, SafeText::new("host"))).collect();
    if containers.iter().any(|(_, container)| uses_docker_dns(container)) {
        names.push((DOCKER_DNS, SafeText::new("docker-dns")));
    }
    let containers = || containers.iter().map(|(_, container)| *container);
    names.extend(gateways(containers()));
    names.extend(containers().flat_map(names_of));
    // The last name of an address is the one shown.
    let mut seen = HashSet::new();
    names.reverse();
    names.retain(|name| seen.insert(name.clone()));
    names.truncate(MAX_ADDRESS_NAMES);
    names.reverse();
    names
}

fn uses_docker_dns(container: &Container) -> bool {
    let is_user_defined = || container.networks.iter().any(|network| network.name.as_str() != DEFAULT_BRIDGE);
    let has_own = matches!(container.network_mode, NetworkMode::Own | NetworkMode::Unknown);
    container.engine == EngineKind::Docker && has_own && is_user_defined()
}

/// Each gateway, named after one of its networks.
fn gateways<'a>(containers: impl Iterator<Item = &'a Container>) -> BTreeMap<IpAddr, SafeText> {
    let networks = containers.flat_map(|container| &container.networks);
    let gateways =
        networks.flat_map(|network| network.gateways.iter().map(move |address| (*address, network)));
    let is_specified = |address: &IpAddr| !address.is_unspecified();
    gateways
        .filter(|(address, _)| is_specified(address))
        .map(|(address, network)| (address, SafeText::new(&format!("gateway.{}", network.name))))
        .collect()
}

fn names_of(container: &Container) -> Vec<(IpAddr, SafeText)> {
    let aliases = container.networks.iter().flat_map(|network| {
        network
            .addresses
            .iter()
            .flat_map(|address| network.aliases.iter().map(move |alias| (*address, alias.clone())))
    });
    let service = container.service.iter();
    let own_names = service
        .chain([&container.name])
        .flat_map(|name| container.addresses().map(|address| (*address, name.shortened())));
    aliases.chain(own_names).filter(|(address, name)| !address.is_unspecified() && !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::Network;
    use crate::container::endpoint::Endpoint;

    fn container(name: &str, address: &str, network_mode: NetworkMode) -> Container {
        let id = ContainerId::parse(&format!("{:0>64}", name.len())).expect("an id");
        let network = Network {
            name: "net".into(),
            id: String::new(),
            addresses: vec![address.parse().expect("an address")],
            mac: SafeText::default(),
            gateways: vec!["10.0.0.1".parse().expect("an address")],
            aliases: vec!["alias".into()],
        };
        let endpoint = Endpoint::Unix("/run/docker.sock".into());
        let container = Container::new(EngineKind::Docker, endpoint, id, name.into());
        Container { service: Some("service".into()), network_mode, networks: vec![network], ..container }
    }

    fn shown(names: &[(IpAddr, SafeText)], address: &str) -> Vec<String> {
        let address: IpAddr = address.parse().expect("an address");
        names.iter().filter(|(other, _)| *other == address).map(|(_, name)| name.to_string()).collect()
    }

    #[test]
    fn the_most_specific_name_of_an_address_comes_last() {
        let host = ["10.0.0.1".parse().expect("an address")];
        let names = address_names(&[container("web", "10.0.0.2", NetworkMode::Own)], &[], &host);
        assert_eq!(shown(&names, "10.0.0.2"), ["alias", "service", "web"]);
        assert_eq!(shown(&names, "10.0.0.1"), ["host", "gateway.net"]);
        assert_eq!(shown(&names, "127.0.0.11"), ["docker-dns"]);
    }

    #[test]
    fn a_shared_address_is_named_after_the_first_captured_container() {
        let owner = container("owner", "10.0.0.2", NetworkMode::Own);
        let members =
            ["a", "bb"].map(|name| container(name, "10.0.0.2", NetworkMode::Shared(Some(owner.id.clone()))));
        let [one, other] = members;
        let all = [one.clone(), owner.clone(), other.clone()];
        let last = |captured: &[&Container]| shown(&address_names(&all, captured, &[]), "10.0.0.2").pop();
        assert_eq!(last(&[]).as_deref(), Some("owner"));
        assert_eq!(last(&[&one]).as_deref(), Some("a"));
        assert_eq!(last(&[&other, &one]).as_deref(), Some("bb"));
        let mut infra = Container { engine: EngineKind::Podman, ..owner.clone() };
        infra.name = "0123456789ab-infra".into();
        let mut all = [&infra, &one, &other, &owner];
        sort_by_name_priority(&mut all);
        assert_eq!(
            all.map(|container| container.name.to_string()),
            ["owner", "a", "bb", "0123456789ab-infra"]
        );
    }

    #[test]
    fn a_reused_address_is_named_after_all_its_containers() {
        let job = |number: usize| {
            let id = ContainerId::parse(&format!("{number:0>64}")).expect("an id");
            Container { id, ..container(&format!("job{number}"), "10.0.0.2", NetworkMode::Own) }
        };
        let mut history = AddressHistory::default();
        let mut after = |containers: &[Container]| {
            let mut names = address_names(containers, &[], &[]);
            history.add_shared_names(&mut names, containers);
            shown(&names, "10.0.0.2").pop().expect("a name")
        };
        assert_eq!(after(&[job(1)]), "job1");
        assert_eq!(after(&[Container { name: "renamed".into(), ..job(1) }]), "renamed");
        assert_eq!(after(&[job(1)]), "job1");
        assert_eq!(after(&[job(2)]), "job1 or job2");
        assert_eq!(after(&[Container { id: job(7).id, ..job(2) }]), "job1 or job2", "it was recreated");
        assert_eq!(after(&[job(3)]), "job1 or job2 or job3");
        assert_eq!(after(&[job(4)]), "job1 or job2 or job3 or job4");
        assert_eq!(after(&[job(5)]), "job2 or job3 or job4 or job5");
        let member = Container { network_mode: NetworkMode::Shared(Some(job(5).id)), ..job(6) };
        assert_eq!(after(&[job(5), member]), "job2 or job3 or job4 or job5", "a member never had it alone");
    }

    #[test]
    fn the_least_specific_names_beyond_the_limit_are_left_out() {
        let host: Vec<IpAddr> = (0..2 * 30_000).map(|number: u32| IpAddr::V4(number.into())).collect();
        let names = address_names(&[container("web", "10.0.0.2", NetworkMode::Own)], &[], &host);
        assert_eq!(names.len(), MAX_ADDRESS_NAMES);
        assert_eq!(shown(&names, "10.0.0.2").last().map(String::as_str), Some("web"));
    }
}
