//! Options for `ssh` beyond its configuration.

use std::path::Path;

use crate::error::Error;

/// Of one option; paths are no longer.
const MAX_SSH_OPTION_LEN: usize = 4096;

/// Options for `ssh` in addition to its configuration. Each becomes one argument.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SshOptions {
    key: Option<String>,
    proxy_command: Option<String>,
}

impl SshOptions {
    /// `key` is a private key file. `proxy_command` is run by the user's shell as `ProxyCommand` is; its `%h`, `%p` and
    /// `%r` come from a [`super::Host`] and are harmless.
    ///
    /// # Errors
    /// One of them cannot be passed to `ssh` unchanged.
    pub fn new(key: Option<&Path>, proxy_command: Option<&str>) -> Result<Self, Error> {
        let key = key.map(|path| {
            // ssh expands variables, and has no way to quote them.
            let text = path.to_str().filter(|text| is_line(text) && !text.contains("${"));
            text.map(str::to_owned).ok_or_else(|| {
                Error::new(
                    format!("cannot use key {}: its path cannot be passed to ssh", path.display()),
                    "use a path of one line without ${",
                )
            })
        });
        let proxy_command = proxy_command.map(str::trim).filter(|text| !text.is_empty()).map(|text| {
            is_line(text).then(|| text.to_owned()).ok_or_else(|| {
                Error::new(
                    "cannot use the proxy command: it is longer than one line",
                    "give one line, as after ProxyCommand in ~/.ssh/config",
                )
            })
        });
        Ok(Self { key: key.transpose()?, proxy_command: proxy_command.transpose()? })
    }

    /// The private key file.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The arguments of `ssh`.
    pub(super) fn to_arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        if let Some(key) = &self.key {
            // Only `%` is special in the argument of -i. Other keys of the agent must not use up the attempts that
            // the server allows.
            arguments.extend(["-i".to_owned(), key.replace('%', "%%")]);
            arguments.extend(["-o".to_owned(), "IdentitiesOnly=yes".to_owned()]);
        }
        if let Some(command) = &self.proxy_command {
            arguments.extend(["-o".to_owned(), format!("ProxyCommand={command}")]);
        }
        arguments
    }
}

fn is_line(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_SSH_OPTION_LEN && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(key: &str, proxy_command: &str) -> Option<Vec<String>> {
        let options = SshOptions::new(Some(Path::new(key)), Some(proxy_command)).ok();
        options.map(|options| options.to_arguments())
    }

    #[test]
    fn each_ssh_option_is_one_argument() {
        let expected =
            ["-i", "-x 100%% \"a\"", "-o", "IdentitiesOnly=yes", "-o", "ProxyCommand=nc -X 5 %h %p"];
        assert_eq!(arguments("-x 100% \"a\"", " nc -X 5 %h %p ").expect("options"), expected);
        assert_eq!(SshOptions::new(None, Some("  ")).expect("options").to_arguments(), [""; 0]);
    }

    #[test]
    fn ssh_options_that_ssh_would_change_are_refused() {
        for key in ["", "a\nb", "${HOME}/key", "a\0b", &"x".repeat(5000)] {
            assert_eq!(arguments(key, "nc %h %p"), None, "{key:?}");
        }
        for command in ["nc\n-oX=y", "nc \r", "a\0b\u{85}c"] {
            assert_eq!(arguments("key", &format!("{command}x")), None, "{command:?}");
        }
    }
}
