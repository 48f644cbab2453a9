//! Hardware and operating system for the section header, as dumpcap has them.

use std::fs::File;
use std::io::Read as _;
use std::sync::OnceLock;

use crate::safe_text::SafeText;

/// Most bytes read of a file: the first entry of `/proc/cpuinfo`.
const MAX_READ: u64 = 4096;

/// The CPU, `AMD EPYC 7763 64-Core Processor`, or its architecture if the kernel has no name.
pub(super) fn hardware() -> &'static str {
    static HARDWARE: OnceLock<SafeText> = OnceLock::new();
    let name = HARDWARE.get_or_init(|| {
        let about = read("/proc/cpuinfo");
        let models = about.lines().filter_map(|line| line.strip_prefix("model name"));
        let model = models.map(|rest| rest.trim_start_matches([' ', '\t', ':'])).next();
        SafeText::new(model.unwrap_or(std::env::consts::ARCH))
    });
    name.as_str()
}

/// Kernel and release, `Linux 6.1.0-41-amd64`.
pub(super) fn operating_system() -> &'static str {
    static SYSTEM: OnceLock<SafeText> = OnceLock::new();
    SYSTEM
        .get_or_init(|| SafeText::new(format!("Linux {}", read("/proc/sys/kernel/osrelease")).trim()))
        .as_str()
}

fn read(path: &str) -> String {
    let mut bytes = Vec::new();
    // The section header is shorter without it.
    let _ = File::open(path).and_then(|file| file.take(MAX_READ).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}
