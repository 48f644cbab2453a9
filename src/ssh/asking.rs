//! Where `ssh` may ask somebody for a passphrase or whether a host is who it should be.

use std::env;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Programs of desktops that ask for it in a window, in the order in which they are looked for: those of
/// Debian's alternatives, Arch, KDE, and Fedora and openSUSE, as their packages install them.
const PROMPTS: [&str; 9] = [
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
/// How long connecting may take: where somebody may have to type something, where Wireshark's window stands
/// still meanwhile, where nobody is asked, and where nobody waits.
const PATIENCE_WITH_PEOPLE: Duration = Duration::from_mins(2);
const PATIENCE_OF_A_WINDOW: Duration = Duration::from_secs(8);
const PATIENCE: Duration = Duration::from_secs(40);
const PATIENCE_OF_NOBODY: Duration = Duration::from_secs(20);

/// Who may be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Asking {
    /// Whoever sits at the terminal, or in front of the window that the environment says.
    #[default]
    AtTerminal,
    /// Whoever sits in front of Wireshark: in a window of the desktop's own. A terminal that it was started
    /// from is not looked at.
    InWindow,
    /// The same, while Wireshark's window stands still: what needs nobody must not take long.
    InWindowSoon,
    /// Nobody: nobody knows of it.
    Nobody,
}

/// How `ssh` is started for it.
pub(super) struct Manner {
    /// Whether it may ask.
    pub(super) people: bool,
    /// What its environment has besides.
    pub(super) environment: Vec<(&'static str, OsString)>,
    /// An option that stands before all others, and counts.
    pub(super) option: Option<&'static str>,
    /// How long it may take.
    pub(super) patience: Duration,
}

impl Asking {
    pub(super) fn manner(self) -> Manner {
        let (people, environment) = match self {
            Self::AtTerminal => (may_ask(), Vec::new()),
            Self::InWindow | Self::InWindowSoon => match prompt() {
                Some(program) => {
                    let force = ("SSH_ASKPASS_REQUIRE", "force".into());
                    (true, vec![("SSH_ASKPASS", program.into_os_string()), force])
                }
                None => (false, Vec::new()),
            },
            Self::Nobody => (false, Vec::new()),
        };
        let environment = if people { environment } else { no_questions() };
        let patience = match self {
            _ if people => PATIENCE_WITH_PEOPLE,
            Self::InWindowSoon => PATIENCE_OF_A_WINDOW,
            Self::Nobody => PATIENCE_OF_NOBODY,
            _ => PATIENCE,
        };
        let option = match self {
            // It gives up sooner on a host that cannot be reached.
            Self::InWindowSoon => Some("ConnectTimeout=5"),
            // No security key waits to be touched; by the name that OpenSSH has for it before 8.5, too.
            Self::Nobody => Some("PubkeyAcceptedKeyTypes=-sk-*"),
            Self::AtTerminal | Self::InWindow => None,
        };
        Manner { people, environment, option, patience }
    }
}

/// Keeps every `ssh` from asking at a terminal: BatchMode does not reach the one that leads to a jump host.
pub(super) fn no_questions() -> Vec<(&'static str, OsString)> {
    vec![("SSH_ASKPASS", "/bin/false".into()), ("SSH_ASKPASS_REQUIRE", "force".into())]
}

fn is_set(name: &str) -> bool {
    env::var_os(name).is_some_and(|value| !value.is_empty())
}

fn has_display() -> bool {
    is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")
}

/// Whether `ssh` may ask somebody: at a terminal, or by a program that shows a window.
fn may_ask() -> bool {
    is_set("SSH_ASKPASS") && (has_display() || is_set("SSH_ASKPASS_REQUIRE"))
        || OpenOptions::new().read(true).write(true).open("/dev/tty").is_ok()
}

/// The program that asks in a window: the one of the environment, else the first that is there.
fn prompt() -> Option<PathBuf> {
    if env::var_os("SSH_ASKPASS_REQUIRE").is_some_and(|value| value == "never") {
        return None;
    }
    let named = env::var_os("SSH_ASKPASS").filter(|value| !value.is_empty());
    match named {
        Some(named) if has_display() || is_set("SSH_ASKPASS_REQUIRE") => Some(named.into()),
        None if has_display() => {
            PROMPTS.iter().map(Path::new).find(|path| path.is_file()).map(Path::to_owned)
        }
        _ => None,
    }
}
