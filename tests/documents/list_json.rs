//! docs/list-json.md matches the output of the program.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use super::shop::{self, Shop};
use crate::support::harness::tests;
use crate::support::lab::{Lab, output};
use crate::{EngineTest, Page, PageTest};

/// Types by field, `networks[].name`.
type Fields = BTreeMap<String, BTreeSet<String>>;

pub(crate) const TESTS: &[PageTest] = tests![the_list_json_example_has_the_fields_of_the_table];
pub(crate) const TESTS_WITH_ENGINE: &[EngineTest] = tests![the_list_json_fields_are_those_of_the_program];

const PAGE: &str = "docs/list-json.md";

fn the_list_json_example_has_the_fields_of_the_table(pages: &[Page]) -> Vec<String> {
    let blocks = Page::find(pages, PAGE).blocks.iter().filter(|block| block.kind == "json");
    let lines: Vec<&String> = blocks.flat_map(|block| &block.lines).collect();
    compared(pages, lines.iter().map(|line| line.as_str()))
}

fn the_list_json_fields_are_those_of_the_program(pages: &[Page], lab: &Lab) -> Vec<String> {
    let _shop = Shop::start(lab);
    let _lan = shop::macvlan(lab, "office_lan");
    let _scanner = shop::container(lab, "scanner", &[]);
    shop::connect(lab, "office_lan", "scanner");
    let _host = shop::container(lab, "exporter", &["--network", "host"]);
    let _job = shop::failing(lab, "job");
    let mut program = Command::new(env!("CARGO_BIN_EXE_containerdump"));
    let printed = output(program.args(["list", "--json"]).env("DOCKER_HOST", &lab.endpoint));
    // Unprivileged, for fields about missing privileges.
    let folder = tempfile::tempdir().expect("a folder");
    let alone = folder.path().join("containerdump");
    std::fs::copy(env!("CARGO_BIN_EXE_containerdump"), &alone).expect("a copy without its companion");
    let mut powerless = Command::new("setpriv");
    powerless.args(["--bounding-set=-all", "--inh-caps=-all"]).arg(&alone);
    let to_them = output(powerless.args(["list", "--json"]).env("DOCKER_HOST", &lab.endpoint));
    compared(pages, printed.lines().chain(to_them.lines()))
}

/// Differences between the table and the fields and types of all objects.
fn compared<'a>(pages: &[Page], objects: impl Iterator<Item = &'a str>) -> Vec<String> {
    let table = table(Page::find(pages, PAGE));
    let mut seen = Fields::new();
    for object in objects {
        let object: Value = serde_json::from_str(object).expect("JSON");
        let mut of_object = Fields::new();
        collect("", &object, &mut of_object);
        for always in table.keys().filter(|field| !field.contains('.')) {
            assert!(of_object.contains_key(always), "{always} is not in {object}");
        }
        for (field, types) in of_object {
            seen.entry(field).or_default().extend(types);
        }
    }
    let fields: BTreeSet<&String> = table.keys().chain(seen.keys()).collect();
    fields
        .into_iter()
        .filter(|field| table.get(*field) != seen.get(*field))
        .map(|field| format!("{PAGE}: {field} is {:?}, but {:?}", table.get(field), seen.get(field)))
        .collect()
}

fn table(page: &Page) -> Fields {
    let rows = page.rows();
    let field = |cell: &str| cell.trim_matches('`').to_owned();
    rows.iter().map(|row| (field(row[0]), row[1].split(" or ").map(str::to_owned).collect())).collect()
}

/// Adds the fields of `value`, named `name`.
fn collect(name: &str, value: &Value, fields: &mut Fields) {
    let word = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "boolean".to_owned(),
        Value::Number(_) => "integer".to_owned(),
        Value::String(_) => "string".to_owned(),
        Value::Array(elements) => {
            let plain = elements.iter().all(Value::is_string);
            for element in elements.iter().filter(|element| element.is_object()) {
                collect(&format!("{name}[]"), element, fields);
            }
            // An empty array has no element type.
            match (elements.is_empty(), plain) {
                (true, _) => String::new(),
                (false, true) => "array of string".to_owned(),
                (false, false) => "array".to_owned(),
            }
        }
        Value::Object(object) => {
            for (key, value) in object {
                let path = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                collect(&path, value, fields);
            }
            "object".to_owned()
        }
    };
    if !name.is_empty() && !name.ends_with("[]") {
        let types = fields.entry(name.to_owned()).or_default();
        types.extend((!word.is_empty()).then_some(word));
    }
}
