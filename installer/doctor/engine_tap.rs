//! Whether captures through an engine are possible.

use std::path::Path;

use containerdump::container::EngineKind;
use containerdump::engine::{EngineListing, EngineStatus};
use containerdump::error::Error;
use containerdump::static_program::{self, Architecture, StaticProgram};

use super::report::DoctorReport;
use crate::layout::shown;

const CHECK: &str = "engine tap";

/// Looks for the static program as captures do: the program itself, then the file beside it.
pub(super) fn check(report: &mut DoctorReport, started: Option<&Path>, listings: &[EngineListing]) {
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
            "captures through an engine are not possible: {}: {error}; and the program itself needs shared libraries",
            shown(&companion)
        );
        return report.warning(CHECK, &Error::new(what, static_program::BUILD_REMEDY));
    }
    let answering: Vec<&str> = listings
        .iter()
        .filter(|listing| listing.engine != EngineKind::Kernel)
        .filter(|listing| matches!(listing.status, EngineStatus::Available { .. }))
        .map(|listing| listing.engine.as_str())
        .collect();
    if !answering.is_empty() {
        report.ok(CHECK, format!("captures through {} are possible", answering.join(", ")));
    }
}
