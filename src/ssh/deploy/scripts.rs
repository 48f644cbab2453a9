//! Scripts for uploading, running and removing the program on a host.
//!
//! Each is a constant of one line without single quotes, backslashes and exclamation marks, so that every login shell
//! passes it to `sh` unchanged. What varies is read from standard input.
//!
//! The program is kept in a folder of the login that nobody else may write to, and checked from inside the folder, so
//! that replacing the path later has no effect. The first choice is the cache folder; if it does not allow programs to be
//! started, a folder with an unpredictable name in `/var/tmp` or `/tmp`.

use crate::ssh::Elevation;

/// Folders are numbered from 0.
pub(super) const FOLDER_COUNT: u8 = 3;
/// Begins each line that a script prints. A login shell may print before it, without a line end.
const SCRIPT_MARKER: &str = "containerdump-deploy ";
/// A program for testing whether programs can be started in a folder.
pub(super) const TRIAL_PROGRAM: &str = "#!/bin/sh";

/// `enter NUMBER` changes to a folder, created if `make` is set, or sets `fault`. `good FILE` checks `digest`.
const FOLDER_FUNCTIONS: &str = r#"umask 077; uid=$(id -u);
private() { set -- $(ls -ldn .); case $1 in drwx?-??-?*) [ "$3" = "$uid" ] ;; *) false ;; esac; };
enter() { fault="cannot be created"; case $1 in
0) cache=${XDG_CACHE_HOME:-}; folder="the cache folder";
case $cache in /*) ;; *) [ -d "${HOME:-}" ] || return 1; cache=$HOME/.cache ;; esac;
folder=$cache/containerdump;
if [ -n "$make" ]; then mkdir -p "$folder" 2>/dev/null; fi;
if [ -L "$folder" ]; then fault="is a symbolic link"; return 1; fi;
cd -P "$folder" 2>/dev/null || return 1;
private || { fault="can be changed by others"; return 1; } ;;
*) case $1 in 1) top=/var/tmp ;; *) top=/tmp ;; esac;
for folder in $top/containerdump.*; do [ -O "$folder" ] && [ -d "$folder" ] || continue;
if [ -L "$folder" ]; then continue; fi;
cd -P "$folder" 2>/dev/null && private && return 0; done;
folder=$top; [ -n "$make" ] || return 1;
folder=$(mktemp -d "$top/containerdump.XXXXXXXXXX" 2>/dev/null) || { folder=$top; return 1; };
cd -P "$folder" 2>/dev/null && private ;;
esac; };
sum() { { sha256sum <"$1" || busybox sha256sum <"$1" || openssl dgst -sha256 -r <"$1" || shasum -a 256 <"$1"; }
2>/dev/null | cut -c 1-64; };
good() { [ -f "$1" ] && [ "$(sum "$1")" = "$digest" ]; };"#;

/// Looks for the program in the folders from `skip` on, and receives it after `ready` if it is missing. Keeps the three
/// that were used last: several versions may be used in turn.
const UPLOAD: &str = r#"read -r name && read -r digest && read -r size && read -r skip && read -r trial || exit 1;
say() { echo "containerdump-deploy $1"; }; make=1;
t=; drop() { if [ -n "$t" ]; then rm -f "$t"; fi; }; trap drop EXIT; trap "exit 1" HUP INT TERM PIPE;
as_root() { if [ -n "$elevate" ] && $elevate true; then $elevate "$t"; fi </dev/null >/dev/null 2>&1; };
works() { fault="has no free space";
t=$(mktemp ./new.XXXXXX 2>/dev/null) && echo "$trial" >"$t" && chmod 700 "$t" || return 1;
fault="does not allow programs to be started"; "$t" </dev/null >/dev/null 2>&1;
if [ $? = 0 ]; then fault="cannot be read by root"; as_root; else false; fi;
if [ $? = 0 ]; then fault="has no program to compute SHA-256"; [ -n "$(sum "$t")" ]; else false; fi;
set -- $?; drop; t=; return $1; };
leave() { case $folder in */containerdump.*) cd /; rmdir "$folder" 2>/dev/null ;; esac; };
n=$skip; while [ $n -lt 3 ]; do if enter $n && works; then break; fi; drop; t=; say "skipped $folder $fault"; leave; n=$((n + 1)); done;
if [ $n = 3 ]; then say nofolder; exit 0; fi;
if [ -x "./$name" ] && good "./$name"; then touch -c "./$name"; say "exists $n"; exit 0; fi;
failed() { say "skipped $folder did not receive the complete file"; leave; say "failed $n"; exit; };
t=$(mktemp ./new.XXXXXX) || failed;
say "ready $n";
(while sleep 1 >/dev/null && [ -f "$t" ]; do say "received $(wc -c <$t)"; done) 2>/dev/null &
cat >"$t" 2>/dev/null;
if [ $(wc -c <"$t") = "$size" ] && good "$t" && chmod 700 "$t" && mv -f "$t" "./$name"; then t=;
ls -t ./containerdump-*-* | tail -n +4 | while read -r old; do rm -f "$old"; done;
find . -name "new.*" -mmin +60 -exec rm -f {} ";" 2>/dev/null; say "stored $n";
else drop; failed; fi"#;

/// Checks an uploaded program once more and becomes it.
const RUN: [&str; 2] = [
    r#"read -r name && read -r digest && read -r n || exit 1; make=;
if enter $n && [ -x "./$name" ] && good "./$name"; then exec "#,
    r#""./$name" serve; fi;
echo "containerdump: the uploaded program was removed or changed. Remedy: try again." >&2; exit 1"#,
];

/// Removes uploaded programs, and folders that are empty then.
const REMOVE: &str = r#"make=; for n in 0 1 2; do while enter $n; do
for f in ./containerdump-*-* ./new.*; do if [ -f "$f" ]; then rm -f "$f"; echo "containerdump-deploy removed $folder"; fi; done;
cd /; rmdir "$folder" 2>/dev/null || break; done; done; echo "containerdump-deploy done""#;

/// A line of a script.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ScriptMessage<'a> {
    /// A folder cannot be used, and why.
    Skipped(&'a str),
    /// No folder can be used.
    NoFolder,
    /// The program is in that folder.
    Exists(u8),
    /// The script reads the program now.
    Ready,
    /// Bytes that have arrived.
    Received(usize),
    /// The program is complete, in that folder.
    Stored(u8),
    /// The program did not arrive completely in that folder.
    Failed(u8),
    /// A file was removed from that folder.
    Removed(&'a str),
    /// The script has ended.
    Done,
}

impl<'a> ScriptMessage<'a> {
    /// Parses a line; `None` if it is something else, such as the parse_hello of a login shell.
    pub(crate) fn parse(line: &'a str) -> Option<Self> {
        let (_, line) = line.split_once(SCRIPT_MARKER)?;
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let number = || rest.trim().parse().ok().filter(|number| *number < FOLDER_COUNT);
        match word {
            "skipped" => Some(Self::Skipped(rest)),
            "nofolder" => Some(Self::NoFolder),
            "exists" => number().map(Self::Exists),
            "ready" => number().map(|_| Self::Ready),
            "received" => rest.trim().parse().ok().map(Self::Received),
            "stored" => number().map(Self::Stored),
            "failed" => number().map(Self::Failed),
            "removed" => Some(Self::Removed(rest)),
            "done" => Some(Self::Done),
            _ => None,
        }
    }
}

/// The command that uploads. With an elevation that lets root start any program, root must be able to start programs in
/// the folder: a home on FUSE or NFS may be closed to root.
pub(super) fn upload(elevation: Elevation) -> String {
    command(&["elevate=\"", elevation.command_prefix(), "\"; ", UPLOAD])
}

/// The command that runs the uploaded program.
pub(super) fn run(elevation: Elevation) -> String {
    command(&[RUN[0], elevation.command_prefix(), RUN[1]])
}

/// The command that removes uploaded programs.
pub(super) fn remove() -> String {
    command(&[REMOVE])
}

fn command(parts: &[&'static str]) -> String {
    let script = [FOLDER_FUNCTIONS, " "].into_iter().chain(parts.iter().copied()).collect::<String>();
    format!("exec sh -c '{}'", script.replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_need_no_quoting() {
        for command in [upload(Elevation::Sudo), run(Elevation::Sudo), remove()] {
            let script = command.strip_prefix("exec sh -c '").and_then(|rest| rest.strip_suffix('\''));
            let script = script.expect("quotes");
            assert!(!script.contains(['\'', '\\', '!', '\n']), "{script}");
        }
    }

    #[test]
    fn script_messages_are_parsed() {
        let parse = |line: &str| format!("{:?}", ScriptMessage::parse(line));
        assert_eq!(parse("containerdump-deploy exists 2"), "Some(Exists(2))");
        assert_eq!(parse("Welcome\u{7}containerdump-deploy exists 2"), "Some(Exists(2))");
        assert_eq!(parse("containerdump-deploy exists 3"), "None");
        assert_eq!(parse("containerdump-deploy received   12"), "Some(Received(12))");
        assert_eq!(parse("containerdump-deploy received -1"), "None");
        assert_eq!(parse("containerdump-deploy skipped /x is a link"), "Some(Skipped(\"/x is a link\"))");
        assert_eq!(parse("Welcome"), "None");
    }
}
