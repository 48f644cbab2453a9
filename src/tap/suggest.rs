//! Suggestions for a name that matches no container.

use crate::container::Container;
use crate::safe_text::SafeText;

/// Number of suggestions.
const MAX_SUGGESTED: usize = 3;

/// The remedy where no container is called `wanted`.
pub(super) fn remedy(wanted: &str, containers: &[Container]) -> String {
    let wanted = wanted.split(':').next().unwrap_or_default();
    let by_id: Vec<&Container> = containers.iter().filter(|one| begins_id(one, wanted)).collect();
    if !by_id.is_empty() {
        return format!("did you mean {}? An id needs its first 12 digits or more", names(&by_id));
    }
    let is_service = |one: &&Container| one.service.as_ref().is_some_and(|its| its.as_str() == wanted);
    let mut similar: Vec<&Container> = containers.iter().filter(is_service).collect();
    if similar.is_empty() {
        let mut distances: Vec<(usize, &Container)> =
            containers.iter().filter_map(|one| Some((distance(one, wanted)?, one))).collect();
        distances.sort_by_key(|(distance, _)| *distance);
        similar = distances.into_iter().map(|(_, one)| one).collect();
    }
    if similar.is_empty() {
        return "see which there are: containerdump list".to_owned();
    }
    format!("did you mean {}? See which there are: containerdump list", names(&similar))
}

fn begins_id(container: &Container, wanted: &str) -> bool {
    !wanted.is_empty() && container.id.as_str().len() == 64 && container.id.as_str().starts_with(wanted)
}

/// The edit distance of the names; `None` where it is too large for a typing error.
fn distance(container: &Container, wanted: &str) -> Option<usize> {
    let name = container.name.as_str();
    let most = (wanted.chars().count() / 3).clamp(1, 3);
    if name.len().abs_diff(wanted.len()) > most * 4 {
        return None;
    }
    let distance = strsim::damerau_levenshtein(&name.to_lowercase(), &wanted.to_lowercase());
    (distance <= most).then_some(distance)
}

fn names(containers: &[&Container]) -> String {
    let shown = containers.iter().take(MAX_SUGGESTED).map(|one| one.name.shortened());
    SafeText::with_limit(&shown.map(|name| name.to_string()).collect::<Vec<_>>().join(" or "), 250)
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::endpoint::Endpoint;
    use crate::container::{ContainerId, EngineKind};

    fn containers() -> Vec<Container> {
        let container = |name: &str, id: &str| {
            let id = ContainerId::parse(&format!("{id:0<64}")).expect("an id");
            let endpoint = Endpoint::Unix("/run/docker.sock".into());
            Container::new(EngineKind::Docker, endpoint, id, SafeText::from_name(name))
        };
        let service = Container { service: Some("api".into()), ..container("shop-api-1", "c1") };
        vec![container("web", "64ab"), container("database", "b0b"), service]
    }

    #[test]
    fn a_name_with_a_slip_suggests_the_container_that_is_meant() {
        for (wanted, meant) in [
            ("wbe", "web"),
            ("WEB", "web"),
            ("databsae", "database"),
            ("api", "shop-api-1"),
            ("web1:eth0", "web"),
        ] {
            let remedy = remedy(wanted, &containers());
            assert!(remedy.starts_with(&format!("did you mean {meant}?")), "{wanted}: {remedy}");
        }
        assert_eq!(remedy("nothing", &containers()), "see which there are: containerdump list");
    }

    #[test]
    fn too_few_digits_of_an_id_suggest_the_name() {
        assert_eq!(remedy("64", &containers()), "did you mean web? An id needs its first 12 digits or more");
    }
}
