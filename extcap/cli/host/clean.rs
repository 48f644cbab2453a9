//! `containerdump host clean`.

use std::collections::BTreeSet;
use std::io::{self, Write as _};

use clap::Args;
use containerdump::error::Error;
use containerdump::safe_text::SafeText;
use containerdump::saved_hosts::SavedHosts;
use containerdump::ssh::{ConnectOptions, Host, SshConnection};
use containerdump::stop::Stop;

/// Remove uploaded programs from hosts
///
/// list and capture upload containerdump to hosts where it is not installed. An installed program and running captures
/// are not affected.
#[derive(Args)]
pub(in crate::cli) struct CleanHosts {
    /// HOST, USER@HOST, USER@HOST:PORT, a Host of ~/.ssh/config or a saved host
    #[arg(value_name = "HOST", required = true)]
    hosts: Vec<Host>,
}

impl CleanHosts {
    pub(super) fn run(self) -> Result<(), Error> {
        let stop = Stop::watch(false)?;
        let saved = SavedHosts::read()?;
        let hosts: Vec<Host> = self.hosts.iter().map(|host| saved.resolve(host)).collect::<Result<_, _>>()?;
        for host in &hosts {
            let connection = SshConnection::new(host, ConnectOptions::default())?;
            let worker = connection.clone();
            let removed = stop.wait_for(None, move || remove_uploads(&worker));
            connection.close();
            let Ok(removed) = removed else { return Ok(()) };
            let _ = writeln!(io::stdout(), "{}", report(host, &removed?));
        }
        Ok(())
    }
}

fn remove_uploads(connection: &SshConnection) -> Result<Vec<SafeText>, Error> {
    connection.open()?;
    connection.remove_uploads()
}

/// `removed` is the folder of each removed file.
fn report(host: &Host, removed: &[SafeText]) -> String {
    let host = host.label();
    let folders: BTreeSet<&str> = removed.iter().map(SafeText::as_str).collect();
    let folders: Vec<&str> = folders.into_iter().collect();
    let folders = folders.join(", ");
    match removed.len() {
        0 => format!("{host}: no uploaded program"),
        1 => format!("{host}: removed 1 file from {folders}"),
        count => format!("{host}: removed {count} files from {folders}"),
    }
}
