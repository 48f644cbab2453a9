//! Containers with names and images that try to inject lines into the list, and the expected entries.

use super::{Described, container, id};

/// A container, its interface value and its display.
pub(crate) type Case = (Described, String, String);

/// One container for each known injection, all created in the same second.
pub(crate) fn hostile() -> Vec<Case> {
    let mut cases = vec![
        by_name("web", "docker-web", "web"),
        by_name("we}b", "docker-we-b", "we)b"),
        by_name("-oops", "docker--oops", "-oops"),
        by_name("sl/ash", "docker-sl-ash", "sl/ash"),
        by_name("sp ace", "docker-sp-ace", "sp ace"),
        by_name("café☕", "docker-caf-----", "café☕"),
        by_name("a,b(c)", "docker-a-b-c-", "a,b(c)"),
        by_name("rpcap:x", "docker-rpcap-x", "rpcap:x"),
        by_name("extcap_", "docker-extcap_", "extcap_"),
        by_name("1", "docker-1", "1"),
        by_name("../../images/json", "docker-..-..-images-json", "../../images/json"),
        by_name("}{value=x", "docker---value-x", ")(value=x"),
        by_name("", &format!("docker-{}", &id("")[..12]), &id("")[..12]),
        by_name("\r\n", &format!("docker-{}", &id("\r\n")[..12]), &id("\r\n")[..12]),
        by_image("brace", "foo} {value=stolen}{display=FAKE}", "foo) (value=stolen)(display=FAKE)"),
        by_image("end", "foo}", "foo)"),
        by_image(
            "line",
            "foo\ninterface {value=extra}{display=EXTRA}",
            "foo interface (value=extra)(display=EXTRA)",
        ),
        by_image("help", "foo\r\nextcap {help=http://evil}", "foo  extcap (help=http://evil)"),
        by_image("escape", "\u{1b}[31mred\u{7}\u{9b}0m", "\u{fffd}[31mred\u{fffd}\u{fffd}0m"),
        by_image("bidi", "a\u{202e}b\u{2066}c\u{200f}d", "a\u{fffd}b\u{fffd}c\u{fffd}d"),
        by_image("lines", "a\u{85}b\u{2028}c\u{2029}d", "a\u{fffd}b\u{fffd}c\u{fffd}d"),
        by_image("nul", "a\0b", "a\u{fffd}b"),
        by_image("huge", &"x".repeat(100_000), &format!("…{}…", "x".repeat(78 - "huge · ".chars().count()))),
    ];
    let (no_text, value, display) = by_image("bytes", "here", "\u{fffd}\u{fffd}");
    cases.push((no_text.with_bytes_for("here", b"\xff\xfe"), value, display));
    cases
}

/// Two containers of one name, and three whose names are equal to Wireshark.
pub(crate) fn alike() -> Vec<Case> {
    let numbered = [("twin", 10), ("twin", 20), ("web-1", 10), ("web.1", 20), ("WEB_1", 30)];
    numbered
        .into_iter()
        .map(|(name, created)| {
            let own = id(&format!("{name} of {created}"));
            let is_first = created == 10;
            let value =
                if is_first { format!("docker-{name}") } else { format!("docker-{name}-{}", &own[..12]) };
            (container(name).with("Id", own).created(created), value, format!("{name} · nginx:1.27"))
        })
        .collect()
}

fn by_name(name: &str, value: &str, shown: &str) -> Case {
    (container(name), value.to_owned(), format!("{shown} · nginx:1.27"))
}

fn by_image(name: &str, image: &str, shown: &str) -> Case {
    let described = container(name).image(image).label("com.docker.compose.project", image).network(image);
    (described, format!("docker-{name}"), format!("{name} · {shown}"))
}
