//! A port of Wireshark's `extcap_parser.c`, which is the same from 4.0 to 4.6.

mod tests;

use std::sync::LazyLock;

use regex::Regex;

/// `^[\t| ]*(arg|value|interface|extcap|dlt|control)(?=[\t| ]+\{)`, without regard to case.
static KEYWORD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)^([\t| ]*(?:arg|value|interface|extcap|dlt|control))[\t| ]+\{").expect("a pattern")
});
/// How `\{([a-zA-Z_-]*?)\=(.*?)\}(?=\{|$|\s)` begins; its look-ahead is [`end_of_value`].
static KEY: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\{([a-zA-Z_-]*)=").expect("a pattern"));
/// `EXTCAP_BOOLEAN_REGEX`.
static TRUTH: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?i)^.*([yt1-9])").expect("a pattern"));

/// Argument types known to 4.0; others are dropped.
const TYPES: [&str; 13] = [
    "integer",
    "unsigned",
    "long",
    "double",
    "string",
    "password",
    "boolean",
    "boolflag",
    "selector",
    "radio",
    "multicheck",
    "fileselect",
    "timestamp",
];

/// A sentence as Wireshark has it after reading: keys in lower case, in their order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sentence {
    pub(crate) keyword: String,
    pub(crate) parameters: Vec<(String, String)>,
}

impl Sentence {
    /// The value of `key`; of a repeated key the last.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.parameters.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    pub(crate) fn keys(&self) -> Vec<&str> {
        self.parameters.iter().map(|(key, _)| key.as_str()).collect()
    }
}

/// Reads all lines; others are skipped.
pub(crate) fn sentences(printed: &[u8]) -> Vec<Sentence> {
    printed.split(|byte| *byte == b'\n').filter_map(sentence).collect()
}

fn sentence(line: &[u8]) -> Option<Sentence> {
    let line = std::str::from_utf8(line).ok()?;
    // With leading blanks, which make it an unknown keyword.
    let keyword = KEYWORD.captures(line)?[1].to_lowercase();
    let mut parameters = Vec::new();
    let mut from = 0;
    while let Some(key) = KEY.captures_at(line, from) {
        let (all, name) = (key.get(0).expect("the whole"), &key[1]);
        if let Some(end) = end_of_value(line, all.end()) {
            parameters.push((name.to_lowercase(), line[all.end()..end].to_owned()));
            from = end + 1;
        } else {
            from = all.start() + 1;
        }
    }
    Some(Sentence { keyword, parameters })
}

/// Where the first `}` stands that is followed by `{`, a blank or the end. A line end of any kind
/// (`G_REGEX_NEWLINE_ANY`) may not come before it.
fn end_of_value(line: &str, from: usize) -> Option<usize> {
    for (at, character) in line[from..].char_indices().map(|(at, character)| (from + at, character)) {
        let next = line[at + character.len_utf8()..].chars().next();
        match character {
            '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => return None,
            '}' if next.is_none_or(|next| next == '{' || next.is_whitespace()) => return Some(at),
            _ => {}
        }
    }
    None
}

/// The interfaces in Wireshark's list: value and display. Both are required.
pub(crate) fn interfaces(printed: &[u8]) -> Vec<(String, String)> {
    let found = sentences(printed).into_iter().filter(|sentence| sentence.keyword == "interface");
    found
        .filter_map(|sentence| Some((sentence.get("value")?.to_owned(), sentence.get("display")?.to_owned())))
        .collect()
}

/// A name in the preferences file, without the prefix `extcap.` and the suffix `.OPTION`.
pub(crate) fn preference_name(interface: &str) -> String {
    let kept = |byte: u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase().into() } else { '_' };
    interface.bytes().map(kept).collect()
}

/// Why `printed` would not create the intended dialog, or would prevent Wireshark from starting.
pub(crate) fn objections(interface: &str, printed: &[u8]) -> Vec<String> {
    let sentences = sentences(printed);
    let mut arguments: Vec<&Sentence> = Vec::new();
    let mut objections = Vec::new();
    for sentence in &sentences {
        let objection = match sentence.keyword.as_str() {
            "arg" => {
                let objection = against_argument(sentence).or_else(|| aborts(interface, sentence));
                arguments.push(sentence);
                objection
            }
            "value" => against_value(sentence, &arguments),
            _ => Some("has no place in a configuration".to_owned()),
        };
        objections.extend(objection.map(|objection| format!("{sentence:?}: {objection}")));
    }
    let grouped = arguments.iter().filter(|argument| argument.get("group").is_some()).count();
    if grouped != 0 && grouped != arguments.len() {
        objections.push("some arguments are in groups and others are not".to_owned());
    }
    if sentences.len() != printed.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count() {
        objections.push("a line is no sentence".to_owned());
    }
    objections
}

/// Why an argument would be dropped.
fn against_argument(argument: &Sentence) -> Option<String> {
    let filled = |key| argument.get(key).is_some_and(|value| !value.is_empty());
    if argument.get("number").is_none_or(|number| number.parse::<i32>().is_err()) {
        return Some("no number".to_owned());
    }
    if !filled("call") || !filled("display") {
        return Some("no call or display".to_owned());
    }
    if !argument.get("type").is_some_and(|kind| TYPES.contains(&kind)) {
        return Some("a type that is not known everywhere".to_owned());
    }
    let range =
        argument.get("range").map(|range| range.split(',').map(str::parse::<f64>).collect::<Vec<_>>());
    if range.is_some_and(|range| range.len() != 2 || range.iter().any(Result::is_err)) {
        return Some("a range that is none".to_owned());
    }
    // 4.0: a number without a default is 0, and no capture starts while it is out of range.
    let is_number = argument.get("type") == Some("unsigned") && argument.get("default").is_none();
    if is_number && argument.get("range").is_some_and(|range| !range.starts_with("0,")) {
        return Some("a number that has to be typed".to_owned());
    }
    ["save", "required", "reload", "mustexist"].iter().find_map(|key| unclear_truth(argument, key))
}

fn against_value(value: &Sentence, arguments: &[&Sentence]) -> Option<String> {
    if value.get("value").is_none() || value.get("display").is_none() {
        return Some("no value or display".to_owned());
    }
    let number = value.get("arg");
    if !arguments.iter().any(|argument| argument.get("number") == number) {
        return Some("a value of an argument not yet printed".to_owned());
    }
    ["default", "enabled"].iter().find_map(|key| unclear_truth(value, key))
}

/// Why `printed` would not create the intended toolbar (`extcap_parse_control_sentence`; control numbers are bytes).
pub(crate) fn objections_to_toolbar(printed: &[u8]) -> Vec<String> {
    let mut controls: Vec<Sentence> = Vec::new();
    let mut objections = Vec::new();
    for sentence in sentences(printed) {
        let number = |key| sentence.get(key).and_then(|number| number.parse::<u8>().ok());
        let is_known = |number| controls.iter().any(|one| one.get("number") == number);
        let is_one_of = |key, words: &[&str]| sentence.get(key).is_some_and(|word| words.contains(&word));
        let objection = match sentence.keyword.as_str() {
            "control" if number("number").is_none() => Some("no number"),
            "control" if is_known(sentence.get("number")) => Some("the number of another"),
            "control" if sentence.get("display").is_none_or(str::is_empty) => Some("no display"),
            "control" if !is_one_of("type", &["boolean", "button", "selector", "string"]) => Some("no type"),
            "control" if sentence.get("role").is_some() => {
                let is_known = is_one_of("role", &["control", "help", "logger", "restore"]);
                (!is_known).then_some("an unknown role")
            }
            "value" if !is_known(sentence.get("control")) => Some("a value of no control"),
            "value" if sentence.get("value").is_none_or(str::is_empty) => Some("no value"),
            _ => None,
        };
        objections.extend(objection.map(|objection| format!("{sentence:?}: {objection}")));
        if sentence.keyword == "control" {
            controls.push(sentence);
        }
    }
    objections
}

fn unclear_truth(sentence: &Sentence, key: &str) -> Option<String> {
    let text = sentence.get(key)?;
    let clear = matches!(text, "true" | "false") && TRUTH.is_match(text) == (text == "true");
    (!clear).then(|| format!("{key} is {text}"))
}

/// Why Wireshark would not start (`register_preference`).
pub(crate) fn aborts(interface: &str, argument: &Sentence) -> Option<String> {
    if argument.get("save").is_some_and(|save| !TRUTH.is_match(save)) {
        return None;
    }
    let option = argument.get("call").unwrap_or_default().replace('-', "");
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.".contains(&byte);
    if !option.bytes().all(allowed) {
        return Some(format!("{option} cannot be the name of a preference"));
    }
    let display = argument.get("display").unwrap_or_default();
    if display.chars().count() > 80 || display.chars().any(char::is_control) {
        return Some(format!("{display:?} cannot be the title of a preference"));
    }
    let module = preference_name(interface);
    (module == "extcap" || module.starts_with("extcap_"))
        .then(|| format!("{module} cannot be the name of an interface"))
}
