//! Lists of other hosts: one JSON object per container and line.

use containerdump::container::Container;
use containerdump::safe_text::SafeText;

use super::record::ContainerRecord;
use super::table;

/// Containers of a host that are shown.
const MAX_REMOTE_CONTAINERS: usize = 10_000;
/// Containers of a host that are cached for Wireshark's list.
const MAX_CACHED: usize = 1000;

/// The lists of several hosts, each with the name of its host.
type HostLists = [(SafeText, String)];

/// Fails with the reason why `list` is not a list of containers.
pub(super) fn check(host: &SafeText, list: &str) -> Result<(), String> {
    records(host, list).try_for_each(|record| record.map(|_| ()))
}

/// All lists as JSON again, with the name of the host in each line.
pub(super) fn to_json(lists: &HostLists) -> Result<String, String> {
    Ok(all_records(lists)?.iter().map(ContainerRecord::to_line).collect())
}

/// All lists as one table, `width` columns wide if given.
pub(super) fn to_table(lists: &HostLists, width: Option<usize>) -> Result<String, String> {
    Ok(table::table(&all_records(lists)?, lists.len() > 1, width))
}

/// The part of the list of `host` that Wireshark's list shows.
pub(in crate::cli) fn to_cache(host: &SafeText, list: &str) -> String {
    let records = list.lines().take(MAX_CACHED).filter_map(|line| ContainerRecord::parse(host, line).ok());
    records.map(|record| record.without_details().to_line()).collect()
}

/// The containers in the list of `host`; lines that are none are left out.
pub(crate) fn containers(host: &SafeText, list: &str) -> Vec<Container> {
    records(host, list).flatten().filter_map(|record| record.container()).collect()
}

fn records(host: &SafeText, list: &str) -> impl Iterator<Item = Result<ContainerRecord, String>> {
    list.lines().take(MAX_REMOTE_CONTAINERS).map(move |line| ContainerRecord::parse(host, line))
}

fn all_records(lists: &HostLists) -> Result<Vec<ContainerRecord>, String> {
    lists.iter().flat_map(|(host, list)| records(host, list)).collect()
}
