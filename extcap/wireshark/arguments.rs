//! The arguments of an extcap call.
//!
//! Wireshark's versions differ in what they pass: new options, flags followed by a stray `true`, an option given twice.
//! None of it fails a call, but the user is told of unknown options.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use containerdump::error::Error;
use containerdump::safe_text::SafeText;

/// An option of an extcap call.
struct OptionSpec {
    name: &'static str,
    /// The names of the option in tcpdump and dumpcap.
    aliases: &'static [&'static str],
    is_flag: bool,
}

const fn flag(name: &'static str, aliases: &'static [&'static str]) -> OptionSpec {
    OptionSpec { name, aliases, is_flag: true }
}

const fn valued(name: &'static str, aliases: &'static [&'static str]) -> OptionSpec {
    OptionSpec { name, aliases, is_flag: false }
}

/// All options. Wireshark may also pass any option that starts with `--extcap-`.
const OPTIONS: &[OptionSpec] = &[
    flag("--capture", &[]),
    flag("--extcap-interfaces", &[]),
    flag("--extcap-config", &[]),
    flag("--extcap-dlts", &[]),
    flag("--extcap-cleanup-postkill", &[]),
    valued("--fifo", &[]),
    valued("--network", &["-i", "--interface"]),
    valued("--containers", &[]),
    valued("--filter", &["-f"]),
    valued("--snap-length", &["-s", "--snaplen", "--snapshot-length"]),
    valued("--buffer-size", &["-B"]),
    flag("--no-promiscuous", &["-p", "--no-promiscuous-mode"]),
    valued("--tap", &[]),
    flag("--stop-with-container", &[]),
    // The default now; still in settings that earlier versions have saved.
    flag("--follow", &[]),
    valued("--duplicates", &[]),
    flag("--own-traffic", &[]),
    valued("--last-filter", &[]),
    flag("--reset-options", &[]),
    valued("--log-level", &[]),
    valued("--log-file", &[]),
    valued("--remote-host", &[]),
    valued("--remote-port", &[]),
    valued("--remote-username", &[]),
    valued("--sshkey", &[]),
    valued("--proxycommand", &[]),
    valued("--remote-container", &[]),
    valued("--remote-priv", &[]),
    flag("--remote-noprom", &[]),
    valued("--remote-filter", &[]),
    valued("--remote-count", &["-c", "--count"]),
];

/// Unknown options named in the warning.
const MAX_NAMED_VALUES: usize = 5;

/// The option with the name or alias `word`.
fn find_option(word: &[u8]) -> Option<&'static OptionSpec> {
    let matches = |name: &str| name.as_bytes() == word;
    OPTIONS.iter().find(|option| matches(option.name) || option.aliases.iter().any(|alias| matches(alias)))
}

/// Whether `word` is certainly an option, and not the value of one.
fn is_option(word: &[u8]) -> bool {
    word.starts_with(b"--extcap-") || (word.starts_with(b"--") && find_option(word).is_some())
}

/// The arguments as options with their values; the last one of a name counts.
#[derive(Clone, Debug, Default)]
pub(super) struct ExtcapArgs {
    options: Vec<(Vec<u8>, OsString)>,
    unknown: Vec<SafeText>,
}

impl ExtcapArgs {
    pub(super) fn parse(arguments: &[OsString]) -> Self {
        let mut parsed = Self::default();
        let mut rest = arguments.iter().peekable();
        while let Some(argument) = rest.next() {
            let Some((word, attached)) = split_option(argument.as_bytes()) else { continue };
            let found = find_option(word);
            let is_wiresharks = word.starts_with(b"--extcap-");
            let value = match (attached, found) {
                (Some(value), _) => OsString::from_vec(value.to_vec()),
                (None, Some(OptionSpec { is_flag: true, .. })) => {
                    let is_bool = |next: &&OsString| *next == "true" || *next == "false";
                    rest.next_if(is_bool).cloned().unwrap_or_else(|| OsString::from("true"))
                }
                (None, _) => {
                    // The value of a known option may start with a dash.
                    let is_value = |next: &&OsString| {
                        let next = next.as_bytes();
                        if found.is_some() || is_wiresharks {
                            !is_option(next)
                        } else {
                            !next.starts_with(b"-")
                        }
                    };
                    rest.next_if(is_value).cloned().unwrap_or_default()
                }
            };
            if found.is_none() && !is_wiresharks {
                parsed.unknown.push(SafeText::new(&String::from_utf8_lossy(word)));
            }
            let name = found.map_or(word, |option| option.name.as_bytes());
            parsed.options.push((name.to_vec(), value));
        }
        parsed
    }

    /// A warning about unknown options, which have no effect.
    pub(super) fn warning(&self) -> Option<Error> {
        let (named, others) = self.unknown.split_at(self.unknown.len().min(MAX_NAMED_VALUES));
        let list = named.iter().map(SafeText::as_str).collect::<Vec<_>>().join(", ");
        let what = match (named.len(), others.len()) {
            (0, _) => return None,
            (1, _) => format!("unknown option {list} is ignored"),
            (_, 0) => format!("unknown options {list} are ignored"),
            (_, others) => format!("unknown options {list} and {others} more are ignored"),
        };
        Some(Error::new(what, "see the options of a capture: containerdump capture --help"))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| value != "false")
    }

    /// The value of `name` as text, with invalid UTF-8 replaced.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.value(name).map(|value| value.to_string_lossy().into_owned())
    }

    /// The value of `name` as a path.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.value(name).filter(|value| !value.is_empty()).map(PathBuf::from)
    }

    /// The names of all options.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        self.options.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned())
    }

    /// Adds `defaults` for options that are not given.
    pub(super) fn with_defaults<'a>(&self, defaults: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let defaults = defaults.map(|(name, value)| (name.as_bytes().to_vec(), OsString::from(value)));
        let options = defaults.chain(self.options.iter().cloned()).collect();
        Self { options, unknown: self.unknown.clone() }
    }

    /// Removes the options of these names.
    pub(super) fn without(&self, names: &[&str]) -> Self {
        let is_kept = |(name, _): &&(Vec<u8>, OsString)| !names.iter().any(|other| other.as_bytes() == name);
        Self {
            options: self.options.iter().filter(is_kept).cloned().collect(),
            unknown: self.unknown.clone(),
        }
    }

    /// The capture filter of the dialog, which applies in addition to that of Wireshark.
    pub(super) fn dialog_filter(&self) -> Option<String> {
        let filters = ["--filter", "--last-filter", "--remote-filter"];
        filters.iter().filter_map(|name| self.text(name)).find(|filter| !filter.trim().is_empty())
    }

    fn value(&self, name: &str) -> Option<&OsStr> {
        self.options
            .iter()
            .rev()
            .find(|option| option.0 == name.as_bytes())
            .map(|(_, value)| value.as_os_str())
    }
}

/// The name of an option, and the value attached to it (`--name=value`, `-s96`); `None` if `argument` is not an option.
fn split_option(argument: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    if argument.len() < 2 || argument[0] != b'-' {
        return None;
    }
    if argument[1] == b'-' {
        let equals = argument.iter().position(|byte| *byte == b'=');
        return Some(equals.map_or((argument, None), |at| (&argument[..at], Some(&argument[at + 1..]))));
    }
    let is_valued = argument.len() > 2 && find_option(&argument[..2]).is_some_and(|option| !option.is_flag);
    Some(if is_valued { (&argument[..2], Some(&argument[2..])) } else { (argument, None) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> ExtcapArgs {
        ExtcapArgs::parse(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn option_may_have_an_attached_value_and_the_last_one_counts() {
        let arguments = parse("--extcap-interface a --extcap-interface=b=c --unknown x");
        assert_eq!(arguments.text("--extcap-interface").as_deref(), Some("b=c"));
    }

    #[test]
    fn flag_may_be_followed_by_its_value() {
        assert!(!parse("--no-promiscuous false --capture").has("--no-promiscuous"));
        assert!(!parse("--no-promiscuous=false --capture").has("--no-promiscuous"));
    }

    #[test]
    fn stray_true_after_a_flag_is_ignored() {
        let arguments = parse("--no-promiscuous true --snap-length 96 stray --capture");
        assert!(arguments.has("--no-promiscuous") && arguments.has("--capture"));
        assert_eq!(arguments.text("--snap-length").as_deref(), Some("96"));
    }

    #[test]
    fn options_of_tcpdump_and_dumpcap_are_accepted() {
        for line in ["-s 96", "-s96", "--snaplen 96", "--snaplen=96", "--snapshot-length 96"] {
            let arguments = parse(line);
            assert_eq!(arguments.text("--snap-length").as_deref(), Some("96"), "{line}");
            assert_eq!(arguments.warning(), None, "{line}");
        }
        let arguments = parse("-p -f udp -B 4 -c 7 -i eth0");
        assert!(arguments.has("--no-promiscuous"));
        for (name, value) in
            [("--filter", "udp"), ("--buffer-size", "4"), ("--remote-count", "7"), ("--network", "eth0")]
        {
            assert_eq!(arguments.text(name).as_deref(), Some(value), "{name}");
        }
    }

    #[test]
    fn alias_has_the_same_meaning_on_the_command_line() {
        let mut command = crate::cli::command();
        let capture = command.find_subcommand_mut("capture").expect("a subcommand");
        for option in OPTIONS {
            // The number of packets has its name from sshdump.
            let name = option.name.trim_start_matches("--remote-").trim_start_matches("--");
            for alias in option.aliases {
                let argument = capture.get_arguments().find(|argument| {
                    let all = argument.get_all_aliases().unwrap_or_default();
                    let long = argument.get_long().into_iter().chain(all).map(|long| format!("--{long}"));
                    let short = argument.get_short().map(|short| format!("-{short}"));
                    long.chain(short).any(|name| name == *alias)
                });
                let argument = argument.unwrap_or_else(|| panic!("capture has no {alias}"));
                assert_eq!(argument.get_long(), Some(name), "{alias}");
            }
        }
    }

    #[test]
    fn unknown_options_are_named_and_do_not_consume_the_next_option() {
        let arguments =
            parse("--capture --bogus --snap-length 96 -q --gone=5 -x 7 --extcap-of-the-future yes true");
        assert_eq!(arguments.text("--snap-length").as_deref(), Some("96"));
        let warning = arguments.warning().expect("a warning");
        assert_eq!(warning.message().as_str(), "unknown options --bogus, -q, --gone, -x are ignored");
        let many: Vec<String> = (0..100).map(|number| format!("--x{number}")).collect();
        let warning = parse(&many.join(" ")).warning().expect("a warning");
        assert!(warning.message().as_str().ends_with("--x4 and 95 more are ignored"), "{warning}");
    }

    #[test]
    fn option_without_its_value_does_not_consume_the_next_option() {
        let arguments = parse("--fifo --extcap-interface x --extcap-capture-filter");
        assert_eq!(arguments.path("--fifo"), None);
        assert_eq!(arguments.text("--extcap-interface").as_deref(), Some("x"));
        assert_eq!(arguments.text("--extcap-capture-filter").as_deref(), Some(""));
    }
}
