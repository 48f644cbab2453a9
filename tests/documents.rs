//! Documents match the program: links lead to files, commands are accepted, and quoted output is that of the program.
//!
//! Blocks marked `console` are run with the engine of `make test` (`CONTAINERDUMP_LAB`). Without it, or without root, those
//! tests are skipped; with `CI=true` they fail.

mod support;

mod documents {
    pub(crate) mod commands;
    pub(crate) mod links;
    pub(crate) mod list_json;
    pub(crate) mod markdown;
    pub(crate) mod messages;
    pub(crate) mod runnable;
    pub(crate) mod shop;
}

use std::path::Path;

use libtest_mimic::{Arguments, Failed, Trial};

use documents::markdown::Page;
use documents::{commands, links, list_json, messages, runnable};
use support::harness::{explain, in_ci};
use support::lab::Lab;

/// A test of documents, which returns what is wrong.
type PageTest = (&'static str, fn(&[Page]) -> Vec<String>);
/// The same with an engine.
type EngineTest = (&'static str, fn(&[Page], &Lab) -> Vec<String>);

/// The root of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Fails with all `complaints`, if any.
fn without(complaints: &[String]) -> Result<(), Failed> {
    if complaints.is_empty() { Ok(()) } else { Err(complaints.join("\n").into()) }
}

/// The concatenated files below a folder whose names end with `ending`.
fn sources(folder: &str, ending: &str) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(root().join(folder)).expect("a folder").flatten() {
        let path = entry.path();
        let below = path.strip_prefix(root()).expect("a path of the repository").to_string_lossy();
        if path.is_dir() {
            text += &sources(&below, ending);
        } else if below.ends_with(ending) {
            text += &std::fs::read_to_string(&path).expect("text");
        }
    }
    text
}

fn main() {
    let arguments = Arguments::from_args();
    let pages = Page::all();
    let lab = Lab::find();
    explain("commands that need an engine", &lab);
    let mut trials = Vec::new();
    for (name, test) in [links::TESTS, commands::TESTS, messages::TESTS, list_json::TESTS].concat() {
        let pages = pages.clone();
        trials.push(Trial::test(name, move || without(&test(&pages))));
    }
    for (name, test) in [list_json::TESTS_WITH_ENGINE, runnable::TESTS].concat() {
        let (pages, lab) = (pages.clone(), lab.clone());
        let ignored = lab.is_err() && !in_ci();
        let run = move || without(&test(&pages, &lab.map_err(Failed::from)?));
        trials.push(Trial::test(name, run).with_ignored_flag(ignored));
    }
    libtest_mimic::run(&arguments, trials).exit();
}
