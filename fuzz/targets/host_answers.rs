//! Answers of another host to the probe and to the upload script: text can be shown, and a folder is one of three.

#![no_main]

use containerdump::fuzzing;
use containerdump::ssh::InstalledProgram;
use containerdump_fuzz::assert_safe;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    if let Some(probe) = fuzzing::probe(&text) {
        assert!(text.contains("containerdump-probe\nsystem "));
        assert_safe(&probe.system, 80);
        if let InstalledProgram::Incompatible(version) = &probe.installed {
            assert_safe(version, 80);
        }
    }
    for folder in text.lines().filter_map(fuzzing::script_folder) {
        assert!(folder < 3);
    }
});
