//! `containerdump host list`.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use clap::Args;
use containerdump::error::Error;
use containerdump::safe_text::SafeText;
use containerdump::saved_hosts::{SavedHost, SavedHostName, SavedHosts};
use serde_json::json;

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

fn table(hosts: &SavedHosts) -> String {
    let row = |(name, saved): (&SavedHostName, &SavedHost)| {
        let SavedHost { host, elevation, key } = saved;
        let key = key.as_ref().map(|key| SafeText::with_limit(&key.display().to_string(), 200).to_string());
        [name.to_string(), host.address(), elevation.to_string(), key.unwrap_or("-".to_owned())]
    };
    let head = ["NAME", "ADDRESS", "PRIVILEGE", "KEY"].map(str::to_owned);
    let rows: Vec<[String; 4]> = std::iter::once(head).chain(hosts.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let mut text = String::new();
    for [name, address, elevation, key] in &rows {
        let [first, second, third] = widths;
        let _ = writeln!(text, "{name:first$}  {address:second$}  {elevation:third$}  {key}");
    }
    text
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
