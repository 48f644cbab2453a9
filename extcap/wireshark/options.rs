//! The options of a capture, as Wireshark hands them on: whatever it leaves out has the default that its dialog
//! shows.

use std::ops::RangeInclusive;

use clap::ValueEnum;
use containerdump::capture::{self, MAX_SNAP_LEN};
use containerdump::error::Error;
use containerdump::request::{BUFFER_MIB, CaptureRequest};
use containerdump::session::{Limit, Limits};

use super::arguments::ExtcapArgs;
use super::config::ALL_NETWORKS;

/// The networks that a text names, separated by commas; none for all.
pub(super) fn networks(text: Option<&str>) -> Vec<String> {
    listed(text).filter(|name| *name != ALL_NETWORKS).map(str::to_owned).collect()
}

/// The containers of a group that a capture is of; none for all.
pub(super) fn containers(arguments: &ExtcapArgs) -> Vec<String> {
    let text = arguments.text("--containers");
    listed(text.as_deref()).map(str::to_owned).collect()
}

/// What a text lists, separated by commas.
fn listed(text: Option<&str>) -> impl Iterator<Item = &str> {
    text.unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty())
}

/// What a capture is asked for; no container is selected yet.
///
/// Fails when an option has a value that it cannot have.
pub(super) fn request(arguments: &ExtcapArgs) -> Result<CaptureRequest, Error> {
    let own = arguments.own_filter();
    let from_wireshark = arguments.text("--extcap-capture-filter");
    Ok(CaptureRequest {
        follow: !arguments.has("--stop-with-container"),
        networks: networks(arguments.text("--network").as_deref()),
        filter: capture::combine_filters(from_wireshark.as_deref(), own.as_deref())?,
        snap_length: number(arguments, "--snap-length", 1..=MAX_SNAP_LEN)?.unwrap_or(MAX_SNAP_LEN),
        buffer_mib: number(arguments, "--buffer-size", BUFFER_MIB)?,
        tap: choice(arguments, "--tap")?,
        duplicates: choice(arguments, "--duplicates")?,
        promiscuous: !arguments.has("--no-promiscuous") && !arguments.has("--remote-noprom"),
        own_traffic: arguments.has("--own-traffic"),
        ..CaptureRequest::default()
    })
}

/// The value of an option that has a few; its default where it is not given.
pub(super) fn choice<T: ValueEnum + Default>(arguments: &ExtcapArgs, name: &str) -> Result<T, Error> {
    let text = arguments.text(name).unwrap_or_default();
    let word = text.trim();
    if word.is_empty() {
        return Ok(T::default());
    }
    T::from_str(word, false).map_err(|_| {
        let values = T::value_variants().iter().filter_map(T::to_possible_value);
        let words: Vec<String> = values.map(|value| value.get_name().to_owned()).collect();
        Error::new(format!("cannot use {name} {word}"), format!("give one of {}", words.join(", ")))
    })
}

/// When the capture ends by itself.
pub(super) fn limits(arguments: &ExtcapArgs) -> Result<Limits, Error> {
    let count = number(arguments, "--remote-count", 1..=u32::MAX)?;
    Ok(count.map(|count| Limit::Packets(count.into())).into_iter().collect())
}

fn number(arguments: &ExtcapArgs, name: &str, range: RangeInclusive<u32>) -> Result<Option<u32>, Error> {
    // The dialog shows 0 for a number that is not set.
    match arguments.text(name).filter(|text| !text.is_empty() && text != "0") {
        None => Ok(None),
        Some(text) => match text.parse() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => Err(Error::new(
                format!("cannot use {name} {text}"),
                format!("give a number from {} to {}", range.start(), range.end()),
            )),
        },
    }
}
