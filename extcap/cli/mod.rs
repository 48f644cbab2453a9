//! The command line for people and scripts.

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
mod tap;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use containerdump::broker;
use containerdump::error::Error;
use containerdump::privilege::Privilege;

pub(crate) use host::BACKGROUND_FLAG;
pub(crate) use list::containers_of;
pub(crate) use progress::tell_losses;
pub(crate) use remote_target::RemoteTarget;

/// Every running container as a capture interface.
///
/// In Wireshark, containers stand in the list of interfaces: double-click one. On the command
/// line, list shows them and capture writes their packets, both directions, to a file or a pipe.
/// Engines are Docker, where DOCKER_HOST or Docker's context says, else at /var/run/docker.sock and in
/// XDG_RUNTIME_DIR, and Podman, where CONTAINER_HOST says, else at /run/podman/podman.sock and there.
/// What they do not tell of, the kernel shows: network namespaces of LXC, ip netns and others.
/// CONTAINERDUMP_ENGINES=docker,podman,netns says which of these are asked.
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

When something does not work: containerdump doctor"
)]
struct Cli {
    #[command(subcommand)]
    verb: Command,
}

#[derive(Subcommand)]
enum Command {
    List(list::ListArgs),
    Capture(Box<capture::CaptureArgs>),
    #[command(subcommand)]
    Host(host::HostCommand),
    /// Check everything a capture needs, and name the remedy for what is missing
    Doctor(installer::InstallerArgs),
    /// Put the program where Wireshark looks, with the right to capture
    Install(installer::InstallerArgs),
    /// Remove what install put there
    Uninstall(installer::InstallerArgs),
    #[command(hide = true)]
    Tap(Box<tap::TapArgs>),
    #[command(hide = true)]
    Far(serve::ServeArgs),
    #[command(hide = true)]
    Ssh(ssh::SshExec),
    /// Start taps for the capture at the other end of standard input
    #[command(hide = true)]
    Broker,
}

/// The command line, to compare the extcap options with.
#[cfg(test)]
pub(crate) fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// Does what was asked for.
pub(crate) fn run(privilege: Result<Privilege, Error>) -> ExitCode {
    let people = Cli::parse();
    // A program reads what a tap says, line by line.
    let gap = if matches!(people.verb, Command::Tap(_) | Command::Far(_)) { ' ' } else { '\n' };
    let outcome = privilege.and_then(|privilege| match people.verb {
        Command::List(list) => list.run(privilege),
        Command::Capture(capture) => capture.run(privilege),
        Command::Host(host) => host.run(privilege),
        Command::Doctor(arguments) => arguments.refuse("doctor"),
        Command::Install(arguments) => arguments.refuse("install"),
        Command::Uninstall(arguments) => arguments.refuse("uninstall"),
        Command::Tap(tap) => tap.run(privilege),
        Command::Far(far) => far.run(privilege),
        Command::Ssh(ssh) => ssh.run(privilege),
        Command::Broker => broker::serve(privilege),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            let said = trouble.to_string().replacen('\n', &gap.to_string(), 1);
            let _ = writeln!(io::stderr(), "containerdump: {said}");
            ExitCode::FAILURE
        }
    }
}
