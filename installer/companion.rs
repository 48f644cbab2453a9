//! The companion: the program without shared libraries, which the tap through the engine runs. It is
//! only ever read here, and carries no right.

use std::path::Path;

use containerdump::static_program::{self, Architecture, StaticProgram};

use crate::layout::shown;
use crate::plan::File;
use crate::say;
use crate::tree::Rights;

const ALL: [Architecture; 2] = [Architecture::X86_64, Architecture::Aarch64];

/// The companions beside the program `source`, to be put beside the installed `program`. Says what is
/// off without one for this machine, and why one that is there is not used.
pub(crate) fn files(source: &Path, program: &Path, rights: Rights, told: &str) -> Vec<File> {
    let mut files = Vec::new();
    for architecture in ALL {
        let name = static_program::file_name(architecture);
        let path = source.with_file_name(&name);
        match StaticProgram::open(&path, architecture) {
            Ok(companion) => files.push(File {
                path: program.with_file_name(&name),
                content: companion.content().to_vec(),
                rights,
                captures: false,
                told: told.to_owned(),
            }),
            Err(_) if path.symlink_metadata().is_err() => {}
            Err(error) => say(format_args!("note: {} is left out: {error}", shown(&path))),
        }
    }
    let is_there = |name: String| files.iter().any(|file| file.path.ends_with(&name));
    let is_needed = |own: &Architecture| !is_there(static_program::file_name(*own));
    if Architecture::current().filter(is_needed).is_some_and(|own| StaticProgram::open(source, own).is_err())
    {
        say("note: no packets can be taken through an engine (--tap engine): that needs the program without");
        say(format_args!("shared libraries. To have it, {}.", static_program::BUILD_REMEDY));
    }
    files
}
