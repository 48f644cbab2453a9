//! `containerdump host`: hosts under names of one's own.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use containerdump::error::Error;
use containerdump::privilege::Privilege;
use containerdump::safe_text::SafeText;
use containerdump::saved_hosts::{Found, Hosts, Known, Name, Saved, Source, found};
use containerdump::ssh::{self, Gain, Way};
use serde_json::json;

use super::refresh::Refresh;

/// Save hosts under names of your own, for --host and Wireshark
#[derive(Subcommand)]
pub(super) enum Host {
    Add(Add),
    List(List),
    Remove(Remove),
    Refresh(Refresh),
}

/// Save a host
#[derive(Args)]
#[command(after_help = "\
Examples:
  containerdump host add build1 ann@192.0.2.7:2222
  containerdump host add build1                  # as ~/.ssh/config knows it
  containerdump host add build1 ann@build1 --sudo
  containerdump host add --from ssh-config       # all that it names

--from saves what is there now: entries of ~/.ssh/config, and of files that it includes, that
are no patterns; Docker's contexts and Podman's connections with an ssh:// address.")]
pub(super) struct Add {
    /// What it is called
    #[arg(required_unless_present = "from")]
    name: Option<Name>,

    /// Where it is: HOST, USER@HOST or USER@HOST:PORT, or what ~/.ssh/config knows [default: NAME]
    #[arg(value_name = "ADDRESS")]
    address: Option<ssh::Host>,

    /// Run containerdump there as root, by sudo -n
    #[arg(long, conflicts_with_all = ["doas", "from"])]
    sudo: bool,

    /// Run containerdump there as root, by doas -n
    #[arg(long, conflicts_with = "from")]
    doas: bool,

    /// The private key to log in with, and no other of an agent
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    key: Option<PathBuf>,

    /// Save all that another program knows
    #[arg(long, value_name = "WHERE", conflicts_with = "name", value_parser = Source::ALL.map(Source::word))]
    from: Option<String>,
}

/// Show saved hosts
#[derive(Args)]
pub(super) struct List {
    /// Print one JSON object per host and line
    #[arg(long)]
    json: bool,
}

/// Forget a saved host
#[derive(Args)]
pub(super) struct Remove {
    /// What it is called
    name: String,
}

impl Host {
    pub(super) fn run(self, mut privilege: Privilege) -> Result<(), Error> {
        if let Self::Refresh(refresh) = &self {
            refresh.leave();
        }
        privilege.become_caller()?;
        privilege.give_up()?;
        match self {
            Self::Add(add) => add.run(),
            Self::List(list) => {
                let hosts = Hosts::read()?;
                print(&if list.json { lines(&hosts) } else { table(&hosts) });
                Ok(())
            }
            Self::Remove(remove) => {
                Hosts::change(|hosts| hosts.remove(&remove.name))?;
                remove.name.parse().iter().for_each(Known::forget);
                Ok(())
            }
            Self::Refresh(refresh) => refresh.run(),
        }
    }
}

impl Add {
    fn run(self) -> Result<(), Error> {
        let source =
            self.from.as_deref().and_then(|word| Source::ALL.into_iter().find(|one| one.word() == word));
        if let Some(source) = source {
            return add_all(source);
        }
        // The parser has seen to it that there is one.
        let Some(name) = self.name else { return Ok(()) };
        let host = match self.address {
            Some(host) => host,
            None => name.as_str().parse().map_err(|why| {
                Error::new(
                    format!("cannot save host {name}: {why}"),
                    format!("say where it is: containerdump host add {name} ADDRESS"),
                )
            })?,
        };
        let gain = match (self.sudo, self.doas) {
            (true, _) => Gain::Sudo,
            (_, true) => Gain::Doas,
            _ => Gain::Nothing,
        };
        let key = self.key.map(|key| std::path::absolute(&key).unwrap_or(key));
        // Said now rather than when it is used.
        Way::new(key.as_deref(), None)?;
        let saved = Saved { host, gain, key };
        saved.check_key().map_err(|why| {
            Error::new(
                format!("cannot save host {name}: {why}"),
                "name a private key file that you may read: --key FILE",
            )
        })?;
        Hosts::change(|hosts| hosts.add(name, saved))
    }
}

/// Saves all that `source` knows, and says which, and why the others are not.
fn add_all(source: Source) -> Result<(), Error> {
    let all = found(source)?;
    let mut said = String::new();
    Hosts::change(|hosts| {
        for Found { name, saved } in all {
            let shown = SafeText::new(&name);
            // Writing to a string cannot fail.
            let _ = match add_one(hosts, &name, saved) {
                Ok(address) => writeln!(said, "{shown}: {address}"),
                Err(why) => writeln!(said, "{shown}: not saved ({why})"),
            };
        }
        Ok(())
    })?;
    if said.is_empty() {
        return Err(Error::new(
            format!("cannot save hosts of {}: it names none that ssh leads to", source.word()),
            "name one: containerdump host add NAME ADDRESS",
        ));
    }
    print(&said);
    Ok(())
}

fn add_one(hosts: &mut Hosts, name: &str, saved: Result<Saved, String>) -> Result<String, SafeText> {
    let as_label = |why: String| SafeText::with_limit(&why, 200);
    let saved = saved.map_err(as_label)?;
    let name: Name = name.parse().map_err(as_label)?;
    if hosts.named(name.as_str()).is_ok() {
        return Err(as_label("it is saved already".to_owned()));
    }
    Way::new(saved.key.as_deref(), None).map_err(|trouble| trouble.message().clone())?;
    saved.check_key().map_err(as_label)?;
    let address = saved.host.address();
    hosts.add(name, saved).map_err(|trouble| trouble.message().clone())?;
    Ok(address)
}

fn table(hosts: &Hosts) -> String {
    let row = |(name, saved): (&Name, &Saved)| {
        let key =
            saved.key.as_ref().map(|key| SafeText::with_limit(&key.display().to_string(), 200).to_string());
        [name.to_string(), saved.host.address(), saved.gain.word().to_owned(), key.unwrap_or("-".to_owned())]
    };
    let head = ["NAME", "ADDRESS", "PRIVILEGE", "KEY"].map(str::to_owned);
    let rows: Vec<[String; 4]> = std::iter::once(head).chain(hosts.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let mut text = String::new();
    for [name, address, gain, key] in &rows {
        let _ = writeln!(text, "{name:0$}  {address:1$}  {gain:2$}  {key}", widths[0], widths[1], widths[2]);
    }
    text
}

fn lines(hosts: &Hosts) -> String {
    let line = |(name, saved): (&Name, &Saved)| {
        let address = saved.host.address();
        let object = json!({
            "name": name.as_str(), "address": address, "privilege": saved.gain.word(), "key": saved.key,
        });
        format!("{object}\n")
    };
    hosts.iter().map(line).collect()
}

fn print(text: &str) {
    // A reader who has left does not want the rest.
    let _ = io::stdout().write_all(text.as_bytes());
}
