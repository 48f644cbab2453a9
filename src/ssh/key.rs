//! Private keys that `ssh` could not use; it does not name them itself.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::config::SshConfig;
use super::{Host, errors};
use crate::error::Error;
use crate::safe_text::SafeText;

/// The largest RSA keys have 13,000 bytes.
const MAX_KEY_LEN: u64 = 64 * 1024;
/// How key files of OpenSSH's format begin, and those without a passphrase: base64 of `openssh-key-v1` and the cipher
/// `none` (PROTOCOL.key of OpenSSH).
const OPENSSH_MAGIC: &str = "b3BlbnNzaC1rZXktdjEA";
const OPENSSH_MAGIC_WITHOUT_CIPHER: &str = "b3BlbnNzaC1rZXktdjEAAAAABG5vbm";

/// A key file, and why it could not be used.
pub(super) enum UnusableKey {
    Missing(PathBuf),
    Unreadable(PathBuf, io::Error),
    NeedsPassphrase(PathBuf),
}

impl UnusableKey {
    /// Looks for a reason why no key was accepted by `host`; `can_prompt` is set if `ssh` could ask for a passphrase.
    pub(super) fn find(host: &Host, can_prompt: bool) -> Option<Self> {
        let needs_passphrase =
            |path: &Path| !can_prompt && read_key(path).is_ok_and(|text| has_passphrase(&text));
        let Some(path) = host.options().key().map(PathBuf::from) else {
            let files = SshConfig::read(host).identity_files;
            return files.into_iter().find(|path| needs_passphrase(path)).map(Self::NeedsPassphrase);
        };
        match read_key(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Self::Missing(path)),
            Err(error) => Some(Self::Unreadable(path, error)),
            Ok(_) => needs_passphrase(&path).then_some(Self::NeedsPassphrase(path)),
        }
    }

    /// The error of a connection to `host`.
    pub(super) fn into_error(self, host: &Host) -> Error {
        let (Self::Missing(path) | Self::Unreadable(path, _) | Self::NeedsPassphrase(path)) = &self;
        let shown = SafeText::with_limit(&path.display().to_string(), 200);
        let cause = match &self {
            Self::Missing(_) => format!("key file {shown} not found"),
            Self::Unreadable(_, error) => format!("key file {shown} cannot be read ({error})"),
            Self::NeedsPassphrase(_) => {
                let cause = format!("key file {shown} needs a passphrase, and no ssh-askpass can ask for it");
                let remedy = format!(
                    "install ssh-askpass (Debian: ssh-askpass-gnome), or add the key to your agent: ssh-add {shown}"
                );
                return errors::cannot_connect(host, &cause, &remedy);
            }
        };
        let remedy = format!("check that it exists and that you may read it: ls -l {shown}");
        errors::cannot_connect(host, &cause, &remedy)
            .with_wireshark_remedy("choose another *Path to SSH private key*, or leave it empty")
    }
}

/// Checks that a key file can be read.
///
/// # Errors
/// It cannot be opened, or is not a regular file.
pub fn check_key(path: &Path) -> io::Result<()> {
    read_key(path).map(drop)
}

fn read_key(path: &Path) -> io::Result<String> {
    // A FIFO, for example, may never end.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut text = Vec::new();
    File::open(path)?.take(MAX_KEY_LEN).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn has_passphrase(text: &str) -> bool {
    text.contains("ENCRYPTED") || text.contains(OPENSSH_MAGIC) && !text.contains(OPENSSH_MAGIC_WITHOUT_CIPHER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passphrases_are_detected_in_every_key_format() {
        let folder = tempfile::tempdir().expect("a folder");
        for (kind, format) in [("ed25519", "RFC4716"), ("rsa", "PEM"), ("ecdsa", "PKCS8")] {
            for passphrase in ["", "open sesame"] {
                let path = folder.path().join(format!("{kind}{}", passphrase.len()));
                let mut command = std::process::Command::new("ssh-keygen");
                command.args(["-q", "-t", kind, "-m", format, "-N", passphrase, "-f"]).arg(&path);
                assert!(command.status().expect("ssh-keygen").success());
                let text = read_key(&path).expect("a key");
                assert_eq!(has_passphrase(&text), !passphrase.is_empty(), "{kind} {format} {passphrase}");
            }
        }
    }
}
