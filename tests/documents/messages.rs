//! Messages explained in documents are those of the program.

use containerdump::error::Error;
use regex::Regex;

use crate::support::harness::tests;
use crate::{Page, PageTest, sources};

pub(crate) const TESTS: &[PageTest] = tests![
    every_explained_message_is_one_of_the_program,
    the_documented_word_before_a_remedy_is_that_of_the_program,
];

const PAGE: &str = "docs/troubleshooting.md";
/// Shorter parts are not significant.
const SHORTEST: usize = 8;

fn every_explained_message_is_one_of_the_program(pages: &[Page]) -> Vec<String> {
    let code = code();
    let explained = explained(pages);
    assert!(explained.len() > 20, "hardly any message was found");
    explained
        .iter()
        .flat_map(|message| pieces(message).into_iter().map(move |piece| (message, piece)))
        .filter(|(_, piece)| !code.contains(piece))
        .map(|(message, piece)| format!("{PAGE}: nothing says \"{piece}\" of \"{message}\""))
        .collect()
}

fn the_documented_word_before_a_remedy_is_that_of_the_program(pages: &[Page]) -> Vec<String> {
    let trouble = Error::new("what", "remedy").to_string();
    let word = trouble.lines().last().and_then(|line| line.strip_suffix(" remedy.")).expect("a remedy");
    let told = Page::find(pages, PAGE).spans().contains(&word);
    (!told).then(|| format!("{PAGE} does not tell of \"{word}\"")).into_iter().collect()
}

/// Messages in the first column of tables; `…` stands for variable text.
fn explained(pages: &[Page]) -> Vec<String> {
    let rows = Page::find(pages, PAGE).rows();
    let cells = rows.into_iter().map(|row| row[0]);
    cells.filter_map(|cell| Some(cell.strip_prefix('`')?.strip_suffix('`')?.to_owned())).collect()
}

/// The constant parts of a message.
fn pieces(message: &str) -> Vec<String> {
    let plain = message.replace('\\', "");
    let pieces = plain.split('…').map(|piece| piece.trim_matches([' ', '"', ':', ',', '.', ';']));
    pieces.filter(|piece| piece.len() >= SHORTEST).map(str::to_owned).collect()
}

/// The source of the program without tests, with continued strings joined.
fn code() -> String {
    let sources = ["src", "extcap", "installer"].map(|folder| sources(folder, ".rs")).concat();
    let tests = Regex::new(r"(?ms)^#\[cfg\(test\)\]\nmod tests \{.*?^\}").expect("an expression");
    let wrapped = Regex::new(r"\\\n\s*").expect("an expression");
    wrapped.replace_all(&tests.replace_all(&sources, ""), "").into_owned()
}
