//! Whether and where `ssh` may ask the user for a passphrase or to accept a host key.

use std::env;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Desktop programs that ask in a window, in the order of preference; paths as in the packages of Debian, Arch, KDE,
/// Fedora and openSUSE.
const ASKPASS_PROGRAMS: [&str; 9] = [
    "/usr/bin/ssh-askpass",
    "/usr/bin/ksshaskpass",
    "/usr/libexec/ssh/ksshaskpass",
    "/usr/lib/ssh/ssh-askpass",
    "/usr/lib/ssh/x11-ssh-askpass",
    "/usr/lib/ssh/gnome-ssh-askpass",
    "/usr/libexec/openssh/ssh-askpass",
    "/usr/libexec/openssh/gnome-ssh-askpass",
    "/usr/lib/openssh/gnome-ssh-askpass",
];
/// The user may have to type a passphrase.
const INTERACTIVE_CONNECT_TIMEOUT: Duration = Duration::from_mins(2);
const NONINTERACTIVE_CONNECT_TIMEOUT: Duration = Duration::from_secs(40);
const BACKGROUND_CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Wireshark's window does not respond meanwhile.
const BLOCKING_CONNECT_TIMEOUT: Duration = Duration::from_secs(8);

/// Where the user may be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PromptMode {
    /// At the terminal, or by the askpass program that the environment names.
    #[default]
    Terminal,
    /// In a window of the desktop, never at the terminal that Wireshark was started from.
    Desktop,
    /// The same while Wireshark's window does not respond: connecting must be quick.
    DesktopBlocking,
    /// Nowhere: the user does not know of the connection.
    Background,
}

/// How `ssh` is started in a [`PromptMode`].
pub(super) struct PromptSettings {
    pub(super) can_prompt: bool,
    /// Additional environment variables.
    pub(super) environment: Vec<(&'static str, OsString)>,
    /// An option that overrides all others.
    pub(super) ssh_option: Option<&'static str>,
    /// Limit for connecting.
    pub(super) timeout: Duration,
}

impl PromptMode {
    pub(super) fn settings(self) -> PromptSettings {
        let (can_prompt, environment) = match self {
            Self::Terminal => (can_prompt_at_terminal(), Vec::new()),
            Self::Desktop | Self::DesktopBlocking => match askpass_program() {
                Some(program) => {
                    let force = ("SSH_ASKPASS_REQUIRE", "force".into());
                    (true, vec![("SSH_ASKPASS", program.into_os_string()), force])
                }
                None => (false, Vec::new()),
            },
            Self::Background => (false, Vec::new()),
        };
        let environment = if can_prompt { environment } else { environment_without_prompts() };
        let timeout = match self {
            _ if can_prompt => INTERACTIVE_CONNECT_TIMEOUT,
            Self::DesktopBlocking => BLOCKING_CONNECT_TIMEOUT,
            Self::Background => BACKGROUND_CONNECT_TIMEOUT,
            Self::Terminal | Self::Desktop => NONINTERACTIVE_CONNECT_TIMEOUT,
        };
        let ssh_option = match self {
            Self::DesktopBlocking => Some("ConnectTimeout=5"),
            // No security key waits for a touch. OpenSSH before 8.5 knows the option by this name only.
            Self::Background => Some("PubkeyAcceptedKeyTypes=-sk-*"),
            Self::Terminal | Self::Desktop => None,
        };
        PromptSettings { can_prompt, environment, ssh_option, timeout }
    }
}

/// Keeps every `ssh` from prompting at a terminal: `BatchMode` does not apply to the one that leads to a jump host.
pub(super) fn environment_without_prompts() -> Vec<(&'static str, OsString)> {
    vec![("SSH_ASKPASS", "/bin/false".into()), ("SSH_ASKPASS_REQUIRE", "force".into())]
}

fn is_set(variable: &str) -> bool {
    env::var_os(variable).is_some_and(|value| !value.is_empty())
}

fn has_display() -> bool {
    is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")
}

fn can_prompt_at_terminal() -> bool {
    is_set("SSH_ASKPASS") && (has_display() || is_set("SSH_ASKPASS_REQUIRE"))
        || OpenOptions::new().read(true).write(true).open("/dev/tty").is_ok()
}

/// The askpass program that the environment names, else the first that is installed.
fn askpass_program() -> Option<PathBuf> {
    if env::var_os("SSH_ASKPASS_REQUIRE").is_some_and(|value| value == "never") {
        return None;
    }
    let named = env::var_os("SSH_ASKPASS").filter(|value| !value.is_empty());
    match named {
        Some(named) if has_display() || is_set("SSH_ASKPASS_REQUIRE") => Some(named.into()),
        None if has_display() => {
            ASKPASS_PROGRAMS.iter().map(Path::new).find(|path| path.is_file()).map(Path::to_owned)
        }
        _ => None,
    }
}
