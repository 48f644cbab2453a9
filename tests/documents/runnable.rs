//! Runs `console` blocks: lines after `$ ` are commands, the lines below their output. Numbers, ids and veth names may
//! differ; `…` matches anything.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

use regex::Regex;

use super::markdown::Block;
use super::shop::Shop;
use crate::support::harness::tests;
use crate::support::lab::{Lab, output};
use crate::{EngineTest, Page};

pub(crate) const TESTS: &[EngineTest] = tests![console_blocks_print_what_they_show];

fn console_blocks_print_what_they_show(pages: &[Page], lab: &Lab) -> Vec<String> {
    let _shop = Shop::start(lab);
    let mut complaints = Vec::new();
    let mut blocks = 0;
    for page in pages {
        let folder = tempfile::tempdir().expect("a folder");
        for block in page.blocks.iter().filter(|block| block.kind == "console") {
            blocks += 1;
            let printed = run(block, lab, folder.path());
            let printed: Vec<String> = printed.lines().map(masked).collect();
            let sample = block.lines.iter().filter(|line| !line.starts_with("$ "));
            for line in sample.filter(|line| !printed.iter().any(|it| is_like(it, &masked(line)))) {
                complaints.push(format!("{}: \"{line}\" is not in {printed:#?}", page.path));
            }
        }
    }
    assert!(blocks > 3, "hardly any block was found");
    complaints
}

/// Runs the commands of a block in one shell, in `folder`.
fn run(block: &Block, lab: &Lab, folder: &std::path::Path) -> String {
    let programs = folder.join("bin");
    if fs::create_dir(&programs).is_ok() {
        let own = [env!("CARGO_BIN_EXE_containerdump"), env!("CARGO_BIN_EXE_containerdump-install")];
        for (name, path) in ["containerdump", "containerdump-install"].iter().zip(own) {
            symlink(path, programs.join(name)).expect("a link");
        }
        // Run as root, where sudo may be missing.
        let sudo = programs.join("sudo");
        fs::write(&sudo, "#!/bin/sh\nexec \"$@\"\n").expect("a script");
        fs::set_permissions(&sudo, fs::Permissions::from_mode(0o755)).expect("its mode");
    }
    let commands = block.lines.iter().filter_map(|line| line.strip_prefix("$ "));
    let script: Vec<&str> = ["set -eu -o pipefail"].into_iter().chain(commands).collect();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("timeout");
    shell.args(["30", "bash", "-c", &script.join("\n")]).current_dir(folder);
    output(shell.env("PATH", format!("{}:{path}", programs.display())).env("DOCKER_HOST", &lab.endpoint))
}

/// A line without its variable parts.
fn masked(line: &str) -> String {
    let differs = Regex::new("veth[0-9a-f]{7}|[0-9a-f]{12,}|[0-9]+").expect("an expression");
    let blanks = Regex::new(r"\s+").expect("an expression");
    blanks.replace_all(&differs.replace_all(line, "#"), " ").trim().to_owned()
}

/// Whether `line` matches `sample`, in which `…` matches anything.
fn is_like(line: &str, sample: &str) -> bool {
    let parts: Vec<String> = sample.split('…').map(|part| regex::escape(part.trim())).collect();
    let whole = Regex::new(&format!("^{}$", parts.join(".*"))).expect("an expression");
    whole.is_match(line)
}
