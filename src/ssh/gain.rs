//! With what right the program runs on a host.

/// By what it becomes root there; it must not ask for a password.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gain {
    /// By nothing: it has the rights of the login.
    #[default]
    Nothing,
    /// By `sudo -n`.
    Sudo,
    /// By `doas -n`.
    Doas,
}

impl Gain {
    /// All, the default first.
    pub const ALL: [Self; 3] = [Self::Nothing, Self::Sudo, Self::Doas];

    /// The word for it: `sudo`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::Sudo => "sudo",
            Self::Doas => "doas",
        }
    }

    /// The one that `word` asks for; `None` where it asks for nothing known.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|gain| gain.word() == word)
    }

    /// What stands before the program in a command there.
    pub const fn before(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Sudo => "sudo -n ",
            Self::Doas => "doas -n ",
        }
    }
}
