//! What can be asked of the installer.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Puts containerdump where Wireshark looks, takes it away, and finds out why it does not work.
#[derive(Debug, Parser)]
#[command(name = "containerdump-install", version)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) task: Task,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Put the program where Wireshark looks, with the right to capture (needs root)
    Install(Install),
    /// Remove what install put there
    Uninstall(Uninstall),
    /// Check everything a capture needs, and name the remedy for what is missing
    Doctor(Doctor),
}

/// Options of `install`.
#[derive(Args, Debug)]
pub(crate) struct Install {
    /// Only for yourself, without the right to capture, into your personal Wireshark folder
    #[arg(long)]
    pub(crate) user: bool,
    /// The containerdump program to install [default: the one beside this installer]
    #[arg(long, value_name = "PATH")]
    pub(crate) program: Option<PathBuf>,
    /// Group whose members may capture [default: wireshark, which is made where it is missing]
    #[arg(long, value_name = "NAME", conflicts_with = "user")]
    pub(crate) group: Option<String>,
    /// Leave out Wireshark's profile Containers: names, a column for the container, colours by direction
    #[arg(long)]
    pub(crate) no_profile: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Install below this folder, for packages
    #[arg(long, value_name = "DIR", hide = true, conflicts_with = "user")]
    pub(crate) root: Option<PathBuf>,
}

/// Options of `uninstall`.
#[derive(Args, Debug)]
pub(crate) struct Uninstall {
    /// Take away what `install --user` put into your own folders
    #[arg(long)]
    pub(crate) user: bool,
    /// Show what would be taken away, and take nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Uninstall below this folder
    #[arg(long, value_name = "DIR", hide = true, conflicts_with = "user")]
    pub(crate) root: Option<PathBuf>,
}

/// Options of `doctor`.
#[derive(Args, Debug)]
pub(crate) struct Doctor {
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}
