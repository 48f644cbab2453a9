//! The options of a capture, as Wireshark hands them on: whatever it leaves out has the default that its dialog
//! shows.

use containerdump::capture::{self, CaptureSettings};
use containerdump::error::Error;
use containerdump::session::Duplicates;
use containerdump::tap::TapKind;

use super::arguments::ExtcapArgs;
use super::config::{ALL_NETWORKS, ANY_TAP, MAX_BUFFER_MIB};

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

/// The kind of tap that a text asks for; `None` where the program may choose.
pub(super) fn tap(text: Option<&str>) -> Result<Option<TapKind>, Error> {
    match text.map(str::trim).filter(|word| !word.is_empty() && *word != ANY_TAP) {
        None => Ok(None),
        Some(word) => TapKind::parse(word).map(Some).ok_or_else(|| {
            let words: Vec<&str> = TapKind::ALL.iter().map(|kind| kind.as_str()).collect();
            Error::new(
                format!("cannot use --tap {word}"),
                format!("give one of {ANY_TAP}, {}", words.join(", ")),
            )
        }),
    }
}

/// What a text asks to be kept of packets between containers.
pub(super) fn duplicates(text: Option<&str>) -> Result<Duplicates, Error> {
    match text.map(str::trim).filter(|word| !word.is_empty()) {
        None => Ok(Duplicates::default()),
        Some(word) => Duplicates::parse(word).ok_or_else(|| {
            let words: Vec<&str> = Duplicates::ALL.iter().map(|one| one.word()).collect();
            Error::new(format!("cannot use --duplicates {word}"), format!("give one of {}", words.join(", ")))
        }),
    }
}

pub(super) fn settings(arguments: &ExtcapArgs) -> Result<CaptureSettings, Error> {
    let own = arguments.own_filter();
    let of_wireshark = arguments.text("--extcap-capture-filter");
    Ok(CaptureSettings {
        filter: capture::combine_filters(of_wireshark.as_deref(), own.as_deref())?,
        exclusion: None,
        remote_exclusion: None,
        snap_length: number(arguments, "--snap-length", 1, capture::MAX_SNAP_LEN)?
            .unwrap_or(capture::MAX_SNAP_LEN),
        ring_mib: number(arguments, "--buffer-size", 2, MAX_BUFFER_MIB)?,
        promiscuous: !arguments.has("--no-promiscuous") && !arguments.has("--remote-noprom"),
    })
}

/// After how many packets the capture ends; `None` for no limit.
pub(super) fn count(arguments: &ExtcapArgs) -> Result<Option<u32>, Error> {
    number(arguments, "--remote-count", 1, u32::MAX)
}

pub(super) fn number(
    arguments: &ExtcapArgs,
    name: &str,
    least: u32,
    most: u32,
) -> Result<Option<u32>, Error> {
    // A number that may be left out is shown as 0.
    match arguments.text(name).filter(|text| !text.is_empty() && text != "0") {
        None => Ok(None),
        Some(text) => match text.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => Err(Error::new(
                format!("cannot use {name} {text}"),
                format!("give a number from {least} to {most}"),
            )),
        },
    }
}
