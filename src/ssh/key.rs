//! Private keys that `ssh` could not use, which it does not name itself.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::settings::Settings;
use super::{Host, failure};
use crate::error::Error;
use crate::safe_text::SafeText;

/// Bytes of a key file that are read: the largest RSA keys have 13,000.
const MAX_FILE_LEN: u64 = 64 * 1024;
/// How a key file without a passphrase begins in OpenSSH's format: in base64, `openssh-key-v1` and the cipher `none`
/// (PROTOCOL.key of OpenSSH).
const OPENSSH: &str = "b3BlbnNzaC1rZXktdjEA";
const OPENSSH_WITHOUT_CIPHER: &str = "b3BlbnNzaC1rZXktdjEAAAAABG5vbm";

/// A key file, and why it could not be used.
pub(super) enum UnusableKey {
    Missing(PathBuf),
    Unreadable(PathBuf, io::Error),
    NeedsPassphrase(PathBuf),
}

impl UnusableKey {
    /// Why no key logged in to `host`, as far as files show it; `can_ask` is set where `ssh` could ask for a passphrase.
    pub(super) fn find(host: &Host, can_ask: bool) -> Option<Self> {
        let needs_passphrase = |path: &Path| !can_ask && read(path).is_ok_and(|text| has_passphrase(&text));
        let Some(path) = host.way().key().map(PathBuf::from) else {
            let files = Settings::read(host).identity_files;
            return files.into_iter().find(|path| needs_passphrase(path)).map(Self::NeedsPassphrase);
        };
        match read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Self::Missing(path)),
            Err(error) => Some(Self::Unreadable(path, error)),
            Ok(_) => needs_passphrase(&path).then_some(Self::NeedsPassphrase(path)),
        }
    }

    /// The error of a connection to `host`.
    pub(super) fn trouble(&self, host: &Host) -> Error {
        let shown = |path: &Path| SafeText::with_limit(&path.display().to_string(), 200);
        let (why, path) = match self {
            Self::Missing(path) => (format!("key file {} not found", shown(path)), path),
            Self::Unreadable(path, error) => {
                (format!("key file {} cannot be read ({error})", shown(path)), path)
            }
            Self::NeedsPassphrase(path) => {
                let path = shown(path);
                let why = format!("key file {path} needs a passphrase, and no ssh-askpass can ask for it");
                let remedy = format!(
                    "install ssh-askpass (Debian: ssh-askpass-gnome), or add the key to your agent: ssh-add {path}"
                );
                return failure::cannot_connect(host, &why, &remedy);
            }
        };
        failure::cannot_connect(
            host,
            &why,
            &format!("see that it is there and that you may read it: ls -l {}", shown(path)),
        )
        .with_wireshark_remedy("choose another *Path to SSH private key*, or leave it empty")
    }
}

/// Fails when the key file at `path` cannot be read.
pub fn check_key(path: &Path) -> io::Result<()> {
    read(path).map(drop)
}

fn read(path: &Path) -> io::Result<String> {
    // Another one, a FIFO for example, may never end.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut text = Vec::new();
    File::open(path)?.take(MAX_FILE_LEN).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn has_passphrase(text: &str) -> bool {
    text.contains("ENCRYPTED") || text.contains(OPENSSH) && !text.contains(OPENSSH_WITHOUT_CIPHER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_with_a_passphrase_is_known_by_its_file() {
        let folder = tempfile::tempdir().expect("a folder");
        for (kind, format) in [("ed25519", "RFC4716"), ("rsa", "PEM"), ("ecdsa", "PKCS8")] {
            for passphrase in ["", "open sesame"] {
                let path = folder.path().join(format!("{kind}{}", passphrase.len()));
                let mut command = std::process::Command::new("ssh-keygen");
                command.args(["-q", "-t", kind, "-m", format, "-N", passphrase, "-f"]).arg(&path);
                assert!(command.status().expect("ssh-keygen").success());
                let text = read(&path).expect("a key");
                assert_eq!(has_passphrase(&text), !passphrase.is_empty(), "{kind} {format} {passphrase}");
            }
        }
    }
}
