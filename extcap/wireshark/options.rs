//! The options of the dialogs: their values and defaults.

use std::ops::RangeInclusive;

use clap::ValueEnum;
use containerdump::capture::{self, MAX_SNAP_LEN};
use containerdump::container::selection::Selection;
use containerdump::error::Error;
use containerdump::request::{BUFFER_MIB, CaptureRequest};
use containerdump::safe_text::SafeText;
use containerdump::saved_hosts::ALL_CONTAINERS;
use containerdump::session::{Limit, Limits};

use super::arguments::ExtcapArgs;

/// The interface for containers on another host.
pub(super) const SSH_INTERFACE: &str = "containerdump-ssh";
/// The value of `--network` for all networks.
pub(super) const ALL_NETWORKS: &str = "all";
/// Selects or deselects the capture filter of the last capture.
pub(super) const LAST_FILTER: &str = "--last-filter";
/// Resets all options to their defaults.
pub(super) const RESET_OPTIONS: &str = "--reset-options";

/// The request for the packets of `container`: an interface value, or all containers of a host.
///
/// # Errors
///
/// If the value of an option is invalid.
pub(super) fn capture_request(arguments: &ExtcapArgs, container: &str) -> Result<CaptureRequest, Error> {
    let (filter, dialog_filter) = (arguments.text("--extcap-capture-filter"), arguments.dialog_filter());
    let request = CaptureRequest {
        follow: !arguments.has("--stop-with-container"),
        networks: list(arguments, "--network").into_iter().filter(|name| name != ALL_NETWORKS).collect(),
        filter: capture::combine_filters(filter.as_deref(), dialog_filter.as_deref())?,
        snap_length: number(arguments, "--snap-length", 1..=MAX_SNAP_LEN)?.unwrap_or(MAX_SNAP_LEN),
        buffer_mib: number(arguments, "--buffer-size", BUFFER_MIB)?,
        tap: choice(arguments, "--tap")?,
        duplicates: choice(arguments, "--duplicates")?,
        promiscuous: !arguments.has("--no-promiscuous") && !arguments.has("--remote-noprom"),
        own_traffic: arguments.has("--own-traffic"),
        ..CaptureRequest::default()
    };
    let is_group = container == ALL_CONTAINERS || Selection::is_group_value(container);
    let members = if is_group { list(arguments, "--containers") } else { Vec::new() };
    Ok(if !members.is_empty() {
        CaptureRequest { names: members, ..request }
    } else if container == ALL_CONTAINERS {
        CaptureRequest { all: true, ..request }
    } else {
        CaptureRequest { names: vec![container.to_owned()], by_interface: true, ..request }
    })
}

/// When the capture ends by itself.
///
/// # Errors
///
/// If the number of packets is invalid.
pub(super) fn limits(arguments: &ExtcapArgs) -> Result<Limits, Error> {
    let packets = number(arguments, "--remote-count", 1..=u32::MAX)?;
    Ok(packets.map(|count| Limit::Packets(count.into())).into_iter().collect())
}

/// A value of a closed set; the default if none is given.
///
/// # Errors
///
/// If the set does not have the value; the remedy names all values.
pub(super) fn choice<T: ValueEnum + Default>(arguments: &ExtcapArgs, name: &str) -> Result<T, Error> {
    parse_choice(name, &arguments.text(name).unwrap_or_default())
}

/// As [`choice`], from the text of the option `name`.
pub(super) fn parse_choice<T: ValueEnum + Default>(name: &str, text: &str) -> Result<T, Error> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(T::default());
    }
    T::from_str(text, false).map_err(|_| {
        let names: Vec<String> = T::value_variants().iter().map(value_name).collect();
        invalid(name, text, &format!("use one of {}", names.join(", ")))
    })
}

/// The name of a value.
pub(super) fn value_name<T: ValueEnum>(value: &T) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// The name of the default value.
pub(super) fn default_name<T: ValueEnum + Default>() -> String {
    value_name(&T::default())
}

/// Names separated by commas.
fn list(arguments: &ExtcapArgs, name: &str) -> Vec<String> {
    let text = arguments.text(name).unwrap_or_default();
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// A number. The dialog shows 0 where it may be left out.
fn number(arguments: &ExtcapArgs, name: &str, range: RangeInclusive<u32>) -> Result<Option<u32>, Error> {
    match arguments.text(name).filter(|text| !text.is_empty() && text != "0") {
        None => Ok(None),
        Some(text) => match text.parse() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => {
                let remedy = format!("use a number from {} to {}", range.start(), range.end());
                Err(invalid(name, &text, &remedy))
            }
        },
    }
}

fn invalid(name: &str, value: &str, remedy: &str) -> Error {
    Error::new(format!("invalid value for {name}: {}", SafeText::new(value)), remedy)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use containerdump::session::Duplicates;
    use containerdump::tap::TapChoice;

    use super::*;

    fn parse(line: &str) -> ExtcapArgs {
        ExtcapArgs::parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn options_that_are_not_passed_have_the_defaults_of_the_dialog() {
        let request = capture_request(&parse("--capture"), "docker-web").expect("a request");
        let expected = CaptureRequest {
            names: vec!["docker-web".to_owned()],
            by_interface: true,
            follow: true,
            ..CaptureRequest::default()
        };
        assert_eq!(request, expected);
        let unchanged = "--network all --tap auto --duplicates drop --buffer-size 0 --snap-length 262144";
        assert_eq!(capture_request(&parse(unchanged), "docker-web").expect("a request"), expected);
    }

    #[test]
    fn options_of_the_dialog_are_fields_of_the_request() {
        let options = "--network front,back --tap inside --duplicates keep --buffer-size 64 --snap-length 96 \
            --remote-noprom --stop-with-container --own-traffic --remote-filter udp --extcap-capture-filter ip";
        let request = capture_request(&parse(options), ALL_CONTAINERS).expect("a request");
        assert_eq!(request.networks, ["front", "back"]);
        assert_eq!((request.tap, request.duplicates), (TapChoice::Inside, Duplicates::Keep));
        assert_eq!((request.buffer_mib, request.snap_length), (Some(64), 96));
        assert!(request.all && request.names.is_empty());
        assert!(!request.follow && !request.promiscuous && request.own_traffic);
        assert_eq!(request.filter.as_deref(), Some("(ip) and (udp)"));
    }

    #[test]
    fn members_of_a_group_are_selected_by_name() {
        let options = parse("--containers web,db");
        let request = capture_request(&options, "docker-all").expect("a request");
        assert_eq!((request.names, request.by_interface), (vec!["web".to_owned(), "db".to_owned()], false));
        let request = capture_request(&options, "docker-web").expect("a request");
        assert_eq!(request.names, ["docker-web"]);
    }

    #[test]
    fn invalid_value_is_an_error_that_names_the_valid_ones() {
        let error = |line: &str| capture_request(&parse(line), "docker-web").expect_err(line).to_string();
        assert_eq!(
            error("--tap nonsense"),
            "invalid value for --tap: nonsense.\nRemedy: use one of auto, host, inside, engine."
        );
        assert!(error("--duplicates both").ends_with("use one of drop, keep."));
        assert!(error("--snap-length x").ends_with("use a number from 1 to 262144."));
        assert!(error("--buffer-size 1").ends_with("use a number from 2 to 2046."));
        assert!(limits(&parse("--remote-count -1")).is_err());
    }
}
