//! What there is on a host, as it says itself.

use crate::safe_text::SafeText;
use crate::static_program::Architecture;

/// Run there first. A single line that any login shell hands to `sh` as it is: in it stand no single quote,
/// backslash or exclamation mark, and nothing of ours or anybody's.
pub(super) const COMMAND: &str = "exec sh -c 'echo containerdump-probe; \
    echo system $(uname -s) $(uname -m); echo user $(id -u); \
    if command -v containerdump >/dev/null; then \
    echo program $(containerdump far --hello 2>/dev/null </dev/null); fi'";
/// Starts the answer. A login shell may print before it, with or without a line end.
const MARKER: &str = "containerdump-probe\n";

/// What there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The kernel: `Linux`.
    pub system: SafeText,
    /// The processor, where we know programs for it.
    pub architecture: Option<Architecture>,
    /// Whether the login is root's.
    pub is_root: bool,
    /// The program.
    pub installed: Installed,
}

/// What became of looking for the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Installed {
    /// It is there, and speaks as we do.
    Here,
    /// It is there, and does not; its version.
    Other(SafeText),
    /// It is there, and cannot be started.
    Unusable,
    /// It is not where commands are looked for.
    Absent,
}

impl Probe {
    /// Reads what [`COMMAND`] prints; `None` where it is something else.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut lines = text.split_once(MARKER)?.1.lines();
        let mut next = |word: &str| lines.next()?.strip_prefix(word).map(str::trim);
        let (system, processor) = next("system ")?.split_once(' ')?;
        let is_root = next("user ")? == "0";
        let installed = match next("program") {
            None => Installed::Absent,
            Some(line) => match crate::peer::parse_hello(line) {
                Some((crate::peer::PROTOCOL, _)) => Installed::Here,
                Some((_, version)) => Installed::Other(SafeText::new(version)),
                None => Installed::Unusable,
            },
        };
        let (system, architecture) = (SafeText::new(system), Architecture::called(processor));
        Some(Self { system, architecture, is_root, installed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_says_is_read() {
        let text = "Welcome!\n\u{1b}]0;ann@build1\u{7}containerdump-probe\nsystem Linux x86_64\nuser 0\n";
        let probe = Probe::read(text).expect("a probe");
        assert_eq!((probe.system.as_str(), probe.is_root), ("Linux", true));
        assert_eq!(probe.architecture, Some(Architecture::X86_64));
        assert_eq!(probe.installed, Installed::Absent);
        let installed = |line: &str| Probe::read(&format!("{text}{line}\n")).expect("a probe").installed;
        assert_eq!(installed(&format!("program {}", crate::peer::hello().trim())), Installed::Here);
        assert_eq!(
            installed("program containerdump-peer 2 9.9\u{1b}[m"),
            Installed::Other(SafeText::new("9.9\u{1b}[m"))
        );
        assert_eq!(installed("program"), Installed::Unusable);
    }

    #[test]
    fn what_is_no_answer_is_none() {
        for text in
            ["", "This account is not available.\n", "containerdump-probe\n", "containerdump-probe\nuser 0\n"]
        {
            assert_eq!(Probe::read(text), None, "{text}");
        }
    }

    #[test]
    fn the_command_is_the_same_to_every_shell() {
        let script =
            COMMAND.strip_prefix("exec sh -c '").and_then(|rest| rest.strip_suffix('\'')).expect("quotes");
        assert!(!script.contains(['\'', '\\', '!', '\n']), "{script}");
    }
}
