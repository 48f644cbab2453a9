//! `containerdump host add`.

use std::path::PathBuf;

use clap::Args;
use containerdump::error::Error;
use containerdump::saved_hosts::{SavedHost, SavedHostName, SavedHosts};
use containerdump::ssh::{Host, SshOptions};

use crate::cli::host_args;

/// Save a host
#[derive(Args)]
#[command(after_help = "\
Examples:
  containerdump host add build1 ann@192.0.2.7:2222
  containerdump host add build1                  # as in ~/.ssh/config
  containerdump host add build1 ann@build1 --sudo")]
pub(in crate::cli) struct AddHost {
    /// Name to save it under
    name: SavedHostName,

    /// HOST, USER@HOST, USER@HOST:PORT or a Host of ~/.ssh/config [default: NAME]
    #[arg(value_name = "ADDRESS")]
    address: Option<Host>,

    /// Run containerdump as root on the host, with sudo -n
    #[arg(long, conflicts_with = "doas")]
    sudo: bool,

    /// Run containerdump as root on the host, with doas -n
    #[arg(long)]
    doas: bool,

    /// The only private key to log in with; those of an agent are not tried
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

impl AddHost {
    pub(super) fn run(self) -> Result<(), Error> {
        let Self { name, address, sudo, doas, key } = self;
        let host = match address {
            Some(host) => host,
            None => name.as_str().parse().map_err(|cause| {
                Error::new(
                    format!("cannot save host {name}: {cause}"),
                    format!("add its address: containerdump host add {name} ADDRESS"),
                )
            })?,
        };
        let elevation = host_args::elevation(sudo, doas);
        let key = key.map(|key| std::path::absolute(&key).unwrap_or(key));
        // Report an unusable key now and not at the first connection.
        SshOptions::new(key.as_deref(), None)?;
        let host = SavedHost { host, elevation, key };
        host.check_key().map_err(|cause| {
            Error::new(
                format!("cannot save host {name}: {cause}"),
                "name a private key file that you may read: --key FILE",
            )
        })?;
        SavedHosts::update(|hosts| hosts.add(name, host))
    }
}
