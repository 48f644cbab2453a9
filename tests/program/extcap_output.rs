//! For all container names, Wireshark reads one interface for each container and nothing else.

use std::collections::HashSet;
use std::sync::LazyLock;

use containerdump::container::endpoint::Endpoint;
use containerdump::container::selection::{Selection, groups};
use containerdump::container::{Container, ContainerId, EngineKind, assign_values, preference_key};
use containerdump::safe_text::SafeText;
use proptest::prelude::*;
use proptest::sample::select;
use regex::Regex;

use super::extcap_parser::{interfaces, objections, objections_to_toolbar, preference_name, sentences};
use crate::support::fake_engine::{Answer, Case, Described, FakeEngine, alike, container, hostile, id};
use crate::support::program::ask;

static GOOD_VALUE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("^(docker|compose)-[a-zA-Z0-9_.-]{1,190}$").expect("a pattern"));
/// Unicode categories that end a value, are invisible, or change the following text.
static MORE_THAN_READ: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}{}]").expect("a pattern"));

/// Arbitrary text, and pieces of injections.
fn foreign_text() -> impl Strategy<Value = String> {
    let pieces = select(vec![
        "}{",
        "} ",
        "}",
        "{",
        "{value=",
        "{display=x}",
        "=",
        "\ninterface ",
        "\r\n",
        "\nextcap {help=x}",
        "\t",
        "\u{1b}[31m",
        "\u{9b}",
        "\u{85}",
        "\u{a0}",
        "\u{2028}",
        "\u{202e}",
        "\u{2066}",
        "\0",
        "/",
        "-",
        "_",
        ".",
        "extcap",
        "web",
        "WEB",
        "1",
        "é",
        "·",
        "…",
    ]);
    let piece = prop_oneof![pieces.prop_map(str::to_owned), any::<char>().prop_map(String::from)];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// Names that are likely to collide.
fn similar_name() -> impl Strategy<Value = String> {
    prop_oneof![foreign_text(), "[wW][-._]?[0-9a]?", select(vec!["w".to_owned(), "x".repeat(300)])]
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 500, ..ProptestConfig::default() }
}

/// A container of that name.
fn named(name: &str, id: &str, created: i64) -> Container {
    let name = Some(SafeText::new(name)).filter(|name| !name.is_empty());
    let endpoint = Endpoint::Unix("/run/docker.sock".into());
    let id = ContainerId::parse(id).expect("64 digits");
    let name = name.unwrap_or_else(|| SafeText::new("nameless"));
    Container { created, ..Container::new(EngineKind::Docker, endpoint, id, name) }
}

/// Asserts that values are unique, also as preference names, of a safe alphabet, short enough for a FIFO name, and not
/// used by Wireshark.
fn are_good_values(values: &[String]) {
    let preferences: HashSet<String> = values.iter().map(|value| preference_name(value)).collect();
    assert_eq!(preferences.len(), values.len(), "{values:?}");
    assert!(values.iter().all(|value| GOOD_VALUE.is_match(value)), "{values:?}");
}

/// The interface values in the list of `engine`. Asserts that each line has two keys and that `expected` lines are for
/// containers, after those for groups.
fn values_read(engine: &FakeEngine, expected: usize) -> Vec<String> {
    let answer = ask(&engine.address(), ["--extcap-interfaces"]).answer();
    let read = sentences(answer.as_bytes());
    assert_eq!(read.len(), answer.lines().count());
    assert_eq!((read[0].keyword.as_str(), read[0].keys()), ("extcap", vec!["version", "display"]));
    let controls = read.iter().position(|sentence| sentence.keyword == "control").expect("a toolbar");
    for sentence in &read[1..controls] {
        assert_eq!((sentence.keyword.as_str(), sentence.keys()), ("interface", vec!["value", "display"]));
    }
    let mut values: Vec<String> = interfaces(answer.as_bytes()).into_iter().map(|(value, _)| value).collect();
    assert_eq!(values.pop().as_deref(), Some("containerdump-ssh"));
    let is_of_container = |value: &&String| value.starts_with("docker-") && *value != "docker-all";
    assert_eq!(values.iter().filter(is_of_container).count(), expected);
    let groups = values.len() - expected;
    assert_eq!(values[0], "docker-all");
    assert!(groups <= 101 && values[1..groups].iter().all(|value| value.starts_with("compose-")));
    values
}

fn described((name, image, network, project): &(String, String, String, String), number: usize) -> Described {
    let described = container(name).with("Id", id(&number.to_string())).image(image).network(network);
    described.label("com.docker.compose.project", project).with("State", project.as_str())
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn safe_text_is_one_value_of_an_extcap_line(text in foreign_text(), longest in 0_usize..100) {
        let label = SafeText::with_limit(&text, longest);
        let line = format!("interface {{value=x}}{{display={label}}}");
        prop_assert_eq!(interfaces(line.as_bytes()), [("x".to_owned(), label.to_string())]);
        let followed = format!("{line}{{tooltip={label}}} {{group={label}}}");
        let read = sentences(followed.as_bytes());
        prop_assert_eq!(read[0].keys(), ["value", "display", "tooltip", "group"]);
    }

    #[test]
    fn safe_text_has_no_control_characters(text in foreign_text(), longest in 1_usize..100) {
        let label = SafeText::with_limit(&text, longest);
        prop_assert!(!MORE_THAN_READ.is_match(label.as_str()), "{:?}", label);
        prop_assert!(label.as_str().chars().count() <= longest);
        prop_assert_eq!(label.as_str().trim(), label.as_str());
    }

    #[test]
    fn container_values_are_unique(
        named_and_made in proptest::collection::vec((similar_name(), 0_i64..3), 0..40)
    ) {
        let made = |(number, (name, created)): (usize, &(String, i64))| named(name, &id(&number.to_string()), *created);
        let mut containers: Vec<Container> = named_and_made.iter().enumerate().map(made).collect();
        assign_values(&mut containers);
        are_good_values(&containers.into_iter().map(|container| container.value).collect::<Vec<_>>());
    }

    #[test]
    fn group_values_are_unique(
        names_and_projects in proptest::collection::vec((similar_name(), similar_name()), 1..40)
    ) {
        let made = |(number, (name, project)): (usize, &(String, String))| {
            let project = Some(SafeText::new(project)).filter(|project| !project.is_empty());
            Container { project, ..named(name, &id(&number.to_string()), 1) }
        };
        let mut containers: Vec<Container> = names_and_projects.iter().enumerate().map(made).collect();
        containers.push(named("all", &id("all"), 0));
        assign_values(&mut containers);
        let groups = groups(&containers);
        let values = groups.iter().map(|group| group.value.clone());
        are_good_values(&values.chain(containers.iter().map(|one| one.value.clone())).collect::<Vec<_>>());
        for group in &groups {
            // The value selects the group, which is not empty.
            let selection = Selection {
                names: vec![group.value.clone()],
                prefer_values: true,
                ..Selection::default()
            };
            let (chosen, missed) = selection.resolve(&containers);
            prop_assert!(missed.is_empty() && !chosen.is_empty());
            prop_assert!(chosen.iter().all(|one| !one.is_named && group.criteria.matches(one.container)));
        }
    }
}

proptest! {
    #![proptest_config(cases(8))]

    #[test]
    fn two_hundred_containers_are_two_hundred_interfaces(
        texts in proptest::collection::vec(
            (similar_name(), foreign_text(), foreign_text(), foreign_text()), 200)
    ) {
        let containers = texts.iter().enumerate().map(|(number, texts)| described(texts, number));
        are_good_values(&values_read(&FakeEngine::running(containers), 200));
    }
}

#[test]
fn case_folding_matches_wireshark() {
    for value in ["Web-1.App@x", "docker-café", "WEB_1"] {
        assert_eq!(preference_key(value), preference_name(value));
    }
    assert_eq!(preference_name("Web-1.App@x"), "web_1_app_x");
}

#[test]
fn a_container_cannot_take_the_interface_value_of_another() {
    let later = id("later");
    let taken = ["web", &format!("web-{}", &later[..12]), &later, &format!("web-{}-2", &later[..12])];
    let mut containers: Vec<Container> = taken.iter().map(|name| named(name, &id(name), 1)).collect();
    containers.push(named("web", &later, 2));
    assign_values(&mut containers);
    assert_eq!(containers[0].value, "docker-web");
    are_good_values(&containers.into_iter().map(|container| container.value).collect::<Vec<_>>());
}

#[test]
fn known_injections_into_the_list_are_escaped() {
    let cases: Vec<Case> = hostile().into_iter().chain(alike()).collect();
    let engine = FakeEngine::running(cases.iter().map(|(described, ..)| described.clone()));
    let mut read = interfaces(ask(&engine.address(), ["--extcap-interfaces"]).answer().as_bytes());
    assert_eq!(read.pop().expect("other hosts").0, "containerdump-ssh");
    let (mut read, groups): (Vec<_>, Vec<_>) =
        read.into_iter().partition(|(value, _)| value != "docker-all" && !value.starts_with("compose-"));
    // Each image is also a project name.
    let shown = |(_, display): &(String, String)| {
        let (project, _) = display.strip_prefix("Compose project ")?.rsplit_once(" (")?;
        Some(project.trim_end_matches('…').to_owned())
    };
    let projects: Vec<String> = groups.iter().filter_map(shown).collect();
    assert_eq!(projects.len() + 1, groups.len(), "{groups:?}");
    for project in &projects {
        assert!(cases.iter().any(|(.., display)| display.contains(project.as_str())), "{project}");
    }
    let mut expected: Vec<_> = cases.into_iter().map(|(_, value, display)| (value, display)).collect();
    read.sort();
    expected.sort();
    assert_eq!(read, expected);
    are_good_values(&values_read(&engine, expected.len()));
}

#[test]
fn the_options_are_parsed_as_the_intended_dialog() {
    let of_others = hostile().into_iter().map(|(_, interface, _)| interface);
    for interface in of_others.chain(["containerdump-ssh", "docker-all"].map(str::to_owned)) {
        let printed = ask("unix:///none", ["--extcap-config", "--extcap-interface", &interface]).answer();
        assert_eq!(objections(&interface, printed.as_bytes()), [""; 0]);
    }
}

#[test]
fn the_controls_are_parsed_as_the_intended_toolbar() {
    let list = |engine: &FakeEngine| ask(&engine.address(), ["--extcap-interfaces"]).answer();
    let printed = list(&FakeEngine::running([container("web")]));
    assert_eq!(objections_to_toolbar(printed.as_bytes()), [""; 0]);
    let count = |printed: &str| printed.lines().filter(|line| line.starts_with("control ")).count();
    assert_eq!((count(&printed), count(&list(&FakeEngine::running([])))), (5, 5));
}

#[test]
fn the_table_shows_no_control_characters() {
    let engine =
        FakeEngine::answering(Answer::containers(hostile().into_iter().map(|(described, ..)| described)));
    for table in [&["list"][..], &["list", "--json"]] {
        assert!(!ask(&engine.address(), table).stdout.is_empty());
    }
}
