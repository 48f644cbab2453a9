//! `--extcap-reload-option`: the current values of an option. Nothing is printed where they cannot be loaded: Wireshark
//! then keeps the values that it has.

use containerdump::container::Container;
use containerdump::container::selection::{SelectedContainer, Selection};
use containerdump::engine::EngineTimeouts;
use containerdump::error::Error;
use containerdump::link::Links;
use containerdump::privilege::Privilege;
use containerdump::saved_hosts::ALL_CONTAINERS;
use containerdump::ssh::PromptMode;
use containerdump::tap;

use super::{networks, ssh_dialog};
use crate::cli::RemoteTarget;
use crate::wireshark::arguments::ExtcapArgs;
use crate::wireshark::line::ExtcapLine;
use crate::wireshark::{as_caller, named_namespaces, remote_target, saved_hosts};

/// The values of an option of a container or a group, of this host or of a saved one.
pub(super) fn container_option_values(
    interface: &str,
    option: &str,
    privilege: Result<Privilege, Error>,
) -> Vec<ExtcapLine> {
    if option != "network" {
        return Vec::new();
    }
    match as_caller(&privilege, || saved_hosts::resolve(interface)) {
        Some(Ok(None)) => local_networks(interface, &privilege),
        Some(Ok(Some(remote))) => remote_networks(&remote.target, &remote.container, 0, privilege),
        None | Some(Err(_)) => Vec::new(),
    }
}

/// The values of an option of the interface for other hosts.
pub(super) fn ssh_option_values(
    arguments: &ExtcapArgs,
    option: &str,
    privilege: Result<Privilege, Error>,
) -> Vec<ExtcapLine> {
    let container = remote_target::selected_container(arguments);
    match option {
        "remote-container" => {
            let containers = privilege.and_then(|privilege| {
                let target = privilege.as_caller(|| remote_target::from_options(arguments))??;
                target.containers(PromptMode::DesktopBlocking, privilege)
            });
            match containers {
                Ok(containers) => ssh_dialog::container_values(containers),
                Err(error) => ssh_dialog::load_error(&error, &container),
            }
        }
        "network" => match as_caller(&privilege, || remote_target::from_options(arguments)) {
            Some(Ok(target)) => {
                remote_networks(&target, &container, ssh_dialog::CAPTURE_OPTIONS.first, privilege)
            }
            None | Some(Err(_)) => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn local_networks(interface: &str, privilege: &Result<Privilege, Error>) -> Vec<ExtcapLine> {
    let entered = &named_namespaces(privilege);
    let Ok(running) = tap::running_containers(entered, EngineTimeouts::INTERFACE_LIST) else {
        return Vec::new();
    };
    let selection = select(interface);
    let (selected, _) = selection.resolve(&running.containers);
    match selected.as_slice() {
        [SelectedContainer { container, is_named: true, .. }] => {
            let mut container = (*container).clone();
            let target = Links::now().and_then(|links| tap::look_up(&mut container, &links, entered));
            target.map(|target| networks::of_container(&target)).unwrap_or_default()
        }
        [] => Vec::new(),
        group => networks::of_containers(0, group.iter().map(|selected| selected.container)),
    }
}

/// The networks of `container` on another host, in a dialog whose first option has the number `first`.
fn remote_networks(
    target: &RemoteTarget,
    container: &str,
    first: usize,
    privilege: Result<Privilege, Error>,
) -> Vec<ExtcapLine> {
    let containers =
        privilege.and_then(|privilege| target.containers(PromptMode::DesktopBlocking, privilege));
    let Ok(containers) = containers else { return Vec::new() };
    let selection = select(container);
    let selected: Vec<&Container> = if container == ALL_CONTAINERS {
        containers.iter().collect()
    } else {
        selection.resolve(&containers).0.into_iter().map(|selected| selected.container).collect()
    };
    if selected.is_empty() {
        return Vec::new();
    }
    networks::of_containers(first, selected.into_iter())
}

/// Selects an interface of Wireshark's list.
fn select(interface: &str) -> Selection {
    Selection { names: vec![interface.to_owned()], prefer_values: true, ..Selection::default() }
}
