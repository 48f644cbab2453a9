//! `doctor`: everything a capture needs, one line each, with the way out where it is missing.

mod dumpcap;
mod engines;
mod found;
mod listed;
mod profile;
mod report;
mod rights;
mod through_engine;
mod wireshark;

use std::process::ExitCode;

use crate::arguments::Doctor;
use report::Report;

/// Checks, prints, and tells by the exit status whether anything failed.
pub(crate) fn run(wish: &Doctor) -> ExitCode {
    let mut report = Report::default();
    let listings = engines::check(&mut report);
    let wireshark = wireshark::check(&mut report);
    dumpcap::check(&mut report, &wireshark);
    profile::check(&mut report, &wireshark);
    let started = found::check(&mut report, &wireshark);
    rights::check(&mut report, started.as_deref());
    through_engine::check(&mut report, started.as_deref(), &listings);
    listed::check(&mut report, &wireshark, &listings);
    if wish.json {
        report.print_json();
    } else {
        report.print_table();
    }
    if report.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
