//! What `containerdump list --json` prints.

use std::process::Command;

use serde_json::Value;

use super::lab::output;

/// The object of a container in the output of `program list --json`.
pub(crate) fn described_by(mut program: Command, name: &str) -> Value {
    object_of(&output(program.args(["list", "--json"])), name)
}

/// The object of a container in lines of JSON.
pub(crate) fn object_of(lines: &str, name: &str) -> Value {
    let mut objects = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    objects.find(|object| object["name"] == name).unwrap_or_else(|| panic!("no {name} in {lines}"))
}

/// All objects of `list --json`, and standard error.
pub(crate) fn listed(mut program: Command) -> (Vec<Value>, String) {
    let ended = program.args(["list", "--json"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    let objects = said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    (objects, String::from_utf8_lossy(&ended.stderr).into_owned())
}

/// The only entry among `objects` whose `field` is `value`.
pub(crate) fn only<'a>(objects: &'a [Value], field: &str, value: &str) -> &'a Value {
    let found: Vec<&Value> = objects.iter().filter(|object| object[field] == value).collect();
    let all: Vec<String> = objects.iter().map(|object| object["interface"].to_string()).collect();
    assert_eq!(found.len(), 1, "{field} {value}: {found:?} among {all:?}");
    found[0]
}
