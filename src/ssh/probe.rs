//! What a host is, and whether the program is installed on it.

use crate::peer::{PROTOCOL, parse_hello};
use crate::safe_text::SafeText;
use crate::static_program::Architecture;

/// The first command on a host. One line without single quotes, backslashes and exclamation marks, so that every login
/// shell passes it to `sh` unchanged.
pub(super) const PROBE_COMMAND: &str = "exec sh -c 'echo containerdump-probe; \
    echo system $(uname -s) $(uname -m); echo user $(id -u); \
    if command -v containerdump >/dev/null; then \
    echo program $({ containerdump serve --hello || containerdump --version; } 2>/dev/null </dev/null); fi'";
/// Begins the answer. A login shell may print before it, with or without a line end.
const PROBE_MARKER: &str = "containerdump-probe\n";

/// The answer of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The kernel: `Linux`.
    pub system: SafeText,
    /// `None` if the program does not run on this processor.
    pub architecture: Option<Architecture>,
    /// Whether the login is root.
    pub is_root: bool,
    /// The program in the `PATH` of the login.
    pub installed: InstalledProgram,
}

/// The result of looking for the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstalledProgram {
    /// It has the same protocol version.
    Compatible,
    /// It has another protocol version; its version.
    Incompatible(SafeText),
    /// It cannot be started.
    Broken,
    /// It is not in `PATH`.
    Missing,
}

impl Probe {
    /// Parses the output of [`PROBE_COMMAND`]; `None` if it is something else.
    pub(crate) fn parse(output: &str) -> Option<Self> {
        let mut lines = output.split_once(PROBE_MARKER)?.1.lines();
        let mut next = |keyword: &str| lines.next()?.strip_prefix(keyword).map(str::trim);
        let (system, processor) = next("system ")?.split_once(' ')?;
        let is_root = next("user ")? == "0";
        let installed = match next("program") {
            None => InstalledProgram::Missing,
            Some(line) => match parse_hello(line) {
                Some((PROTOCOL, _)) => InstalledProgram::Compatible,
                Some((_, version)) => InstalledProgram::Incompatible(SafeText::new(version)),
                // A program of a protocol without `serve` prints its version only.
                None => match line.strip_prefix("containerdump ") {
                    Some(version) => InstalledProgram::Incompatible(SafeText::new(version)),
                    None => InstalledProgram::Broken,
                },
            },
        };
        let (system, architecture) = (SafeText::new(system), Architecture::from_name(processor));
        Some(Self { system, architecture, is_root, installed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::hello;

    #[test]
    fn answer_of_a_host_is_parsed() {
        let text = "Welcome!\n\u{1b}]0;ann@build1\u{7}containerdump-probe\nsystem Linux x86_64\nuser 0\n";
        let probe = Probe::parse(text).expect("a probe");
        assert_eq!((probe.system.as_str(), probe.is_root), ("Linux", true));
        assert_eq!(probe.architecture, Some(Architecture::X86_64));
        assert_eq!(probe.installed, InstalledProgram::Missing);
        let installed = |line: &str| Probe::parse(&format!("{text}{line}\n")).expect("a probe").installed;
        assert_eq!(installed(&format!("program {}", hello().trim())), InstalledProgram::Compatible);
        assert_eq!(
            installed("program containerdump-peer 99 9.9\u{1b}[m"),
            InstalledProgram::Incompatible(SafeText::new("9.9\u{1b}[m"))
        );
        assert_eq!(
            installed("program containerdump 0.0.9"),
            InstalledProgram::Incompatible(SafeText::new("0.0.9"))
        );
        assert_eq!(installed("program"), InstalledProgram::Broken);
    }

    #[test]
    fn other_output_is_refused() {
        for text in
            ["", "This account is not available.\n", "containerdump-probe\n", "containerdump-probe\nuser 0\n"]
        {
            assert_eq!(Probe::parse(text), None, "{text}");
        }
    }

    #[test]
    fn probe_command_needs_no_quoting() {
        let script = PROBE_COMMAND.strip_prefix("exec sh -c '").and_then(|rest| rest.strip_suffix('\''));
        let script = script.expect("quotes");
        assert!(!script.contains(['\'', '\\', '!', '\n']), "{script}");
    }
}
