//! What Wireshark says, read with patience.
//!
//! Versions differ in what they send: options unknown here, flags followed by a stray `true`,
//! the same option twice. All of it must leave the answer as it is.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

/// Options that stand alone; every other one takes the argument after it.
const FLAGS: [&str; 9] = [
    "--capture",
    "--extcap-interfaces",
    "--extcap-config",
    "--extcap-dlts",
    "--extcap-cleanup-postkill",
    "--no-promiscuous",
    "--remote-noprom",
    "--follow",
    "--own-traffic",
];

/// The arguments as options with their values; the last of a name is the one that counts.
#[derive(Debug, Default)]
pub(super) struct Arguments(Vec<(Vec<u8>, OsString)>);

impl Arguments {
    pub(super) fn read(arguments: &[OsString]) -> Self {
        let mut options = Vec::new();
        let mut rest = arguments.iter().peekable();
        while let Some(argument) = rest.next() {
            let bytes = argument.as_bytes();
            if !bytes.starts_with(b"--") {
                continue;
            }
            let equals = bytes.iter().position(|byte| *byte == b'=');
            let (name, value) = match equals {
                Some(at) => (&bytes[..at], OsString::from_vec(bytes[at + 1..].to_vec())),
                None if FLAGS.iter().any(|flag| flag.as_bytes() == bytes) => (bytes, OsString::from("true")),
                None => {
                    // A value may begin with dashes (`-oops` as an interface), but what is an
                    // option of ours or of Wireshark's is not the value of another.
                    let is_value =
                        |next: &&OsString| !next.as_bytes().starts_with(b"--extcap-") && *next != "--capture";
                    (bytes, rest.next_if(is_value).cloned().unwrap_or_default())
                }
            };
            options.push((name.to_vec(), value));
        }
        Self(options)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| value != "false")
    }

    /// The value of `name` as text, bytes that are none replaced.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.value(name).map(|value| value.to_string_lossy().into_owned())
    }

    /// The value of `name` as a path.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.value(name).filter(|value| !value.is_empty()).map(PathBuf::from)
    }

    fn value(&self, name: &str) -> Option<&OsStr> {
        let is_it = |option: &&(Vec<u8>, OsString)| option.0 == name.as_bytes();
        self.0.iter().rev().find(is_it).map(|(_, value)| value.as_os_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Arguments {
        Arguments::read(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn both_spellings_are_read_and_the_last_counts() {
        let arguments = read("--extcap-interface a --extcap-interface=b=c --unknown x");
        assert_eq!(arguments.text("--extcap-interface").as_deref(), Some("b=c"));
    }

    #[test]
    fn a_stray_true_after_a_flag_changes_nothing() {
        let arguments = read("--no-promiscuous true --snap-length 96 stray --capture");
        assert!(arguments.has("--no-promiscuous") && arguments.has("--capture"));
        assert_eq!(arguments.text("--snap-length").as_deref(), Some("96"));
    }

    #[test]
    fn a_check_box_does_not_swallow_the_next() {
        let all = [crate::dialogue::config::sentences(), crate::dialogue::ssh_config::sentences()];
        let sentences = all.into_iter().flatten().map(|one| one.to_string());
        let of_box = |line: &String| line.contains("{type=boolflag}");
        let boxes: Vec<String> = sentences.filter(of_box).collect();
        assert!(boxes.len() > 2, "{boxes:?}");
        for line in boxes {
            let call = line.split("{call=").nth(1).and_then(|rest| rest.split('}').next()).expect("a call");
            let arguments = read(&format!("{call} --snap-length 96"));
            assert!(arguments.has(call), "{call}");
            assert_eq!(arguments.text("--snap-length").as_deref(), Some("96"), "{call}");
        }
    }

    #[test]
    fn an_option_without_its_value_does_not_swallow_the_next() {
        let arguments = read("--fifo --extcap-interface x --extcap-capture-filter");
        assert_eq!(arguments.path("--fifo"), None);
        assert_eq!(arguments.text("--extcap-interface").as_deref(), Some("x"));
        assert_eq!(arguments.text("--extcap-capture-filter").as_deref(), Some(""));
    }
}
