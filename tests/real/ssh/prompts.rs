//! Prompts of `ssh` for a passphrase, at the terminal and by ssh-askpass.

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, end_of, eventually, output};
use crate::support::recording::Recording;
use crate::support::ssh_host::SshHost;

pub(crate) const TESTS: &[Test] = tests![
    ssh_askpass_asks_for_a_passphrase_once,
    ssh_asks_for_a_passphrase_at_the_terminal,
    ctrl_c_at_an_ssh_prompt_ends_the_capture,
];

const PASSPHRASE: &str = "correct horse";

/// A host whose key has a passphrase.
fn locked(lab: &Lab) -> SshHost {
    let there = SshHost::start(lab);
    let key = there.path("key").display().to_string();
    output(Command::new("ssh-keygen").args(["-q", "-p", "-P", "", "-N", PASSPHRASE, "-f", &key]));
    there
}

fn ssh_askpass_asks_for_a_passphrase_once(lab: &Lab) {
    let there = locked(lab);
    let web = there.host.lab.container(&[]);
    let asked = there.path("asked");
    let askpass = format!("#!/bin/sh\necho \"$1\" >>{}\necho '{PASSPHRASE}'\n", asked.display());
    there.script("askpass", &askpass);
    let mut program = there.program();
    program.env("SSH_ASKPASS", there.path("askpass")).env("SSH_ASKPASS_REQUIRE", "force");
    let recording = Recording::begin_by(program, &[&web], &["--host", "build1", "-a", "duration:1"]);
    assert_eq!(recording.end().said, "");
    let asked = fs::read_to_string(asked).expect("it was asked");
    assert_eq!(asked.lines().count(), 1, "{asked}");
    assert!(asked.starts_with("Enter passphrase for key "), "{asked}");
    there.assert_cleaned_up();
}

/// A terminal with `containerdump list --host build1`, and its screen.
struct Terminal {
    child: Child,
    shown: String,
    pieces: Receiver<String>,
}

impl Terminal {
    fn start(there: &SshHost) -> Self {
        let program = there.program();
        let line = format!("exec {} list --host build1", program.get_program().display());
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        script.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a terminal");
        let mut stdout = child.stdout.take().expect("a pipe");
        let (told, pieces) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut bytes) {
                let _ = told.send(String::from_utf8_lossy(&bytes[..count]).into_owned());
            }
        });
        Self { child, shown: String::new(), pieces }
    }

    fn shows(&mut self, what: &str) {
        while !self.shown.contains(what) {
            match self.pieces.recv_timeout(Duration::from_secs(30)) {
                Ok(piece) => self.shown += &piece,
                Err(why) => panic!("{what} is not shown ({why}): {}", self.shown),
            }
        }
    }

    fn key(&mut self, keys: &str) {
        self.child.stdin.as_mut().expect("a terminal").write_all(keys.as_bytes()).expect("it reads");
    }
}

fn ssh_asks_for_a_passphrase_at_the_terminal(lab: &Lab) {
    let there = locked(lab);
    let web = there.host.lab.container(&[]);
    let mut terminal = Terminal::start(&there);
    terminal.shows("Enter passphrase for key ");
    terminal.key(&format!("{PASSPHRASE}\n"));
    terminal.shows(&web.name);
    assert!(end_of(terminal.child).status.success());
    there.assert_cleaned_up();
}

fn ctrl_c_at_an_ssh_prompt_ends_the_capture(lab: &Lab) {
    let there = locked(lab);
    let mut terminal = Terminal::start(&there);
    terminal.shows("Enter passphrase for key ");
    // Ctrl-C.
    terminal.key("\u{3}");
    terminal.shows("interrupted before all hosts had answered");
    assert_eq!(end_of(terminal.child).status.code(), Some(1));
    let of_this = there.path("runtime").display().to_string();
    eventually("nothing of it is left", || {
        !output(Command::new("ps").args(["-A", "-o", "args"])).contains(&of_this)
    });
}
