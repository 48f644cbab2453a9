//! The commands of the installer and their options.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Installs and uninstalls containerdump, and checks what a capture needs.
#[derive(Debug, Parser)]
#[command(name = "containerdump-install", version)]
pub(crate) struct InstallerCli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: InstallerCommand,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum InstallerCommand {
    /// Install containerdump as an extcap program of Wireshark, with the right to capture (needs root)
    Install(InstallOptions),
    /// Remove what install has installed
    Uninstall(UninstallOptions),
    /// Check everything that a capture needs, and show remedies for what is missing
    Doctor(DoctorOptions),
}

/// Options of `install`.
#[derive(Args, Debug)]
pub(crate) struct InstallOptions {
    /// Install for yourself only, without the right to capture, into your personal Wireshark folder
    #[arg(long)]
    pub(crate) user: bool,
    /// The containerdump program to install [default: the one beside this installer]
    #[arg(long, value_name = "PATH")]
    pub(crate) program: Option<PathBuf>,
    /// Group whose members may capture [default: wireshark, created if missing]
    #[arg(long, value_name = "NAME", conflicts_with = "user")]
    pub(crate) group: Option<String>,
    /// Do not install the Wireshark profile Containers (names, container column, colours by direction)
    #[arg(long)]
    pub(crate) no_profile: bool,
    /// Show what would be done without doing it
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Install below this folder, for packages
    #[arg(long, value_name = "DIR", hide = true, conflicts_with = "user")]
    pub(crate) root: Option<PathBuf>,
}

/// Options of `uninstall`.
#[derive(Args, Debug)]
pub(crate) struct UninstallOptions {
    /// Remove what `install --user` installed in your own folders
    #[arg(long)]
    pub(crate) user: bool,
    /// Show what would be removed without removing it
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Uninstall below this folder
    #[arg(long, value_name = "DIR", hide = true, conflicts_with = "user")]
    pub(crate) root: Option<PathBuf>,
}

/// Options of `doctor`.
#[derive(Args, Debug)]
pub(crate) struct DoctorOptions {
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}
