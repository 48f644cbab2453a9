//! The interface for containers of other hosts: what is chosen in its dialog, handed to who does the same for people.

use clap::ValueEnum as _;
use containerdump::error::Error;
use containerdump::privilege::Privilege;
use containerdump::request::CaptureRequest;
use containerdump::saved_hosts::{ALL_CONTAINERS, SavedHosts};
use containerdump::session::Output;
use containerdump::ssh::{Elevation, Host, PromptMode, SshOptions};
use containerdump::stop::Stop;

use super::arguments::ExtcapArgs;
use super::line::ExtcapLine;
use super::options::{self, containers};
use super::saved;
use super::ssh_config;
use crate::cli::RemoteTarget;
use crate::wireshark::toolbar::Toolbar;

/// Its value.
pub(super) const INTERFACE: &str = "containerdump-ssh";

/// Captures there.
///
/// Fails with what Wireshark shall show.
pub(super) fn capture(
    arguments: &ExtcapArgs,
    output: Output,
    toolbar: Option<Toolbar>,
    stop: &Stop,
    privilege: Privilege,
) -> Result<(), Error> {
    let there = privilege.as_caller(|| there(arguments))??;
    let (request, limits) = (request(arguments, &chosen(arguments))?, options::limits(arguments)?);
    there.capture(request, limits, output, toolbar, stop, privilege)
}

/// The interface value or name that was chosen there; all where none was.
fn chosen(arguments: &ExtcapArgs) -> String {
    let chosen = arguments.text("--remote-container").unwrap_or_default();
    let chosen = chosen.trim();
    if chosen.is_empty() { ALL_CONTAINERS.to_owned() } else { chosen.to_owned() }
}

/// The values of a reloaded option.
pub(super) fn reloaded(
    arguments: &ExtcapArgs,
    option: &str,
    privilege: Result<Privilege, Error>,
) -> Vec<ExtcapLine> {
    match option.trim_start_matches('-') {
        "remote-container" => load_containers(arguments, privilege),
        "network" => load_networks(arguments, privilege),
        _ => Vec::new(),
    }
}

fn load_networks(arguments: &ExtcapArgs, privilege: Result<Privilege, Error>) -> Vec<ExtcapLine> {
    let Ok(Ok(there)) =
        privilege.as_ref().map(|privilege| privilege.as_caller(|| there(arguments)).flatten())
    else {
        return Vec::new();
    };
    saved::networks((&there, &chosen(arguments)), ssh_config::OTHERS.first, privilege)
}

fn load_containers(arguments: &ExtcapArgs, privilege: Result<Privilege, Error>) -> Vec<ExtcapLine> {
    let told = privilege.and_then(|privilege| {
        let there = privilege.as_caller(|| there(arguments))??;
        there.containers(PromptMode::DesktopBlocking, privilege)
    });
    match told {
        Ok(containers) => ssh_config::containers(containers),
        Err(trouble) => ssh_config::trouble(&trouble, &chosen(arguments)),
    }
}

/// The host that is meant, and the way to it.
fn there(arguments: &ExtcapArgs) -> Result<RemoteTarget, Error> {
    let text = arguments.text("--remote-host").unwrap_or_default();
    let text = text.trim();
    if text.is_empty() {
        return Err(Error::new(
            "cannot connect: no remote host is given",
            "enter *Remote SSH server address* in the options of the interface",
        ));
    }
    let port = arguments.text("--remote-port").filter(|port| port != "0");
    let login = (arguments.text("--remote-username"), port);
    let host = text.parse::<Host>().and_then(|host| host.with_login(login.0.as_deref(), login.1.as_deref()));
    let host = host.map_err(|why| {
        Error::new(
            format!("cannot use host {text}: {why}"),
            "name it as ssh does: build1, ann@build1, ann@build1:2222",
        )
    })?;
    let mut host = if host.is_bare_name() { SavedHosts::read()?.resolve(&host)? } else { host };
    let (key, proxy) = (arguments.path("--sshkey"), arguments.text("--proxycommand"));
    if key.is_some() || proxy.is_some() {
        host = host.with_options(SshOptions::new(key.as_deref(), proxy.as_deref())?);
    }
    Ok(RemoteTarget { host, elevation: elevation(arguments.text("--remote-priv").as_deref())? })
}

fn elevation(text: Option<&str>) -> Result<Elevation, Error> {
    // sshdump has `doas -n`, too.
    let name = text.unwrap_or_default().trim().trim_end_matches(" -n");
    if name.is_empty() {
        return Ok(Elevation::default());
    }
    Elevation::from_str(name, false).map_err(|_| {
        let names: Vec<String> = Elevation::value_variants().iter().map(ToString::to_string).collect();
        Error::new(format!("cannot use --remote-priv {name}"), format!("use one of {}", names.join(", ")))
    })
}

/// What the host is asked for; `container` is an interface value, a name or all.
pub(super) fn request(arguments: &ExtcapArgs, container: &str) -> Result<CaptureRequest, Error> {
    let request = options::request(arguments)?;
    let names = containers(arguments);
    Ok(match container {
        _ if !names.is_empty() => CaptureRequest { names, ..request },
        ALL_CONTAINERS => CaptureRequest { all: true, ..request },
        name => CaptureRequest { names: vec![name.to_owned()], by_interface: true, ..request },
    })
}
