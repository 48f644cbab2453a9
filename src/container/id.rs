//! What tells containers apart.

/// What tells a container from any other while it runs: 64 lower-case hexadecimal digits, safe in a
/// URL and in a path; of a network namespace that is nobody's container, its number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(String);

impl ContainerId {
    /// Takes an engine's id. `None` unless it is 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (text.len() == 64 && text.bytes().all(hexadecimal)).then(|| Self(text.to_owned()))
    }

    /// That of a network namespace, by its number in decimal digits: the inode of the file that
    /// stands for it, else that of `/proc/PID/net/dev` of its processes.
    pub fn from_namespace_inode(inode: u64) -> Self {
        Self(inode.to_string())
    }

    /// All digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `text` stands for it: all of its digits, or the first 12 or more, as `docker ps` shows them. Fewer may
    /// be a mistyped name.
    pub fn matches(&self, text: &str) -> bool {
        self.0 == text || text.len() >= SHORT_LEN && self.0.starts_with(text)
    }

    /// The first 12 digits, as `docker ps` shows them; of a namespace the last ones.
    pub fn short(&self) -> &str {
        match self.0.get(..SHORT_LEN) {
            Some(first) => first,
            None => self.0.strip_prefix(NAMESPACE_INODE_PREFIX).unwrap_or(&self.0),
        }
    }
}

/// Digits of a short id.
const SHORT_LEN: usize = 12;

/// What nearly all numbers of namespaces begin with: they are given out one after the other from
/// `PROC_DYNAMIC_FIRST`, 4026531840 (fs/proc/generic.c).
const NAMESPACE_INODE_PREFIX: &str = "402653";
