//! Can packets be taken through an engine?

use std::path::Path;

use containerdump::container::EngineKind;
use containerdump::engine::{EngineListing, EngineStatus};
use containerdump::error::Error;
use containerdump::static_program::{self, Architecture, StaticProgram};

use super::report::Report;
use crate::layout::shown;

const CHECK: &str = "engine tap";

/// Looks for the static program where the program Wireshark starts will: in itself, then beside it.
pub(super) fn check(report: &mut Report, started: Option<&Path>, listings: &[EngineListing]) {
    let (Some(program), Some(own)) =
        (started.and_then(|path| path.canonicalize().ok()), Architecture::current())
    else {
        return;
    };
    let companion = program.with_file_name(static_program::file_name(own));
    if StaticProgram::open(&program, own).is_err()
        && let Err(error) = StaticProgram::open(&companion, own)
    {
        let what = format!(
            "no packets can be taken through an engine: {}: {error}, and the program itself needs shared libraries",
            shown(&companion)
        );
        return report.warning(CHECK, &Error::new(what, static_program::BUILD_REMEDY));
    }
    // The kernel alone runs nothing.
    let answering: Vec<&str> = listings
        .iter()
        .filter(|listing| listing.engine != EngineKind::Kernel)
        .filter(|listing| matches!(listing.status, EngineStatus::Available { .. }))
        .map(|listing| listing.engine.as_str())
        .collect();
    if !answering.is_empty() {
        report.ok(CHECK, format!("packets can be taken through {}", answering.join(", ")));
    }
}
