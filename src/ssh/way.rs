//! What `ssh` is told of the way to a host where its settings do not say it: a key, a command to connect by.

use std::path::Path;

use crate::error::Error;

/// The longest of either, in bytes: paths have no more.
const LONGEST: usize = 4096;

/// It, as far as somebody chose it; each part is one argument of `ssh`, and can become no other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    key: Option<String>,
    proxy: Option<String>,
}

impl Way {
    /// By the private key in the file `key`, and the command `proxy`, which the user's shell runs as it runs
    /// `ProxyCommand` of the settings: what `%h`, `%p` and `%r` stand for is of a [`super::Host`], and plain.
    ///
    /// Fails when one of them cannot be handed to `ssh` as it is.
    pub fn new(key: Option<&Path>, proxy: Option<&str>) -> Result<Self, Error> {
        let key = key.map(|path| {
            // `ssh` would put the value of a variable in its place, and knows no way to write that it shall not.
            let text = path.to_str().filter(|text| is_line(text) && !text.contains("${"));
            text.map(str::to_owned).ok_or_else(|| {
                Error::new(
                    format!("cannot use key {}: ssh does not take its path as it is", path.display()),
                    "give it a path of one line without ${",
                )
            })
        });
        let proxy = proxy.map(str::trim).filter(|text| !text.is_empty()).map(|text| {
            is_line(text).then(|| text.to_owned()).ok_or_else(|| {
                Error::new(
                    "cannot use the proxy command: it is more than one line",
                    "give one line, as behind ProxyCommand in ~/.ssh/config",
                )
            })
        });
        Ok(Self { key: key.transpose()?, proxy: proxy.transpose()? })
    }

    /// The private key to log in with, if one was chosen.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Arguments of `ssh` that say so.
    pub(super) fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        if let Some(key) = &self.key {
            // The argument of -i is no line of settings: only what begins with `%` means something in it. And
            // no other key of an agent may use up the tries that the host allows.
            arguments.extend(["-i".to_owned(), key.replace('%', "%%")]);
            arguments.extend(["-o".to_owned(), "IdentitiesOnly=yes".to_owned()]);
        }
        if let Some(proxy) = &self.proxy {
            arguments.extend(["-o".to_owned(), format!("ProxyCommand={proxy}")]);
        }
        arguments
    }
}

fn is_line(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(key: &str, proxy: &str) -> Option<Vec<String>> {
        Way::new(Some(Path::new(key)), Some(proxy)).ok().map(|way| way.arguments())
    }

    #[test]
    fn each_part_is_one_argument() {
        let wanted = ["-i", "-x 100%% \"a\"", "-o", "IdentitiesOnly=yes", "-o", "ProxyCommand=nc -X 5 %h %p"];
        assert_eq!(arguments("-x 100% \"a\"", " nc -X 5 %h %p ").expect("a way"), wanted);
        assert_eq!(Way::new(None, Some("  ")).expect("a way").arguments(), [""; 0]);
    }

    #[test]
    fn what_would_be_something_else_to_ssh_is_refused() {
        for key in ["", "a\nb", "${HOME}/key", "a\0b", &"x".repeat(5000)] {
            assert_eq!(arguments(key, "nc %h %p"), None, "{key:?}");
        }
        for proxy in ["nc\n-oX=y", "nc \r", "a\0b\u{85}c"] {
            assert_eq!(arguments("key", &format!("{proxy}x")), None, "{proxy:?}");
        }
    }
}
