//! Names of the addresses that packets of containers have, for name resolution blocks.
//!
//! | address | names, the last of which is shown |
//! |---|---|
//! | of this host | `host` |
//! | 127.0.0.11 | `docker-dns` |
//! | of a network's gateway | `gateway.shop_default` |
//! | of a container | its aliases there, its compose service, its own name: `shop-web-1` |
//!
//! Wireshark keeps the last name of an address; other readers
//! see all of them. So what is better known comes later: a container before a gateway, a gateway before
//! the host, of which it is one of the addresses on a bridge.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};

use crate::container::{Container, ContainerId, EngineKind, NetworkMode};
use crate::safe_text::SafeText;

/// Where Docker answers questions for names, inside each container that is in a network with a name of
/// its own (moby, libnetwork/resolver.go).
const DOCKER_DNS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));
/// Docker's network without names.
const DEFAULT_BRIDGE: &str = "bridge";
/// Most names: 3 MB at 80 characters. Those of the containers that are captured are never left out.
const MAX_ADDRESS_NAMES: usize = 30_000;

/// Containers that an address is called after; of more, the latest.
const MAX_OWNERS: usize = 4;
/// Characters of a name of several containers, as many as Wireshark shows (`MAXDNSNAMELEN`).
const MAX_SHARED_NAME_LEN: usize = 250;

/// Which containers have had which address since a capture began. A reader that reads twice gives an address its last
/// name also where it was another's: so that is the name of all of them, `job1 or job2`.
#[derive(Debug, Default)]
pub struct AddressHistory(BTreeMap<IpAddr, Vec<(ContainerId, SafeText)>>);

impl AddressHistory {
    /// Adds to `names`, which are those of `containers` now, the names of addresses that others had before.
    pub fn add_shared_names(&mut self, names: &mut Vec<(IpAddr, SafeText)>, containers: &[Container]) {
        let shown: BTreeMap<IpAddr, SafeText> = names.iter().cloned().collect();
        let mut now: BTreeMap<IpAddr, Vec<&Container>> = BTreeMap::new();
        for container in containers {
            container.addresses().for_each(|address| now.entry(*address).or_default().push(container));
        }
        for (address, containers) in now {
            let is_shown = |one: &&&Container| shown.get(&address) == Some(&one.name);
            let Some(owner) = containers.iter().find(is_shown) else { continue };
            let is_full = self.0.len() >= MAX_ADDRESS_NAMES && !self.0.contains_key(&address);
            if is_full {
                continue;
            }
            let owners = self.0.entry(address).or_default();
            // One that has it still shares it; one that was recreated has the name that it had.
            owners.retain(|(id, name)| {
                *name != owner.name && containers.iter().all(|container| container.id != *id)
            });
            owners.push((owner.id.clone(), owner.name.clone()));
            let older = owners.len().saturating_sub(MAX_OWNERS);
            owners.drain(..older);
            if owners.len() > 1 {
                let all: Vec<&str> = owners.iter().map(|(_, name)| name.as_str()).collect();
                names.push((address, SafeText::with_limit(&all.join(" or "), MAX_SHARED_NAME_LEN)));
            }
        }
    }
}

/// Sorts containers so that of those that share a network the one comes first whose name says most: the one that is nobody's
/// guest, then its guests, and last what Podman made for a pod.
pub fn sort_by_name_priority(containers: &mut [&Container]) {
    containers.sort_by_key(|container| match container.network_mode {
        _ if is_pod_infra(container) => 2,
        NetworkMode::Shared(_) => 1,
        NetworkMode::Own | NetworkMode::Host | NetworkMode::None => 0,
    });
}

/// Whether it is there for the network of a pod: `0123456789ab-infra`, by the first digits of the pod's id.
fn is_pod_infra(container: &Container) -> bool {
    let is_digits = |digits: &str| digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    container.engine == EngineKind::Podman
        && container.name.as_str().strip_suffix("-infra").is_some_and(is_digits)
}

/// Names of the addresses of `containers` and of what is around them; `captured` are those in the
/// capture, as they are known now, and `host` the addresses of this host. Of captured ones that share an address the first
/// gives it its name.
pub fn address_names(
    containers: &[Container],
    captured: &[&Container],
    host: &[IpAddr],
) -> Vec<(IpAddr, SafeText)> {
    // Containers that share a network have one address: it is called after the captured one, the first
    // of several, else after the one that is nobody's guest.
    let position = |container: &Container| captured.iter().position(|one| one.id == container.id);
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
    // What comes later is what is shown.
    let mut told = HashSet::new();
    names.reverse();
    names.retain(|name| told.insert(name.clone()));
    names.truncate(MAX_ADDRESS_NAMES);
    names.reverse();
    names
}

fn uses_docker_dns(container: &Container) -> bool {
    let has_names = || container.networks.iter().any(|network| network.name.as_str() != DEFAULT_BRIDGE);
    container.engine == EngineKind::Docker && container.network_mode == NetworkMode::Own && has_names()
}

/// Each gateway once, by the name of its network; where several networks have it, by one of them.
fn gateways<'a>(containers: impl Iterator<Item = &'a Container>) -> BTreeMap<IpAddr, SafeText> {
    let networks = containers.flat_map(|container| &container.networks);
    let gateways =
        networks.flat_map(|network| network.gateways.iter().map(move |address| (*address, network)));
    let is_one = |address: &IpAddr| !address.is_unspecified();
    gateways
        .filter(|(address, _)| is_one(address))
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
    let known = service
        .chain([&container.name])
        .flat_map(|name| container.addresses().map(|address| (*address, name.shortened())));
    aliases.chain(known).filter(|(address, name)| !address.is_unspecified() && !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::Network;
    use crate::endpoint::Endpoint;

    fn container(name: &str, address: &str, mode: NetworkMode) -> Container {
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
        Container {
            service: Some("service".into()),
            network_mode: mode,
            networks: vec![network],
            ..container
        }
    }

    fn shown(names: &[(IpAddr, SafeText)], address: &str) -> Vec<String> {
        let address: IpAddr = address.parse().expect("an address");
        names.iter().filter(|(one, _)| *one == address).map(|(_, name)| name.to_string()).collect()
    }

    #[test]
    fn the_best_name_of_an_address_comes_last() {
        let host = ["10.0.0.1".parse().expect("an address")];
        let names = address_names(&[container("web", "10.0.0.2", NetworkMode::Own)], &[], &host);
        assert_eq!(shown(&names, "10.0.0.2"), ["alias", "service", "web"]);
        assert_eq!(shown(&names, "10.0.0.1"), ["host", "gateway.net"]);
        assert_eq!(shown(&names, "127.0.0.11"), ["docker-dns"]);
    }

    #[test]
    fn an_address_of_several_containers_is_called_after_the_first_that_is_captured() {
        let owner = container("owner", "10.0.0.2", NetworkMode::Own);
        let guests =
            ["a", "bb"].map(|name| container(name, "10.0.0.2", NetworkMode::Shared(Some(owner.id.clone()))));
        let [one, other] = guests;
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
    fn an_address_that_passes_to_another_container_is_called_after_both() {
        let job = |number: usize| {
            let id = ContainerId::parse(&format!("{number:0>64}")).expect("an id");
            Container { id, ..container(&format!("job{number}"), "10.0.0.2", NetworkMode::Own) }
        };
        let mut owners = AddressHistory::default();
        let mut after = |containers: &[Container]| {
            let mut names = address_names(containers, &[], &[]);
            owners.add_shared_names(&mut names, containers);
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
        let guest = Container { network_mode: NetworkMode::Shared(Some(job(5).id)), ..job(6) };
        assert_eq!(after(&[job(5), guest]), "job2 or job3 or job4 or job5", "a guest had it never alone");
    }

    #[test]
    fn too_many_names_are_cut_where_they_matter_least() {
        let host: Vec<IpAddr> = (0..2 * 30_000).map(|number: u32| IpAddr::V4(number.into())).collect();
        let names = address_names(&[container("web", "10.0.0.2", NetworkMode::Own)], &[], &host);
        assert_eq!(names.len(), MAX_ADDRESS_NAMES);
        assert_eq!(shown(&names, "10.0.0.2").last().map(String::as_str), Some("web"));
    }
}
