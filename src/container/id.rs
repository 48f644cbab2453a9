//! Ids of containers.

/// The id of a running container: 64 lower-case hexadecimal digits, safe in a URL and in a path. For a network namespace
/// that belongs to no container, its inode number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(String);

impl ContainerId {
    /// Parses an engine's id. `None` unless it has 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (text.len() == 64 && text.bytes().all(hexadecimal)).then(|| Self(text.to_owned()))
    }

    /// The id of a network namespace, in decimal digits: the inode of its file, else of `/proc/PID/net/dev` of its
    /// processes.
    pub fn from_namespace_inode(inode: u64) -> Self {
        Self(inode.to_string())
    }

    /// All digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `text` is the whole id or at least its first 12 digits, as `docker ps` shows them. Fewer digits may be a
    /// mistyped name.
    pub fn matches(&self, text: &str) -> bool {
        self.0 == text || text.len() >= SHORT_LEN && self.0.starts_with(text)
    }

    /// The first 12 digits, as `docker ps` shows them; for a namespace the last ones.
    pub fn short(&self) -> &str {
        match self.0.get(..SHORT_LEN) {
            Some(first) => first,
            None => self.0.strip_prefix(NAMESPACE_INODE_PREFIX).unwrap_or(&self.0),
        }
    }
}

/// Digits of a short id.
const SHORT_LEN: usize = 12;

/// Prefix of nearly all namespace inodes, which count up from `PROC_DYNAMIC_FIRST`, 4026531840 (fs/proc/generic.c).
const NAMESPACE_INODE_PREFIX: &str = "402653";
