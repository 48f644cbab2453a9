//! A process that prints the changes reported by `engine::Watch`, one a line.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use containerdump::container::Container;
use containerdump::engine::{ContainerChange, ContainerWatcher, NamespaceScans};
use containerdump::link::NamedNamespaces;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The argument that makes this test program a watcher.
pub(crate) const WATCH: &str = "print-what-changes";

/// Runs the watcher process.
pub(crate) fn print() -> ExitCode {
    let mut watch =
        ContainerWatcher::start([], NamedNamespaces::default(), NamespaceScans::Prompt).expect("a watch");
    loop {
        let stdin = std::io::stdin();
        let fds = [watch.as_fd(), stdin.as_fd()];
        let mut both = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        poll(&mut both, PollTimeout::NONE).expect("a poll");
        // Ends with the test.
        if both[1].any() == Some(true) {
            return ExitCode::SUCCESS;
        }
        for change in watch.changes() {
            let line = match change {
                ContainerChange::Started(container, Some(told)) => {
                    format!("came {} pid {}", shown(&container), told.pid)
                }
                ContainerChange::Started(container, None) => format!("came {}", shown(&container)),
                ContainerChange::Stopped(id) => format!("went {}", id.as_str()),
                ContainerChange::Renamed(container) => format!("renamed {}", shown(&container)),
                ContainerChange::NetworksChanged(container) => format!("networks {}", shown(&container)),
                ContainerChange::EngineLost(place, why) => format!("lost {place}: {why}"),
                ContainerChange::EngineRestored(place) => format!("back {place}"),
            };
            let mut out = std::io::stdout().lock();
            writeln!(out, "{line}").and_then(|()| out.flush()).expect("standard output");
        }
    }
}

fn shown(container: &Container) -> String {
    let mut line = format!("{} {} {}", container.value, container.id.as_str(), container.name);
    for network in &container.networks {
        let addresses: Vec<String> = network.addresses.iter().map(ToString::to_string).collect();
        line = format!("{line} {}={}", network.name, addresses.join(","));
    }
    line
}

/// A running watcher.
pub(crate) struct Watcher {
    pub(crate) child: Child,
    told: Arc<Mutex<Vec<String>>>,
}

impl Watcher {
    /// Watches the engines at these addresses only.
    pub(crate) fn start(docker: &str, podman: &str, engines: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.arg(WATCH).env("DOCKER_HOST", docker).env("CONTAINER_HOST", podman);
        command.env("CONTAINERDUMP_ENGINES", engines).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a child");
        let told = Arc::new(Mutex::new(Vec::new()));
        let (lines, out) = (Arc::clone(&told), BufReader::new(child.stdout.take().expect("its output")));
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                lines.lock().expect("lines").push(line);
            }
        });
        Self { child, told }
    }

    /// All lines so far.
    pub(crate) fn told(&self) -> Vec<String> {
        self.told.lock().expect("lines").clone()
    }

    /// Waits for a line after the first `from` ones that begins with `begin` and contains `holds`. Returns it and the number
    /// of lines up to it.
    pub(crate) fn wait(&self, from: usize, begin: &str, holds: &str) -> (String, usize) {
        let since = Instant::now();
        loop {
            let told = self.told();
            let is_it = |line: &String| line.starts_with(begin) && line.contains(holds);
            if let Some(number) = told.iter().skip(from).position(is_it) {
                return (told[from + number].clone(), from + number + 1);
            }
            let hangs = since.elapsed() > Duration::from_mins(1);
            assert!(!hangs, "\"{begin} … {holds}\" was never told after the first {from} of {told:#?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
