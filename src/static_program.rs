//! The program without shared libraries, which runs where nothing else is: in a container of its own.
//!
//! It is the running program itself where that is static, else its companion: a file
//! `containerdump-x86_64` beside it, which `make static` builds and the installer puts there.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::error::Error;

/// The running program's file, also where that was replaced since.
const OWN: &str = "/proc/self/exe";
/// Most bytes of a program. One built for debugging, with all its symbols, has about 80 MB.
const MOST_BYTES: u64 = 256 * 1024 * 1024;
/// Program headers are looked for in this many bytes; linkers put them right behind the first header.
const HEAD: usize = 4096;

/// Of which processor a program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// 64-bit x86.
    X86_64,
    /// 64-bit ARM, little-endian.
    Aarch64,
}

impl Architecture {
    /// That of the running program. `None` where it is neither.
    pub fn own() -> Option<Self> {
        Self::called(std::env::consts::ARCH)
    }

    /// The one that a kernel (`uname -m`) or an engine calls so: `x86_64` or `amd64`.
    pub fn called(name: &str) -> Option<Self> {
        match name {
            "x86_64" | "amd64" => Some(Self::X86_64),
            "aarch64" | "arm64" => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// As `uname -m` prints it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// `e_machine` of its programs (include/uapi/linux/elf-em.h).
    const fn machine(self) -> u16 {
        match self {
            Self::X86_64 => 62,
            Self::Aarch64 => 183,
        }
    }
}

/// How to have the one for this machine where there is none.
pub const REMEDY: &str = "in the source folder of containerdump, run: make install";

/// A program that needs no file but its own.
#[derive(Clone, Debug)]
pub struct StaticProgram {
    architecture: Architecture,
    content: Arc<Vec<u8>>,
    digest: String,
}

impl StaticProgram {
    /// Whether there is one for `architecture`, as far as its first bytes tell.
    pub fn is_there(architecture: Architecture) -> bool {
        candidates(architecture).iter().any(|path| Candidate::open(path, architecture).is_ok())
    }

    /// Finds the one for `architecture` and reads it.
    ///
    /// Fails when neither the running program is static nor a companion of the same version is beside
    /// it, or anybody but its owner may change that.
    pub fn find(architecture: Architecture) -> Result<Self, Error> {
        let mut why = String::new();
        for path in candidates(architecture) {
            match Self::at(&path, architecture) {
                Ok(program) => return Ok(program),
                Err(error) if path == Path::new(OWN) && error.kind() == io::ErrorKind::Unsupported => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    why = format!("there is no {}", path.display());
                }
                Err(error) => why = format!("{}: {error}", path.display()),
            }
        }
        Err(Error::new(
            format!("cannot find containerdump without shared libraries for {}: {why}", architecture.word()),
            if Some(architecture) == Architecture::own() {
                REMEDY.to_owned()
            } else {
                format!(
                    "build it there (make static) and put it beside this program as {}",
                    name(architecture)
                )
            },
        ))
    }

    /// Reads the one at `path`.
    ///
    /// Fails when it cannot be read, is of another architecture or version, or can be changed by others.
    pub fn at(path: &Path, architecture: Architecture) -> io::Result<Self> {
        let candidate = Candidate::open(path, architecture)?;
        let mut content = Vec::with_capacity(usize::try_from(candidate.size).unwrap_or(0));
        candidate.file.take(MOST_BYTES).read_to_end(&mut content)?;
        if !is_of_this_version(&content) {
            return Err(io::Error::other(format!(
                "it is not {}, as this program is",
                crate::PROGRAM_AND_VERSION
            )));
        }
        let digest = format!("{:x}", Sha256::digest(&content));
        Ok(Self { architecture, content: Arc::new(content), digest })
    }

    /// What it runs on.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// Its bytes.
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// SHA-256 of its bytes, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

impl AsRef<[u8]> for StaticProgram {
    fn as_ref(&self) -> &[u8] {
        self.content()
    }
}

/// The name of the companion: `containerdump-x86_64`.
pub fn name(architecture: Architecture) -> String {
    format!("containerdump-{}", architecture.word())
}

/// Where it may be, in order.
fn candidates(architecture: Architecture) -> Vec<PathBuf> {
    let own = (Some(architecture) == Architecture::own()).then(|| PathBuf::from(OWN));
    // The kernel tells the path behind all links; of a file that is gone, with a word after it.
    let beside = std::env::current_exe().ok().map(|path| path.with_file_name(name(architecture)));
    own.into_iter().chain(beside).collect()
}

/// A file that is such a program as far as its first bytes tell.
struct Candidate {
    file: File,
    size: u64,
}

impl Candidate {
    fn open(path: &Path, architecture: Architecture) -> io::Result<Self> {
        let not_blocking = nix::fcntl::OFlag::O_NONBLOCK.bits();
        let file = OpenOptions::new().read(true).custom_flags(not_blocking).open(path)?;
        let about = file.metadata()?;
        if !about.is_file() || about.size() > MOST_BYTES {
            return Err(io::Error::other("it is not a program"));
        }
        if path != Path::new(OWN) && !is_trusted(about.uid(), about.mode()) {
            return Err(io::Error::other("others than you and root may change it"));
        }
        let mut head = vec![0; HEAD];
        let length = file.read_at(&mut head, 0)?;
        head.truncate(length);
        match needs_a_loader(&head, architecture) {
            Some(false) => Ok(Self { file, size: about.size() }),
            Some(true) => Err(io::Error::new(io::ErrorKind::Unsupported, "it needs shared libraries")),
            None => Err(io::Error::other(format!("it is not a program for {}", architecture.word()))),
        }
    }
}

/// Whether only root, we, or whoever could change the running program may change a file.
fn is_trusted(owner: u32, mode: u32) -> bool {
    let own = std::fs::metadata(OWN).ok().map(|about| about.uid());
    let may_own = [Some(0), Some(nix::unistd::Uid::effective().as_raw()), own];
    may_own.contains(&Some(owner)) && mode & 0o022 == 0
}

/// Whether an ELF file for `architecture` names a program that loads shared libraries; `None` where
/// it is no such file. Offsets are those of `Elf64_Ehdr` and `Elf64_Phdr` (include/uapi/linux/elf.h).
fn needs_a_loader(head: &[u8], architecture: Architecture) -> Option<bool> {
    const PT_INTERP: u32 = 3;
    const LITTLE_ENDIAN_64_BIT: [u8; 6] = [0x7f, b'E', b'L', b'F', 2, 1];
    let half = |at: usize| Some(u16::from_le_bytes(head.get(at..at.checked_add(2)?)?.try_into().ok()?));
    let word = |at: usize| Some(u32::from_le_bytes(head.get(at..at.checked_add(4)?)?.try_into().ok()?));
    let long = |at: usize| Some(u64::from_le_bytes(head.get(at..at.checked_add(8)?)?.try_into().ok()?));
    if !head.starts_with(&LITTLE_ENDIAN_64_BIT) || half(18)? != architecture.machine() {
        return None;
    }
    let (begin, size, count) = (usize::try_from(long(32)?).ok()?, half(54)?, half(56)?);
    let mut kinds = Vec::new();
    for number in 0..usize::from(count) {
        kinds.push(word(begin.checked_add(number * usize::from(size))?)?);
    }
    (!kinds.is_empty()).then(|| kinds.contains(&PT_INTERP))
}

/// Stands in every program of this version, for being looked for here: with its end, since 0.1.10 begins as
/// 0.1.1 does.
const MARK: &str = concat!("\ncontainerdump ", env!("CARGO_PKG_VERSION"), "\n");

/// Whether the mark of this version stands in a program. That it was not built of other sources only what
/// it sends can tell.
fn is_of_this_version(content: &[u8]) -> bool {
    // Otherwise the compiler may put it into instructions that compare, piece by piece, and it stands in no program.
    let mark = std::hint::black_box(MARK.as_bytes());
    content.windows(mark.len()).any(|window| window[0] == mark[0] && window == mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program header of each kind, behind an ELF header.
    fn elf(machine: u16, kinds: &[u32]) -> Vec<u8> {
        let mut head = vec![0; 64];
        head[..6].copy_from_slice(b"\x7fELF\x02\x01");
        head[18..20].copy_from_slice(&machine.to_le_bytes());
        head[32] = 64;
        head[54] = 56;
        head[56] = u8::try_from(kinds.len()).expect("a few");
        for kind in kinds {
            head.extend(kind.to_le_bytes());
            head.extend([0; 52]);
        }
        head
    }

    #[test]
    fn a_program_is_static_where_no_loader_is_named() {
        assert_eq!(needs_a_loader(&elf(62, &[6, 3, 1]), Architecture::X86_64), Some(true));
        assert_eq!(needs_a_loader(&elf(62, &[6, 1, 2]), Architecture::X86_64), Some(false));
        assert_eq!(needs_a_loader(&elf(183, &[1]), Architecture::Aarch64), Some(false));
    }

    #[test]
    fn what_is_no_program_for_an_architecture_is_refused() {
        assert_eq!(needs_a_loader(&elf(183, &[1]), Architecture::X86_64), None);
        assert_eq!(needs_a_loader(&elf(62, &[]), Architecture::X86_64), None);
        assert_eq!(needs_a_loader(b"#!/bin/sh\n", Architecture::X86_64), None);
        let cut = &elf(62, &[1, 2])[..100];
        assert_eq!(needs_a_loader(cut, Architecture::X86_64), None);
        let mut far = elf(62, &[1]);
        far[32..40].fill(0xff);
        assert_eq!(needs_a_loader(&far, Architecture::X86_64), None);
    }

    #[test]
    fn a_version_is_told_from_one_that_begins_like_it() {
        assert!(is_of_this_version(format!("..{MARK}..").as_bytes()));
        let longer = MARK.replace('\n', "") + "0";
        assert!(!is_of_this_version(format!("\n{longer}\n").as_bytes()));
    }

    #[test]
    fn a_file_that_others_may_change_is_not_trusted() {
        assert!(is_trusted(0, 0o100_755));
        assert!(!is_trusted(0, 0o100_775));
        assert!(!is_trusted(0, 0o100_757));
        assert!(!is_trusted(65534, 0o100_755));
    }
}
