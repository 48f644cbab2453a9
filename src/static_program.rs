//! The static program, which needs no shared library: it runs in tap containers and on other hosts.
//!
//! It is the running program if that is static, else a file beside it, `containerdump-x86_64`, which `make static` builds
//! and the installer installs.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::unistd::Uid;
use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::own_program;

/// In bytes. A debug build with all symbols has about 80 MB.
const MAX_PROGRAM_LEN: u64 = 256 * 1024 * 1024;
/// In bytes. Linkers place the program headers right after the ELF header.
const ELF_HEADERS_LEN: usize = 4096;

/// A processor architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// 64-bit x86.
    X86_64,
    /// 64-bit ARM, little-endian.
    Aarch64,
}

impl Architecture {
    /// The architecture of the running program; `None` if it is another one.
    pub fn current() -> Option<Self> {
        Self::from_name(std::env::consts::ARCH)
    }

    /// Parses the name that a kernel (`uname -m`) or an engine uses: `x86_64` or `amd64`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "x86_64" | "amd64" => Some(Self::X86_64),
            "aarch64" | "arm64" => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// The name that `uname -m` prints.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// `e_machine` of an ELF file (include/uapi/linux/elf-em.h).
    const fn elf_machine(self) -> u16 {
        match self {
            Self::X86_64 => 62,
            Self::Aarch64 => 183,
        }
    }
}

/// How to get the static program for this machine.
pub const BUILD_REMEDY: &str = "in the source folder of containerdump, run: make install";

/// A static program.
#[derive(Clone, Debug)]
pub struct StaticProgram {
    architecture: Architecture,
    content: Arc<Vec<u8>>,
    digest: String,
}

impl StaticProgram {
    /// Whether there is one for `architecture`, judged by its ELF headers.
    pub fn is_available(architecture: Architecture) -> bool {
        candidates(architecture).iter().any(|path| Candidate::open(path, architecture).is_ok())
    }

    /// Finds and reads the one for `architecture`.
    ///
    /// # Errors
    /// The running program is not static, and no file of the same version is beside it, or other users can change that.
    pub fn find(architecture: Architecture) -> Result<Self, Error> {
        let mut cause = String::new();
        for path in candidates(architecture) {
            match Self::open(&path, architecture) {
                Ok(program) => return Ok(program),
                Err(error) if is_own(&path) && error.kind() == io::ErrorKind::Unsupported => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    cause = format!("there is no {}", path.display());
                }
                Err(error) => cause = format!("{}: {error}", path.display()),
            }
        }
        Err(Error::new(
            format!(
                "cannot find containerdump without shared libraries for {}: {cause}",
                architecture.name()
            ),
            if Some(architecture) == Architecture::current() {
                BUILD_REMEDY.to_owned()
            } else {
                format!(
                    "build it on such a machine (make static) and place it beside this program as {}",
                    file_name(architecture)
                )
            },
        ))
    }

    /// Reads the one at `path`.
    ///
    /// # Errors
    /// It cannot be read, has another architecture or version, or other users can change it.
    pub fn open(path: &Path, architecture: Architecture) -> io::Result<Self> {
        let candidate = Candidate::open(path, architecture)?;
        let mut content = Vec::with_capacity(usize::try_from(candidate.size).unwrap_or(0));
        candidate.file.take(MAX_PROGRAM_LEN).read_to_end(&mut content)?;
        if !contains_version_marker(&content) {
            return Err(io::Error::other(format!(
                "not {}, the version of this program",
                crate::PROGRAM_AND_VERSION
            )));
        }
        let digest = format!("{:x}", Sha256::digest(&content));
        Ok(Self { architecture, content: Arc::new(content), digest })
    }

    /// The architecture that it runs on.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// The content of the file.
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// The SHA-256 of the content, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

impl AsRef<[u8]> for StaticProgram {
    fn as_ref(&self) -> &[u8] {
        self.content()
    }
}

/// The name of the file beside the running program: `containerdump-x86_64`.
pub fn file_name(architecture: Architecture) -> String {
    format!("containerdump-{}", architecture.name())
}

/// The files to try, in order.
fn candidates(architecture: Architecture) -> Vec<PathBuf> {
    let is_current = Some(architecture) == Architecture::current();
    let own = is_current.then(|| PathBuf::from(own_program::EXECUTABLE));
    own.into_iter().chain(own_program::sibling(&file_name(architecture))).collect()
}

fn is_own(path: &Path) -> bool {
    path == Path::new(own_program::EXECUTABLE)
}

/// A file that is a static program according to its ELF headers.
struct Candidate {
    file: File,
    size: u64,
}

impl Candidate {
    fn open(path: &Path, architecture: Architecture) -> io::Result<Self> {
        let nonblocking = nix::fcntl::OFlag::O_NONBLOCK.bits();
        let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.size() > MAX_PROGRAM_LEN {
            return Err(io::Error::other("not a program"));
        }
        if !is_own(path) && !is_trusted(metadata.uid(), metadata.mode(), None) {
            return Err(io::Error::other("users other than you and root can change it"));
        }
        let mut headers = vec![0; ELF_HEADERS_LEN];
        let length = file.read_at(&mut headers, 0)?;
        headers.truncate(length);
        match needs_loader(&headers, architecture) {
            Some(false) => Ok(Self { file, size: metadata.size() }),
            Some(true) => Err(io::Error::new(io::ErrorKind::Unsupported, "it needs shared libraries")),
            None => Err(io::Error::other(format!("not a program for {}", architecture.name()))),
        }
    }
}

/// Whether a file can be changed only by root, this user, the owner of the running program, or `caller`.
pub fn is_trusted(owner: u32, mode: u32, caller: Option<Uid>) -> bool {
    let program_owner = std::fs::metadata(own_program::EXECUTABLE).ok().map(|metadata| metadata.uid());
    let trusted_owners = [Some(0), Some(Uid::effective().as_raw()), program_owner, caller.map(Uid::as_raw)];
    trusted_owners.contains(&Some(owner)) && mode & 0o022 == 0
}

/// Whether an ELF file for `architecture` has an interpreter, which loads shared libraries; `None` if it is no such
/// file. Offsets are those of `Elf64_Ehdr` and `Elf64_Phdr` (include/uapi/linux/elf.h).
fn needs_loader(headers: &[u8], architecture: Architecture) -> Option<bool> {
    const PT_INTERP: u32 = 3;
    const LITTLE_ENDIAN_64_BIT: [u8; 6] = [0x7f, b'E', b'L', b'F', 2, 1];
    let half = |at: usize| Some(u16::from_le_bytes(headers.get(at..at.checked_add(2)?)?.try_into().ok()?));
    let word = |at: usize| Some(u32::from_le_bytes(headers.get(at..at.checked_add(4)?)?.try_into().ok()?));
    let long = |at: usize| Some(u64::from_le_bytes(headers.get(at..at.checked_add(8)?)?.try_into().ok()?));
    if !headers.starts_with(&LITTLE_ENDIAN_64_BIT) || half(18)? != architecture.elf_machine() {
        return None;
    }
    let (start, size, count) = (usize::try_from(long(32)?).ok()?, half(54)?, half(56)?);
    let mut types = Vec::new();
    for number in 0..usize::from(count) {
        types.push(word(start.checked_add(number * usize::from(size))?)?);
    }
    (!types.is_empty()).then(|| types.contains(&PT_INTERP))
}

/// Contained in every program of this version. It ends with a line end, since 0.1.10 begins like 0.1.1.
const VERSION_MARKER: &str = concat!("\ncontainerdump ", env!("CARGO_PKG_VERSION"), "\n");

fn contains_version_marker(content: &[u8]) -> bool {
    // Without black_box, the compiler may split it into comparison instructions, and no program contains it.
    let marker = std::hint::black_box(VERSION_MARKER.as_bytes());
    content.windows(marker.len()).any(|window| window[0] == marker[0] && window == marker)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF header and a program header of each type.
    fn elf(machine: u16, types: &[u32]) -> Vec<u8> {
        let mut head = vec![0; 64];
        head[..6].copy_from_slice(b"\x7fELF\x02\x01");
        head[18..20].copy_from_slice(&machine.to_le_bytes());
        head[32] = 64;
        head[54] = 56;
        head[56] = u8::try_from(types.len()).expect("a few");
        for header_type in types {
            head.extend(header_type.to_le_bytes());
            head.extend([0; 52]);
        }
        head
    }

    #[test]
    fn a_program_without_an_interpreter_is_static() {
        assert_eq!(needs_loader(&elf(62, &[6, 3, 1]), Architecture::X86_64), Some(true));
        assert_eq!(needs_loader(&elf(62, &[6, 1, 2]), Architecture::X86_64), Some(false));
        assert_eq!(needs_loader(&elf(183, &[1]), Architecture::Aarch64), Some(false));
    }

    #[test]
    fn files_that_are_no_program_for_the_architecture_are_refused() {
        assert_eq!(needs_loader(&elf(183, &[1]), Architecture::X86_64), None);
        assert_eq!(needs_loader(&elf(62, &[]), Architecture::X86_64), None);
        assert_eq!(needs_loader(b"#!/bin/sh\n", Architecture::X86_64), None);
        let cut = &elf(62, &[1, 2])[..100];
        assert_eq!(needs_loader(cut, Architecture::X86_64), None);
        let mut far = elf(62, &[1]);
        far[32..40].fill(0xff);
        assert_eq!(needs_loader(&far, Architecture::X86_64), None);
    }

    #[test]
    fn a_version_is_distinguished_from_one_with_the_same_beginning() {
        assert!(contains_version_marker(format!("..{VERSION_MARKER}..").as_bytes()));
        let longer = VERSION_MARKER.replace('\n', "") + "0";
        assert!(!contains_version_marker(format!("\n{longer}\n").as_bytes()));
    }

    #[test]
    fn a_file_that_other_users_can_change_is_not_trusted() {
        assert!(is_trusted(0, 0o100_755, None));
        assert!(!is_trusted(0, 0o100_775, None));
        assert!(!is_trusted(0, 0o100_757, None));
        assert!(!is_trusted(65534, 0o100_755, None));
        assert!(is_trusted(65534, 0o100_755, Some(Uid::from_raw(65534))));
        assert!(!is_trusted(65534, 0o100_775, Some(Uid::from_raw(65534))));
    }
}
