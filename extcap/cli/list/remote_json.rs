//! What other hosts told of their containers.

use containerdump::container::Container;
use containerdump::safe_text::SafeText;

use super::record::ContainerRecord;
use super::table;

/// How a list of other hosts is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Table,
    Json,
    /// Which taps there are.
    Taps,
}

/// Containers of another host that are shown.
const MOST_OF_A_HOST: usize = 10_000;
/// Those that Wireshark may show.
const MOST_KEPT: usize = 1000;

/// What hosts told, as text: each with the lines of its answer; a table in `width` columns of a terminal.
///
/// Fails with the host whose answer is no list.
pub(super) fn of_hosts(
    told: &[(SafeText, String)],
    as_json: bool,
    width: Option<usize>,
) -> Result<String, (SafeText, String)> {
    let mut listed = Vec::new();
    for (host, lines) in told {
        for line in lines.lines().take(MOST_OF_A_HOST) {
            listed.push(ContainerRecord::of_host(host, line).map_err(|why| (host.clone(), why))?);
        }
    }
    Ok(if as_json {
        listed.iter().map(ContainerRecord::line).collect()
    } else {
        table::table(&listed, told.len() > 1, width)
    })
}

/// As much of what `host` told as the list of Wireshark needs.
pub(in crate::cli) fn to_keep(host: &SafeText, lines: &str) -> String {
    let listed = lines.lines().take(MOST_KEPT).filter_map(|line| ContainerRecord::of_host(host, line).ok());
    listed.map(|one| one.bare().line()).collect()
}

/// The containers in what `host` told, but for those that make no sense.
pub(crate) fn containers(host: &SafeText, lines: &str) -> Vec<Container> {
    let listed =
        lines.lines().take(MOST_OF_A_HOST).filter_map(|line| ContainerRecord::of_host(host, line).ok());
    listed.filter_map(|one| one.container()).collect()
}
