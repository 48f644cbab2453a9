//! `containerdump host`: saved hosts, and programs uploaded to hosts.

mod add;
mod clean;
mod list;
mod refresh;

use clap::{Args, Subcommand};
use containerdump::error::Error;
use containerdump::privilege::Privilege;
use containerdump::saved_hosts::{CachedHost, SavedHosts};

pub(crate) use self::refresh::BACKGROUND_FLAG;

/// Manage saved hosts and programs uploaded to hosts
#[derive(Subcommand)]
pub(super) enum HostCommand {
    Add(add::AddHost),
    List(list::ListHosts),
    Remove(RemoveHost),
    Refresh(refresh::RefreshHosts),
    Clean(clean::CleanHosts),
}

/// Remove a saved host
#[derive(Args)]
pub(super) struct RemoveHost {
    /// Name of the saved host
    name: String,
}

impl HostCommand {
    pub(super) fn run(self, mut privilege: Privilege) -> Result<(), Error> {
        if let Self::Refresh(refresh) = &self {
            refresh.detach();
        }
        privilege.become_caller()?;
        privilege.give_up()?;
        match self {
            Self::Add(add) => add.run(),
            Self::List(list) => list.run(),
            Self::Remove(remove) => remove.run(),
            Self::Refresh(refresh) => refresh.run(),
            Self::Clean(clean) => clean.run(),
        }
    }
}

impl RemoveHost {
    fn run(&self) -> Result<(), Error> {
        SavedHosts::update(|hosts| hosts.remove(&self.name))?;
        self.name.parse().iter().for_each(CachedHost::remove);
        Ok(())
    }
}
