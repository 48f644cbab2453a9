//! `containerdump host list`.

use std::io::{self, Write as _};

use clap::Args;
use containerdump::error::Error;
use containerdump::safe_text::SafeText;
use containerdump::saved_hosts::{SavedHost, SavedHostName, SavedHosts};
use serde_json::json;

use crate::cli::table::{Column, render};

/// List saved hosts
#[derive(Args)]
pub(in crate::cli) struct ListHosts {
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
}

impl ListHosts {
    pub(super) fn run(&self) -> Result<(), Error> {
        let hosts = SavedHosts::read()?;
        let text = if self.json { json_lines(&hosts) } else { table(&hosts) };
        // A closed pipe is a normal end.
        let _ = io::stdout().write_all(text.as_bytes());
        Ok(())
    }
}

/// A saved host by its name.
type NamedHost<'a> = (&'a SavedHostName, &'a SavedHost);

fn table(hosts: &SavedHosts) -> String {
    let columns: [Column<NamedHost>; 4] = [
        Column::new("NAME", |(name, _)| name.to_string()),
        Column::new("ADDRESS", |(_, saved)| saved.host.address()),
        Column::new("PRIVILEGE", |(_, saved)| saved.elevation.to_string()),
        Column::new("KEY", |(_, saved)| {
            let key = saved.key.as_ref().map(|key| SafeText::with_limit(&key.display().to_string(), 200));
            key.map_or("-".to_owned(), |key| key.to_string())
        }),
    ];
    render(&columns, &hosts.iter().collect::<Vec<_>>(), None).text
}

fn json_lines(hosts: &SavedHosts) -> String {
    let line = |(name, saved): (&SavedHostName, &SavedHost)| {
        let SavedHost { host, elevation, key } = saved;
        let object = json!({
            "name": name.as_str(), "address": host.address(), "privilege": elevation, "key": key,
        });
        format!("{object}\n")
    };
    hosts.iter().map(line).collect()
}
