//! The static programs, which tap containers run. They are installed beside the program, without any capability.

use std::path::Path;

use containerdump::static_program::{self, Architecture, StaticProgram};

use crate::layout::shown;
use crate::plan::PlannedFile;
use crate::print_line;
use crate::tree::Ownership;

const ARCHITECTURES: [Architecture; 2] = [Architecture::X86_64, Architecture::Aarch64];

/// The static programs beside `source`, to be installed beside `program`. Prints a note where one is unusable, and
/// where there is none for this machine.
pub(crate) fn files(
    source: &Path,
    program: &Path,
    ownership: Ownership,
    description: &str,
) -> Vec<PlannedFile> {
    let mut files = Vec::new();
    for architecture in ARCHITECTURES {
        let name = static_program::file_name(architecture);
        let path = source.with_file_name(&name);
        match StaticProgram::open(&path, architecture) {
            Ok(companion) => files.push(PlannedFile {
                path: program.with_file_name(&name),
                content: companion.content().to_vec(),
                ownership,
                captures: false,
                description: description.to_owned(),
            }),
            Err(_) if path.symlink_metadata().is_err() => {}
            Err(error) => print_line(format_args!("note: {} is not installed: {error}", shown(&path))),
        }
    }
    let is_there = |name: String| files.iter().any(|file| file.path.ends_with(&name));
    let is_needed = |own: &Architecture| !is_there(static_program::file_name(*own));
    if Architecture::current().filter(is_needed).is_some_and(|own| StaticProgram::open(source, own).is_err())
    {
        print_line(
            "note: captures through an engine (--tap engine) are not possible: they need a static build of the",
        );
        print_line(format_args!("program. To install one, {}.", static_program::BUILD_REMEDY));
    }
    files
}
