//! `doctor`: checks everything a capture needs, with a remedy for each problem.

mod dumpcap;
mod engine_tap;
mod engines;
mod interface_list;
mod profile;
mod program;
mod report;
mod rights;
mod wireshark;

use std::process::ExitCode;

use crate::arguments::DoctorOptions;
use report::DoctorReport;

/// Runs all checks and prints the report. The exit status is 1 when a check failed.
pub(crate) fn run(options: &DoctorOptions) -> ExitCode {
    let mut report = DoctorReport::default();
    let listings = engines::check(&mut report);
    let wireshark = wireshark::check(&mut report);
    dumpcap::check(&mut report, &wireshark);
    profile::check(&mut report, &wireshark);
    let started = program::check(&mut report, &wireshark);
    rights::check(&mut report, started.as_deref());
    engine_tap::check(&mut report, started.as_deref(), &listings);
    interface_list::check(&mut report, &wireshark, &listings);
    if options.json {
        report.print_json();
    } else {
        report.print_table();
    }
    if report.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
