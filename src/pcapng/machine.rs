//! What the section header tells of the machine that captures, as dumpcap's does.

use std::fs::File;
use std::io::Read as _;
use std::sync::OnceLock;

use crate::safe_text::SafeText;

/// Bytes that are read of a file: the first processor's entry of `/proc/cpuinfo`, which has one for each.
const MAX_READ: u64 = 4096;

/// The processor, `AMD EPYC 7763 64-Core Processor`; where the kernel has no name for it, its architecture.
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
    // Without it less is told.
    let _ = File::open(path).and_then(|file| file.take(MAX_READ).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}
