//! `containerdump unsend`.

use std::io::{self, Write as _};

use clap::Args;
use containerdump::error::Error;
use containerdump::privilege::Privilege;
use containerdump::safe_text::SafeText;
use containerdump::saved_hosts;
use containerdump::ssh::{Connection, Host};
use containerdump::stop::Stop;

/// Remove containerdump from hosts that it was sent to by list or capture
///
/// Where containerdump is installed it stays. Of captures that run there, nothing changes.
#[derive(Args)]
pub(super) struct Unsend {
    /// HOST, USER@HOST or USER@HOST:PORT, or what ~/.ssh/config or containerdump host list knows
    #[arg(value_name = "HOST", required = true)]
    hosts: Vec<Host>,
}

impl Unsend {
    pub(super) fn run(self, mut privilege: Privilege) -> Result<(), Error> {
        privilege.become_caller()?;
        privilege.give_up()?;
        let stop = Stop::watch(false)?;
        let saved = saved_hosts::Hosts::read()?;
        let meant: Vec<Host> = self.hosts.iter().map(|host| saved.meant(host)).collect::<Result<_, _>>()?;
        for host in &meant {
            let connection = Connection::to(host)?;
            let at_work = connection.clone();
            let removed = stop.wait_for(None, move || remove(&at_work));
            connection.end();
            let Ok(removed) = removed else { return Ok(()) };
            let _ = writeln!(io::stdout(), "{}", told(host, &removed?));
        }
        Ok(())
    }
}

fn remove(connection: &Connection) -> Result<Vec<SafeText>, Error> {
    connection.open()?;
    connection.remove_sent()
}

fn told(host: &Host, removed: &[SafeText]) -> String {
    if removed.is_empty() {
        return format!("{}: nothing was there", host.label());
    }
    let folders: std::collections::BTreeSet<&str> = removed.iter().map(SafeText::as_str).collect();
    let folders: Vec<&str> = folders.into_iter().collect();
    format!("{}: {} removed from {}", host.label(), removed.len(), folders.join(", "))
}
