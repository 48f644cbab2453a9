//! The commands of the README and of the analyst guide on a bare Debian, word for word.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::Trial;

use crate::support::harness::{explain, tests, trial};
use crate::support::lab::Lab;

/// The test needs a bare Debian and a libpcap to link, which `make test` prepares with a network.
pub(crate) fn trials(lab: &Result<Lab, String>) -> Vec<Trial> {
    let tests: &[(&str, fn())] = tests![every_command_of_the_documents_works_on_a_bare_debian];
    let needed = ["target/bare/made", "target/static/libpcap/made"];
    let missing = needed.into_iter().find(|path| !source().join(path).exists());
    let prepared = missing.map_or(Ok(()), |path| Err(format!("no {path}: run make test")));
    explain("commands of the documents on a bare Debian", &prepared);
    let need = prepared.and(lab.clone());
    tests.iter().map(|&(name, test)| trial(name, need.clone(), move |_| test())).collect()
}

/// It runs this test, and so it has been run.
const RUN_BY_US: &str = "make test";
/// Sections whose commands end by themselves and depend on each other. All others begin captures.
const SCRIPTS: [&str; 2] = ["Install", "Two commands"];

fn every_command_of_the_documents_works_on_a_bare_debian() {
    // The symptoms: usermod: group 'wireshark' does not exist; containerdump-install: command not found.
    let folder = tempfile::tempdir().expect("a folder");
    let pages = ["README.md", "docs/analyst-guide.md"];
    let texts = pages.map(|page| fs::read_to_string(source().join(page)).expect("a document"));
    let blocks = texts.iter().flat_map(|text| shell_blocks(text));
    let (install, others): (Vec<_>, Vec<_>) = blocks.partition(|block| block.section == "Install");
    assert!(!install.is_empty() && others.len() > 3, "hardly any command was found");
    let check = ShellBlock {
        section: "Install".to_owned(),
        lines: ["tshark -D", "tshark -i docker-web -c 4"].map(str::to_owned).to_vec(),
    };
    for (number, block) in install.iter().chain([&check]).chain(&others).enumerate() {
        let kind = if SCRIPTS.contains(&block.section.as_str()) { "sh" } else { "lines" };
        let text = block.lines.join("\n") + "\n";
        fs::write(folder.path().join(format!("{}.{kind}", number + 1)), text).expect("a file");
    }
    let ended = Command::new(source().join("tests/lab/bare-debian"))
        .arg("run")
        .arg(folder.path())
        .output()
        .expect("the script");
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(ended.status.success(), "{said}\n{}", String::from_utf8_lossy(&ended.stderr));
    for part in ["No problems found.", " docker-web (", "4 packets captured", "nothing is left"] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
}

/// Commands of a block marked `sh`, and the heading above it.
struct ShellBlock {
    section: String,
    lines: Vec<String>,
}

/// All blocks marked `sh`. Those marked `console` are run by tests/documents.
fn shell_blocks(text: &str) -> Vec<ShellBlock> {
    let mut blocks: Vec<ShellBlock> = Vec::new();
    let (mut section, mut within) = ("", false);
    for line in text.lines() {
        match line.strip_prefix("## ") {
            Some(heading) if !within => section = heading,
            _ => {}
        }
        match line.trim_start() {
            "```sh" => {
                within = true;
                blocks.push(ShellBlock { section: section.to_owned(), lines: Vec::new() });
            }
            "```" => within = false,
            command if within && !command.is_empty() && !command.starts_with(RUN_BY_US) => {
                blocks.last_mut().expect("a block").lines.push(command.to_owned());
            }
            _ => {}
        }
    }
    blocks
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
