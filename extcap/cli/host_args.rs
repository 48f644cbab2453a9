//! Options that name other hosts.

use clap::Args;
use containerdump::error::Error;
use containerdump::saved_hosts::SavedHosts;
use containerdump::ssh::{ConnectOptions, ConnectionEvent, Elevation, Host, PromptMode, SshConnection};

#[derive(Args)]
pub(super) struct HostArgs {
    /// Containers of another host, over SSH: HOST, USER@HOST, USER@HOST:PORT, a Host of ~/.ssh/config or a saved host
    /// (containerdump host add); may be repeated
    #[arg(long, value_name = "HOST")]
    host: Vec<Host>,

    /// Run containerdump as root on the host, with sudo -n
    #[arg(long, requires = "host", conflicts_with = "doas")]
    sudo: bool,

    /// Run containerdump as root on the host, with doas -n
    #[arg(long, requires = "host")]
    doas: bool,

    /// Do not upload containerdump to a host where it is not installed
    #[arg(long, requires = "host")]
    no_upload: bool,

    /// Where the user may be asked for a passphrase.
    #[arg(skip)]
    prompt_mode: PromptMode,
}

impl HostArgs {
    /// Whether they come from the command line, and not from Wireshark's dialog.
    pub(super) fn are_from_terminal(&self) -> bool {
        self.prompt_mode == PromptMode::Terminal
    }

    pub(super) fn single(host: Host, elevation: Elevation, prompt_mode: PromptMode) -> Self {
        let (sudo, doas) = (elevation == Elevation::Sudo, elevation == Elevation::Doas);
        Self { host: vec![host], sudo, doas, no_upload: false, prompt_mode }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.host.is_empty()
    }

    /// The elevation for all hosts; [`Elevation::None`] leaves it to saved hosts.
    pub(super) fn elevation(&self) -> Elevation {
        elevation(self.sudo, self.doas)
    }

    /// Prepares a connection to each host.
    ///
    /// # Errors
    /// Saved hosts cannot be read, a host is named twice, or there is no folder for a socket.
    pub(super) fn connections(
        &self,
        on_event: fn(&Host, &ConnectionEvent),
    ) -> Result<Vec<SshConnection>, Error> {
        let saved = if self.host.iter().any(Host::is_bare_name) {
            SavedHosts::read()?
        } else {
            SavedHosts::default()
        };
        let mut hosts: Vec<Host> =
            self.host.iter().map(|host| saved.resolve(host)).collect::<Result<_, _>>()?;
        Host::make_labels_distinct(&mut hosts);
        for (at, host) in hosts.iter().enumerate() {
            if hosts[..at].iter().any(|other| other.label() == host.label()) {
                return Err(Error::new(
                    format!("cannot tell hosts apart: {} is named twice", host.label()),
                    "name each host once",
                ));
            }
        }
        let options = ConnectOptions { may_upload: !self.no_upload, prompt_mode: self.prompt_mode, on_event };
        hosts.iter().map(|host| SshConnection::new(host, options)).collect()
    }
}

/// The elevation that the flags `--sudo` and `--doas` select.
pub(in crate::cli) fn elevation(sudo: bool, doas: bool) -> Elevation {
    match (sudo, doas) {
        (true, _) => Elevation::Sudo,
        (_, true) => Elevation::Doas,
        _ => Elevation::None,
    }
}
