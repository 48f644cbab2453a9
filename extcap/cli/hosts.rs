//! Other hosts, as people name them.

use clap::Args;
use containerdump::error::Error;
use containerdump::saved_hosts as saved;
use containerdump::ssh::{Asking, Connection, Gain, Host, Notice, Terms};

#[derive(Args)]
pub(super) struct Hosts {
    /// Containers of another host, by ssh: HOST, USER@HOST or USER@HOST:PORT, what ~/.ssh/config knows, or one that
    /// was saved (containerdump host add); may be repeated
    #[arg(long, value_name = "HOST")]
    host: Vec<Host>,

    /// Run containerdump there as root, by sudo -n
    #[arg(long, requires = "host", conflicts_with = "doas")]
    sudo: bool,

    /// Run containerdump there as root, by doas -n
    #[arg(long, requires = "host")]
    doas: bool,

    /// Do not send containerdump to a host where it is not installed
    #[arg(long, requires = "host")]
    no_send: bool,
    /// Who may be asked for what connecting needs
    #[arg(skip)]
    asking: Asking,
}

impl Hosts {
    /// Whether whoever named them sits at the terminal, if there is one.
    pub(super) fn are_at_terminal(&self) -> bool {
        self.asking == Asking::AtTerminal
    }

    /// A single one.
    pub(super) fn one(host: Host, gain: Gain, asking: Asking) -> Self {
        Self { host: vec![host], sudo: gain == Gain::Sudo, doas: gain == Gain::Doas, asking, no_send: false }
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.host.is_empty()
    }

    /// What stands before the program there.
    pub(super) fn before(&self) -> &'static str {
        match (self.sudo, self.doas) {
            (true, _) => Gain::Sudo.before(),
            (_, true) => Gain::Doas.before(),
            _ => Gain::Nothing.before(),
        }
    }

    /// A connection to each, not open yet, which tells what goes on by `tell`.
    ///
    /// Fails when saved ones cannot be read, one is named twice, or there is no place for a socket.
    pub(super) fn connections(&self, tell: fn(&Host, &Notice)) -> Result<Vec<Connection>, Error> {
        let saved =
            if self.host.iter().any(Host::is_bare) { saved::Hosts::read()? } else { saved::Hosts::default() };
        let mut hosts: Vec<Host> =
            self.host.iter().map(|host| saved.meant(host)).collect::<Result<_, _>>()?;
        Host::distinguish(&mut hosts);
        for (at, host) in hosts.iter().enumerate() {
            if hosts[..at].iter().any(|other| other.label() == host.label()) {
                return Err(Error::new(
                    format!("cannot tell hosts apart: {} is named twice", host.label()),
                    "name each host once",
                ));
            }
        }
        let terms = Terms { may_send: !self.no_send, asking: self.asking, tell };
        hosts.iter().map(|host| Connection::under(host, terms)).collect()
    }
}
