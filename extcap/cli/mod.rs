//! The command line: one file for each command.

mod capture;
mod host;
mod host_args;
mod installer;
mod list;
mod notices;
mod progress;
mod remote_target;
mod serve;
mod ssh;
mod table;
mod tap;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use containerdump::broker;
use containerdump::error::Error;
use containerdump::privilege::Privilege;

pub(crate) use host::BACKGROUND_FLAG;
pub(crate) use list::containers_from_json;
pub(crate) use progress::report_drops;
pub(crate) use remote_target::RemoteTarget;

/// Every running container as a capture interface.
///
/// In Wireshark, containers are in the list of interfaces: double-click one. On the command line,
/// list shows them, and capture writes their packets in both directions to a file or a pipe.
/// Docker is found through DOCKER_HOST or Docker's current context, or else at /var/run/docker.sock and
/// in XDG_RUNTIME_DIR; Podman through CONTAINER_HOST, or else at /run/podman/podman.sock and in
/// XDG_RUNTIME_DIR. Other network namespaces (LXC, ip netns) are found through the kernel.
/// CONTAINERDUMP_ENGINES=docker,podman,netns restricts where containers are looked for.
#[derive(Parser)]
#[command(
    version,
    about,
    max_term_width = 100,
    after_help = "\
Examples:
  containerdump list
  containerdump capture web
  containerdump capture web db -f 'tcp port 5432' -w both.pcapng
  containerdump capture web -w - | tshark -r - -Y http.request
  containerdump capture web -b filesize:100000 -b files:5 -w ring.pcapng
  containerdump list --host ann@build1
  containerdump capture --host ann@build1 web -w web.pcapng
  containerdump host add build1 ann@192.0.2.7:2222

To find out why something does not work: containerdump doctor"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    List(list::ListArgs),
    Capture(Box<capture::CaptureArgs>),
    #[command(subcommand)]
    Host(host::HostCommand),
    /// Check everything that a capture needs, and show remedies for what is missing
    Doctor(installer::InstallerArgs),
    /// Install containerdump as an extcap program of Wireshark, with the right to capture
    Install(installer::InstallerArgs),
    /// Remove what install has installed
    Uninstall(installer::InstallerArgs),
    #[command(hide = true)]
    Tap(Box<tap::TapArgs>),
    #[command(hide = true)]
    Serve(serve::ServeArgs),
    #[command(hide = true)]
    Ssh(ssh::SshExec),
    /// Open taps for the capture at the other end of standard input
    #[command(hide = true)]
    Broker,
}

/// The command line, for comparison with the extcap options.
#[cfg(test)]
pub(crate) fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// Runs the command.
pub(crate) fn run(privilege: Result<Privilege, Error>) -> ExitCode {
    let cli = Cli::parse();
    // Other programs read these errors line by line.
    let separator = if matches!(cli.command, Command::Tap(_) | Command::Serve(_)) { " " } else { "\n" };
    let outcome = privilege.and_then(|privilege| match cli.command {
        Command::List(list) => list.run(privilege),
        Command::Capture(capture) => capture.run(privilege),
        Command::Host(host) => host.run(privilege),
        Command::Doctor(arguments) => arguments.refuse("doctor"),
        Command::Install(arguments) => arguments.refuse("install"),
        Command::Uninstall(arguments) => arguments.refuse("uninstall"),
        Command::Tap(tap) => tap.run(privilege),
        Command::Serve(serve) => serve.run(privilege),
        Command::Ssh(ssh) => ssh.run(privilege),
        Command::Broker => broker::serve(privilege),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = error.to_string().replacen('\n', separator, 1);
            let _ = writeln!(io::stderr(), "containerdump: {text}");
            ExitCode::FAILURE
        }
    }
}
