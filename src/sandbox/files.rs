//! Landlock: which files may be opened (Documentation/userspace-api/landlock.rst).

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, path_beneath_rules,
};

/// Newest version whose rights are known here; older kernels restrict what they know.
const NEWEST_ABI: ABI = ABI::V5;
/// Statistics of interfaces (`pcap_stats`), names in capture filters, and the libraries that look those up.
const READABLE: [&str; 6] = ["/sys/class/net", "/sys/devices", "/etc", "/usr/lib", "/lib", "/lib64"];

/// Lets this thread, and those that it starts, read in [`READABLE`] and open nothing else. TCP is forbidden. Returns whether
/// the kernel does that.
pub(super) fn restrict() -> Result<bool, RulesetError> {
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST_ABI))?
        .handle_access(AccessNet::from_all(NEWEST_ABI))?
        .create()?
        .add_rules(path_beneath_rules(READABLE, AccessFs::ReadFile | AccessFs::ReadDir))?
        .restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

/// Whether this kernel has none of it.
#[cfg(test)]
pub(super) fn restrict_is_unsupported() -> bool {
    std::thread::spawn(|| !restrict().unwrap_or(false)).join().unwrap_or(true)
}
