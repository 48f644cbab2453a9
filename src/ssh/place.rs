//! Where a program that was sent lies on a host, and what a shell there does with it.
//!
//! Each script is a constant of a single line without a single quote, backslash or exclamation mark, so that
//! any login shell hands it to `sh` as it is. What differs from case to case comes through standard input.
//!
//! A place is a folder of the login's own that nobody else may write to, looked at from within: what stands
//! at its path later is of no interest. The first is the user's cache; where programs cannot be started from
//! there, a folder with a name that nobody can know before, in `/var/tmp` or `/tmp`.

/// Places, by number.
pub(super) const MOST: u8 = 3;
/// Starts each line that a script prints. A login shell may print before the first one, without a line end.
const MARKER: &str = "containerdump-place ";
/// What stands on the first line of a script, for finding out whether programs can be started from a place.
pub(super) const TRIAL: &str = "#!/bin/sh";

/// `enter NUMBER` goes into a place, made where `make` is set; else `fault` says why not. `good FILE` is true of
/// what has `digest`.
const PLACES: &str = r#"umask 077; uid=$(id -u);
closed() { set -- $(ls -ldn .); case $1 in drwx?-??-?*) [ "$3" = "$uid" ] ;; *) false ;; esac; };
enter() { fault="cannot be made"; case $1 in
0) cache=${XDG_CACHE_HOME:-}; place="the cache";
case $cache in /*) ;; *) [ -d "${HOME:-}" ] || return 1; cache=$HOME/.cache ;; esac;
place=$cache/containerdump;
if [ -n "$make" ]; then mkdir -p "$place" 2>/dev/null; fi;
if [ -L "$place" ]; then fault="is a link"; return 1; fi;
cd -P "$place" 2>/dev/null || return 1;
closed || { fault="can be changed by others"; return 1; } ;;
*) case $1 in 1) top=/var/tmp ;; *) top=/tmp ;; esac;
for place in $top/containerdump.*; do [ -O "$place" ] && [ -d "$place" ] || continue;
if [ -L "$place" ]; then continue; fi;
cd -P "$place" 2>/dev/null && closed && return 0; done;
place=$top; [ -n "$make" ] || return 1;
place=$(mktemp -d "$top/containerdump.XXXXXXXXXX" 2>/dev/null) || { place=$top; return 1; };
cd -P "$place" 2>/dev/null && closed ;;
esac; };
sum() { { sha256sum <"$1" || busybox sha256sum <"$1" || openssl dgst -sha256 -r <"$1" || shasum -a 256 <"$1"; }
2>/dev/null | cut -c 1-64; };
good() { [ -f "$1" ] && [ "$(sum "$1")" = "$digest" ]; };"#;

/// Looks for a program in the places from `skip` on, and takes it where it is not: first its bytes, once `send` was
/// said. Of others the three that were used last stay: several versions may be used by turns.
const OFFER: &str = r#"read -r name && read -r digest && read -r size && read -r skip && read -r trial || exit 1;
say() { echo "containerdump-place $1"; }; make=1;
t=; drop() { if [ -n "$t" ]; then rm -f "$t"; fi; }; trap drop EXIT; trap "exit 1" HUP INT TERM PIPE;
as_root() { if [ -n "$gain" ] && $gain true; then $gain "$t"; fi </dev/null >/dev/null 2>&1; };
works() { fault="has no room";
t=$(mktemp ./new.XXXXXX 2>/dev/null) && echo "$trial" >"$t" && chmod 700 "$t" || return 1;
fault="lets no program be started"; "$t" </dev/null >/dev/null 2>&1;
if [ $? = 0 ]; then fault="cannot be read by root"; as_root; else false; fi;
if [ $? = 0 ]; then fault="has no sha256sum beside it"; [ -n "$(sum "$t")" ]; else false; fi;
set -- $?; drop; t=; return $1; };
leave() { case $place in */containerdump.*) cd /; rmdir "$place" 2>/dev/null ;; esac; };
n=$skip; while [ $n -lt 3 ]; do if enter $n && works; then break; fi; drop; t=; say "not $place $fault"; leave; n=$((n + 1)); done;
if [ $n = 3 ]; then say none; exit 0; fi;
if [ -x "./$name" ] && good "./$name"; then touch -c "./$name"; say "here $n"; exit 0; fi;
failed() { say "not $place does not take all of it"; leave; say "failed $n"; exit; };
t=$(mktemp ./new.XXXXXX) || failed;
say "send $n";
(while sleep 1 >/dev/null && [ -f "$t" ]; do say "has $(wc -c <$t)"; done) 2>/dev/null &
cat >"$t" 2>/dev/null;
if [ $(wc -c <"$t") = "$size" ] && good "$t" && chmod 700 "$t" && mv -f "$t" "./$name"; then t=;
ls -t ./containerdump-*-* | tail -n +4 | while read -r old; do rm -f "$old"; done;
find . -name "new.*" -mmin +60 -exec rm -f {} ";" 2>/dev/null; say "sent $n";
else drop; failed; fi"#;

/// Becomes a program that was sent, of which it makes sure once more.
const RUN: [&str; 2] = [
    r#"read -r name && read -r digest && read -r n || exit 1; make=;
if enter $n && [ -x "./$name" ] && good "./$name"; then exec "#,
    r#""./$name" far; fi;
echo "containerdump: what was sent is not there any more. Remedy: try again." >&2; exit 1"#,
];

/// Takes away what was sent, and folders that have nothing else.
const REMOVE: &str = r#"make=; for n in 0 1 2; do while enter $n; do
for f in ./containerdump-*-* ./new.*; do if [ -f "$f" ]; then rm -f "$f"; echo "containerdump-place removed $place"; fi; done;
cd /; rmdir "$place" 2>/dev/null || break; done; done; echo "containerdump-place done""#;

/// What a script says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer<'a> {
    /// Which place is not used, and why.
    Not(&'a str),
    /// No place can be used.
    None,
    /// The program lies in the place of that number.
    Here(u8),
    /// It may come.
    Send,
    /// So many bytes have come.
    Has(usize),
    /// It has come, and lies there.
    Sent(u8),
    /// It has not come as it should.
    Failed(u8),
    /// A file was removed from there.
    Removed(&'a str),
    /// That was all.
    Done,
}

impl<'a> Answer<'a> {
    /// Reads a line; `None` where it is something else, such as what a login shell says.
    pub(super) fn read(line: &'a str) -> Option<Self> {
        let (_, line) = line.split_once(MARKER)?;
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let number = || rest.trim().parse().ok().filter(|number| *number < MOST);
        match word {
            "not" => Some(Self::Not(rest)),
            "none" => Some(Self::None),
            "here" => number().map(Self::Here),
            "send" => number().map(|_| Self::Send),
            "has" => rest.trim().parse().ok().map(Self::Has),
            "sent" => number().map(Self::Sent),
            "failed" => number().map(Self::Failed),
            "removed" => Some(Self::Removed(rest)),
            "done" => Some(Self::Done),
            _ => None,
        }
    }
}

/// Offers a program that is to run with `before` before it. Where that lets root start anything, root has to be able to start
/// programs in the place, too: a home by FUSE or NFS may be closed to root.
pub(super) fn offer(before: &'static str) -> String {
    command(&["gain=\"", before, "\"; ", OFFER])
}

/// Runs it; `before` stands before it.
pub(super) fn run(before: &'static str) -> String {
    command(&[RUN[0], before, RUN[1]])
}

/// Removes it.
pub(super) fn remove() -> String {
    command(&[REMOVE])
}

fn command(parts: &[&'static str]) -> String {
    let script = [PLACES, " "].into_iter().chain(parts.iter().copied()).collect::<String>();
    format!("exec sh -c '{}'", script.replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_the_same_to_every_shell() {
        for command in [offer("sudo -n "), run("sudo -n "), remove()] {
            let script = command.strip_prefix("exec sh -c '").and_then(|rest| rest.strip_suffix('\''));
            let script = script.expect("quotes");
            assert!(!script.contains(['\'', '\\', '!', '\n']), "{script}");
        }
    }

    #[test]
    fn what_a_script_says_is_read() {
        let read = |line: &str| format!("{:?}", Answer::read(line));
        assert_eq!(read("containerdump-place here 2"), "Some(Here(2))");
        assert_eq!(read("Welcome\u{7}containerdump-place here 2"), "Some(Here(2))");
        assert_eq!(read("containerdump-place here 3"), "None");
        assert_eq!(read("containerdump-place has   12"), "Some(Has(12))");
        assert_eq!(read("containerdump-place has -1"), "None");
        assert_eq!(read("containerdump-place not /x is a link"), "Some(Not(\"/x is a link\"))");
        assert_eq!(read("Welcome"), "None");
    }
}
