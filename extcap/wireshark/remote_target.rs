//! The host of the interface for containers on another host, from the options of its dialog.

use containerdump::error::Error;
use containerdump::saved_hosts::{ALL_CONTAINERS, SavedHosts};
use containerdump::ssh::{Host, SshOptions};

use super::arguments::ExtcapArgs;
use super::options::parse_choice;
use crate::cli::RemoteTarget;

/// The interface value or name of the selected container, or [`ALL_CONTAINERS`].
pub(super) fn selected_container(arguments: &ExtcapArgs) -> String {
    let selected = arguments.text("--remote-container").unwrap_or_default();
    let selected = selected.trim();
    if selected.is_empty() { ALL_CONTAINERS.to_owned() } else { selected.to_owned() }
}

/// The host and how to connect to it.
///
/// # Errors
///
/// If the host is missing or invalid, or the saved hosts cannot be read.
pub(super) fn from_options(arguments: &ExtcapArgs) -> Result<RemoteTarget, Error> {
    let address = arguments.text("--remote-host").unwrap_or_default();
    let address = address.trim();
    if address.is_empty() {
        return Err(Error::new(
            "cannot connect: no remote host is given",
            "enter *Remote SSH server address* in the options of the interface",
        ));
    }
    let user = arguments.text("--remote-username");
    let port = arguments.text("--remote-port").filter(|port| port != "0");
    let host = address.parse::<Host>().and_then(|host| host.with_login(user.as_deref(), port.as_deref()));
    let host = host.map_err(|reason| {
        Error::new(
            format!("cannot use host {address}: {reason}"),
            "enter the host as for ssh, for example build1, ann@build1 or ann@build1:2222",
        )
    })?;
    let mut host = if host.is_bare_name() { SavedHosts::read()?.resolve(&host)? } else { host };
    let (key, proxy) = (arguments.path("--sshkey"), arguments.text("--proxycommand"));
    if key.is_some() || proxy.is_some() {
        host = host.with_options(SshOptions::new(key.as_deref(), proxy.as_deref())?);
    }
    // sshdump's value for doas is `doas -n`.
    let elevation = arguments.text("--remote-priv").unwrap_or_default();
    let elevation = parse_choice("--remote-priv", elevation.trim().trim_end_matches(" -n"))?;
    Ok(RemoteTarget { host, elevation })
}
