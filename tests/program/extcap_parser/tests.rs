//! The parser, compared with observations of Wireshark.

use super::{interfaces, objections, objections_to_toolbar};

#[test]
fn the_parser_reads_lines_as_wireshark_does() {
    let read = |line: &str| interfaces(line.as_bytes());
    let one = |value: &str, display: &str| vec![(value.to_owned(), display.to_owned())];
    assert_eq!(read("interface {value=a}{display=we}b}"), one("a", "we}b"));
    assert_eq!(read("interface {value=a}{display=f} {value=stolen}{display=FAKE}"), one("stolen", "FAKE"));
    assert_eq!(read("INTERFACE\t{Value=a} {DISPLAY={=}\r"), one("a", "{="));
    assert_eq!(read("interface {value=a}{display=x\ninterface {value=b}{display=y}"), one("b", "y"));
    for nothing in [" interface {value=a}{display=b}", "interface {value=a}", "interface{value=a}{display=b}"]
    {
        assert_eq!(read(nothing), []);
    }
    assert_eq!(interfaces(b"interface {value=a}{display=\xff}"), []);
}

#[test]
fn the_parser_detects_lines_that_prevent_wireshark_from_starting() {
    let objected = |interface: &str, keys: &str| {
        let line = format!("arg {{number=0}}{{call=--a-b}}{{display=A}}{{type=string}}{keys}\n");
        !objections(interface, line.as_bytes()).is_empty()
    };
    assert!(!objected("docker-web", ""));
    for keys in [
        "{call=--Up}",
        "{call=--a=b}",
        "{display=a\tb}",
        "{save=not}{required=maybe}",
        "{range=1}",
        "{type=unsigned}{range=1,9}",
    ] {
        assert!(objected("docker-web", keys), "{keys}");
    }
    assert!(objected("extcap", "") && objected("extcap.web", "") && !objected("extcap", "{save=false}"));
}

#[test]
fn the_parser_rejects_invalid_controls() {
    let objected = |text: &str| !objections_to_toolbar(text.as_bytes()).is_empty();
    let good = "control {number=1}{type=selector}{display=A}";
    assert!(!objected(good) && !objected(&format!("{good}\nvalue {{control=1}}{{value=x}}{{display=X}}")));
    for bad in [
        "control {number=256}{type=string}{display=A}",
        "control {number=1}{type=table}{display=A}",
        "control {number=1}{type=string}",
        "control {number=1}{type=button}{display=A}{role=stop}",
        "control {number=1}{type=string}{display=A}\ncontrol {number=1}{type=string}{display=B}",
        "value {control=1}{value=x}{display=X}",
    ] {
        assert!(objected(bad), "{bad}");
    }
}
