//! Command lines in documents are accepted by their programs.

use std::process::Command;

use crate::support::harness::tests;
use crate::support::lab::output;
use crate::{Page, PageTest, root, sources};

pub(crate) const TESTS: &[PageTest] = tests![
    every_command_line_is_accepted_by_its_program,
    every_example_in_the_help_is_accepted,
    every_named_make_target_exists,
    every_block_of_the_readme_is_run_by_a_test,
    an_invalid_command_line_is_detected,
];

fn every_command_line_is_accepted_by_its_program(pages: &[Page]) -> Vec<String> {
    commands(pages)
        .iter()
        .filter_map(|(page, words)| Some(format!("{page}: {}: {}", words.join(" "), objection(words)?)))
        .collect()
}

fn every_example_in_the_help_is_accepted(_: &[Page]) -> Vec<String> {
    let mut examples = Vec::new();
    for arguments in [&["--help"][..], &["list", "--help"], &["capture", "--help"], &["tap", "--help"]] {
        let help = output(Command::new(env!("CARGO_BIN_EXE_containerdump")).args(arguments));
        let (_, after) = help.split_once("Examples:\n").expect("examples");
        let lines = after.lines().map_while(|line| line.strip_prefix("  "));
        examples.extend(lines.flat_map(simple_commands));
    }
    assert!(examples.len() > 10, "hardly any example was found");
    examples.iter().filter_map(|words| Some(format!("{}: {}", words.join(" "), objection(words)?))).collect()
}

fn every_named_make_target_exists(pages: &[Page]) -> Vec<String> {
    let makefile = std::fs::read_to_string(root().join("Makefile")).expect("the Makefile");
    let is_rule = |line: &&str| line.starts_with(|first: char| first.is_ascii_lowercase());
    let rules = makefile.lines().filter(is_rule).filter_map(|line| line.split_once(':'));
    let goals: Vec<&str> = rules.flat_map(|(goals, _)| goals.split(' ')).collect();
    commands(pages)
        .iter()
        .filter(|(_, words)| words[0] == "make")
        .flat_map(|(page, words)| words[1..].iter().map(move |goal| (page, goal)))
        // `PART=…` is a variable.
        .filter(|(_, goal)| !goal.contains('=') && !goals.contains(&goal.as_str()))
        .map(|(page, goal)| format!("{page}: there is no make {goal}"))
        .collect()
}

/// Blocks marked `console` are run by `runnable`, those marked `sh` on a bare Debian (tests/real/regressions/readme_install.rs).
fn every_block_of_the_readme_is_run_by_a_test(pages: &[Page]) -> Vec<String> {
    let blocks = &Page::find(pages, "README.md").blocks;
    let others = blocks.iter().filter(|block| !["console", "sh"].contains(&block.kind.as_str()));
    others.map(|block| format!("README.md: no test runs a block marked {:?}", block.kind)).collect()
}

fn an_invalid_command_line_is_detected(_: &[Page]) -> Vec<String> {
    [
        "containerdump lst",
        "containerdump list --jsn",
        "containerdump capture web -a size:3",
        "containerdump capture web -s 262145",
        "containerdump --extcap-interfaces --extcap-nonsense",
        "sudo containerdump uninstall --sur",
    ]
    .iter()
    .filter(|line| simple_commands(line).iter().all(|words| objection(words).is_none()))
    .map(|line| format!("this passes: {line}"))
    .collect()
}

/// All commands in blocks and between backticks, with their page.
fn commands(pages: &[Page]) -> Vec<(String, Vec<String>)> {
    let mut commands = Vec::new();
    for page in pages {
        // With `…` it is a message.
        let mut lines: Vec<&str> = page.spans().into_iter().filter(|span| !span.contains('…')).collect();
        for block in &page.blocks {
            match block.kind.as_str() {
                "console" => lines.extend(block.lines.iter().filter_map(|line| line.strip_prefix("$ "))),
                "sh" | "" => lines.extend(block.lines.iter().map(String::as_str)),
                _ => {}
            }
        }
        let simple = lines.into_iter().flat_map(simple_commands);
        commands.extend(simple.map(|words| (page.path.clone(), words)));
    }
    assert!(commands.len() > 20, "hardly any command was found");
    commands
}

/// The commands of a shell line, without `sudo`, variables and redirections.
fn simple_commands(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![vec![String::new()]];
    let mut quote = None;
    for one in line.chars() {
        let words = commands.last_mut().expect("a command");
        let word = words.last_mut().expect("a word");
        match (one, quote) {
            (_, Some(open)) if one == open => quote = None,
            ('\'' | '"', None) => quote = Some(one),
            ('#', None) if word.is_empty() => break,
            (' ', None) => words.push(String::new()),
            ('|' | ';' | '&' | '>', None) => commands.push(vec![String::new()]),
            _ => word.push(one),
        }
    }
    let before = |word: &String| word == "sudo" || word.contains('=') && !word.starts_with('-');
    let trimmed = commands.into_iter().map(|words| {
        let words = words.into_iter().filter(|word| !word.is_empty());
        words.skip_while(before).collect::<Vec<String>>()
    });
    trimmed.filter(|words| !words.is_empty()).collect()
}

/// The error of the program for its arguments, if any.
fn objection(words: &[String]) -> Option<String> {
    let command = words.get(1).map(String::as_str);
    let program = match words[0].as_str() {
        // The installed command passes these to the installer.
        "containerdump" if matches!(command, Some("install" | "uninstall" | "doctor")) => {
            env!("CARGO_BIN_EXE_containerdump-install")
        }
        "containerdump" => env!("CARGO_BIN_EXE_containerdump"),
        "containerdump-install" => env!("CARGO_BIN_EXE_containerdump-install"),
        _ => return None,
    };
    if words.iter().any(|word| word.starts_with("--extcap-")) {
        // Extcap calls accept unknown options.
        let known = sources("extcap/wireshark", ".rs");
        let unknown =
            words.iter().find(|word| word.starts_with("--") && !known.contains(&format!("\"{word}\"")));
        return unknown.map(|word| format!("{word} is not known"));
    }
    // With --help, errors before it are reported first.
    let output = Command::new(program).args(&words[1..]).arg("--help").output().expect("the program");
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}
