//! `containerdump host refresh`: what runs on saved hosts, for Wireshark's list.

use std::fs;
use std::io::{self, Write as _};

use clap::Args;
use containerdump::error::Error;
use containerdump::saved_hosts::{self, Hosts, Known, Name, Saved};
use containerdump::ssh::{Asking, Gain};

use super::{There, list};

/// The option by which Wireshark's list starts it, with nobody watching.
pub(crate) const BACKGROUND: &str = "--background";

/// Ask saved hosts what runs there, for Wireshark's list, which has them asked by itself, too
#[derive(Args)]
pub(super) struct Refresh {
    /// Which; all where none is named
    name: Option<String>,

    /// Those whose answer is old, without a word, and asking nobody; for Wireshark's list
    #[arg(long, hide = true, conflicts_with = "name")]
    background: bool,
}

impl Refresh {
    /// In the background: leaves the session of whoever started it, and whatever else it was given. Wireshark waits
    /// until nobody has its pipes any more.
    pub(super) fn leave(&self) {
        if !self.background {
            return;
        }
        // A leader of a group cannot, and was started by a shell.
        let _ = nix::unistd::setsid();
        let open = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
        let numbers: Vec<i32> = open.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        for number in numbers.into_iter().filter(|number| *number > 2) {
            // The one of the folder is closed already.
            let _ = nix::unistd::close(number);
        }
    }

    pub(super) fn run(self) -> Result<(), Error> {
        let saved = Hosts::read()?;
        if self.background {
            in_background(&saved);
            return Ok(());
        }
        let asked: Vec<(&Name, &Saved)> = match &self.name {
            Some(name) => vec![saved.named(name)?],
            None => saved.iter().collect(),
        };
        let mut last = None;
        for (name, saved) in asked {
            match refresh(name, saved, Asking::AtTerminal) {
                Ok(count) => {
                    let many = if count == 1 { "" } else { "s" };
                    // A reader who has left does not want the rest.
                    let _ = writeln!(io::stdout(), "{name}: {count} container{many}");
                }
                Err(trouble) => {
                    if let Some(before) = last.replace(trouble) {
                        let _ = writeln!(io::stderr(), "containerdump: {before}");
                    }
                }
            }
        }
        last.map_or(Ok(()), Err)
    }
}

/// Asks all whose answer is old at the same time. There is nobody to tell of a trouble.
fn in_background(saved: &Hosts) {
    // Another does already, or nothing could be kept.
    let Ok(_alone) = saved_hosts::alone() else { return };
    std::thread::scope(|scope| {
        let is_stale =
            |(name, saved): &(&Name, &Saved)| Known::of(name, saved).is_none_or(|known| known.is_stale());
        for (name, saved) in saved.iter().filter(is_stale) {
            let ask = move || drop(refresh(name, saved, Asking::Nobody));
            // What finds no thread is asked another time.
            let _ = std::thread::Builder::new().spawn_scoped(scope, ask);
        }
    });
}

/// Asks a host, and keeps its answer, or why there is none. Tells how many containers run there.
fn refresh(name: &Name, saved: &Saved, asking: Asking) -> Result<usize, Error> {
    let cannot = |error: io::Error| {
        Error::new(
            format!("cannot keep what runs on {name}: {error}"),
            "see that ~/.cache/containerdump is yours and has room",
        )
    };
    let host = saved.called(name)?;
    let label = host.label();
    match (There { host, gain: Gain::default() }).list(asking) {
        Ok(lines) => {
            let kept = list::to_keep(&label, &lines);
            Known::keep(name, saved, Ok(&kept)).map_err(cannot)?;
            Ok(kept.lines().count())
        }
        Err(trouble) => {
            Known::keep(name, saved, Err(trouble.message())).map_err(cannot)?;
            Err(trouble)
        }
    }
}
