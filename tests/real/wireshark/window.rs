//! Through the real Wireshark's window, on a screen of its own.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use libtest_mimic::{Failed, Trial};

use crate::real::regressions;
use crate::real::retry;
use crate::real::wireshark::tshark::User;
use crate::support::lab::{Container, Lab, end_of, eventually, output, start};
use crate::support::recording::{capinfos, fields_of, statistics_of};

/// A test that runs in each version of Wireshark.
pub(crate) type WindowTest = (&'static str, fn(&Lab, Version));

const TESTS: &[WindowTest] = &[
    ("the_window_shows_packets_with_names", the_window_shows_packets_with_names),
    ("a_window_closed_while_capturing_leaves_no_process", a_window_closed_while_capturing_leaves_no_process),
];

/// Network names on, and no question or notice in the way.
const PREFERENCES: &str = "nameres.network_name: TRUE\ngui.update.enabled: FALSE\ngui.ask_unsaved: FALSE\n";

/// Runs inside Wireshark: writes who sent it, by name, for every packet that it shows.
const WITNESS: &str = r#"
local path = os.getenv("HOME") .. "/shown"
local file = io.open(path, "w")
local sender = Field.new("ip.src_host")
local tap = Listener.new("ip")
function tap.packet() file:write(tostring(sender()), "\n") file:flush() end
function tap.reset() file:close() file = io.open(path, "w") end
"#;

/// Stands in the program's place: writes down what it is asked, and hands over to it.
const EAVESDROPPER: &str = "#!/bin/sh\necho \"$*\" >>\"$HOME/asked\"\nexec \"$HOME/containerdump\" \"$@\"\n";

/// Which Wireshark a test runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// Of the machine's own packages; the oldest that is supported, in Debian 12.
    Installed,
    /// Of Debian sid, from `tests/lab/wireshark-newest`.
    Newest,
}

impl Version {
    pub(crate) const ALL: [Self; 2] = [Self::Installed, Self::Newest];
    const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/wireshark-newest");

    /// Fails with the reason where tests cannot run in this one.
    pub(crate) fn check(self) -> Result<(), &'static str> {
        let newest = concat!(env!("CARGO_MANIFEST_DIR"), "/target/wireshark-newest");
        let is_there = self == Self::Installed || Path::new(newest).is_dir();
        is_there.then_some(()).ok_or("no target/wireshark-newest: run tests/lab/wireshark-newest make")
    }
}

/// A user with a screen, where what Wireshark asks and shows is written down.
pub(crate) struct Desk {
    version: Version,
    display: String,
    server: Child,
    manager: Child,
    pub(crate) user: User,
}

impl Desk {
    pub(crate) fn new(lab: &Lab) -> Self {
        Self::with(lab, Version::Installed)
    }

    /// A desk with this version of Wireshark.
    pub(crate) fn with(lab: &Lab, version: Version) -> Self {
        let mut user = User::new(lab);
        let home = user.home.path();
        let program = home.join("containerdump");
        fs::rename(&user.program, &program).expect("a move");
        fs::write(&user.program, EAVESDROPPER).expect("a script");
        fs::set_permissions(&user.program, fs::Permissions::from_mode(0o755)).expect("its mode");
        let settings = home.join("config/wireshark");
        fs::create_dir_all(&settings).expect("a folder");
        chown(&settings, Some(65534), Some(65534)).expect("its owner");
        fs::write(settings.join("preferences"), PREFERENCES).expect("preferences");
        fs::write(home.join("witness.lua"), WITNESS).expect("a script");
        let number = home.join("display");
        let mut server = user.runs("Xvfb");
        server.args(["-displayfd", "1", "-screen", "0", "1200x700x24", "-nolisten", "tcp"]);
        server.stdin(Stdio::null()).stdout(File::create(&number).expect("a file")).stderr(Stdio::null());
        let server = server.spawn().expect("Xvfb");
        let read = || fs::read_to_string(&number).unwrap_or_default();
        eventually("the screen is there", || read().ends_with('\n'));
        let display = format!(":{}", read().trim());
        let manager = start(user.runs("openbox").env("DISPLAY", &display));
        user.program = program;
        Self { version, display, server, manager, user }
    }

    /// Opens Wireshark's window with a container's capture under way, written to `file`.
    pub(crate) fn open(&self, container: &Container, options: &[&str]) -> Child {
        self.open_by(self.wireshark(), container, options)
    }

    /// The same where `wireshark` runs it.
    pub(crate) fn open_by(&self, wireshark: Command, container: &Container, options: &[&str]) -> Child {
        self.open_several(wireshark, &[container], options)
    }

    /// The same with a capture of several containers.
    pub(crate) fn open_several(
        &self,
        mut wireshark: Command,
        containers: &[&Container],
        options: &[&str],
    ) -> Child {
        let mut witness = std::ffi::OsString::from("lua_script:");
        witness.push(self.path("witness.lua"));
        wireshark.arg("-k").args(options);
        for container in containers {
            wireshark.args(["-i", &container.interface()]);
        }
        let window = start(wireshark.arg("-X").arg(witness).arg("-w").arg(self.file()));
        eventually("the capture begins", || self.file().metadata().is_ok_and(|about| about.len() > 300));
        window
    }

    /// Closes the window as people do.
    pub(crate) fn close(&self, mut window: Child) -> Output {
        eventually("the window closes", || {
            let mut keys = self.runs("xdotool");
            keys.args(["search", "--onlyvisible", "--class", "wireshark", "windowactivate", "key", "ctrl+q"]);
            end_of(start(&mut keys));
            std::thread::sleep(std::time::Duration::from_millis(300));
            window.try_wait().expect("a child").is_some()
        });
        end_of(window)
    }

    /// Wireshark, run by this user on this screen.
    pub(crate) fn wireshark(&self) -> Command {
        match self.version {
            Version::Installed => self.runs("wireshark"),
            Version::Newest => {
                let mut command = Command::new(Version::SCRIPT);
                command.args(["run", "wireshark"]);
                self.on_screen(self.user.prepare(command))
            }
        }
    }

    /// A program of this machine, run by this user on this screen.
    pub(crate) fn runs(&self, program: &str) -> Command {
        self.on_screen(self.user.runs(program))
    }

    fn on_screen(&self, mut command: Command) -> Command {
        command.env("DISPLAY", &self.display).env("QT_QPA_PLATFORM", "xcb");
        command.env("TMPDIR", self.user.home.path()).env("XDG_RUNTIME_DIR", self.user.home.path());
        command
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.user.home.path().join(name)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.path("out.pcapng")
    }

    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // With SIGTERM the server takes its lock and socket away.
        for child in [&mut self.manager, &mut self.server] {
            let _ = Command::new("kill").arg(child.id().to_string()).output();
            let _ = child.wait();
        }
    }
}

/// Each test of the window, once in each version.
pub(crate) fn trials(lab: &Result<Lab, String>, in_ci: bool) -> Vec<Trial> {
    let mut trials = Vec::new();
    for version in Version::ALL {
        let found = version.check();
        if let Err(why) = found {
            eprintln!("skipped: the tests of the window in the newest Wireshark: {why}");
        }
        let suffix = if version == Version::Installed { "" } else { "_in_the_newest_wireshark" };
        for (name, test) in [&[TESTS], regressions::WINDOW_TESTS].concat().concat() {
            let (name, lab) = (format!("{name}{suffix}"), lab.clone());
            let ignored = (lab.is_err() || found.is_err()) && !in_ci;
            let title = name.clone();
            let run = move || {
                found?;
                let lab = lab.map_err(Failed::from)?;
                retry::run(&name, || test(&lab, version));
                Ok(())
            };
            trials.push(Trial::test(title, run).with_ignored_flag(ignored));
        }
    }
    trials
}

fn the_window_shows_packets_with_names(lab: &Lab, version: Version) {
    let container = lab.container(&[]);
    let desk = Desk::with(lab, version);
    let window = desk.open(&container, &["-a", "packets:300"]);
    eventually("the capture ends", || {
        container.fetch(1);
        !desk.user.captures()
    });
    assert_eq!(capinfos(&desk.file(), "Number of packets"), "300");
    let sent = fields_of(&desk.file(), "ip", &["ip.src"]);
    eventually("the window shows all of them", || desk.lines("shown").len() == sent.len());
    let own = sent.iter().filter(|fields| fields[0] == container.address()).count();
    assert_eq!(desk.lines("shown").iter().filter(|name| **name == container.name).count(), own);
    let said = desk.close(window);
    let complaint =
        String::from_utf8_lossy(&said.stderr).lines().find(|line| line.contains("xtcap")).map(str::to_owned);
    assert_eq!((String::from_utf8_lossy(&said.stdout).as_ref(), complaint), ("", None));

    let asked = desk.lines("asked");
    let about = |question: &str| {
        asked
            .iter()
            .filter(|line| line.starts_with(question) && line.contains(&container.interface()))
            .count()
    };
    assert!(asked[0].starts_with("--extcap-interfaces --extcap-version="), "{}", asked[0]);
    assert!(about("--extcap-config --extcap-interface") > 0 && about("--extcap-dlts") > 0, "{asked:?}");
    assert_eq!(about("--capture --extcap-interface"), 1, "{asked:?}");
}

fn a_window_closed_while_capturing_leaves_no_process(lab: &Lab, version: Version) {
    let container = lab.container(&[]);
    let desk = Desk::with(lab, version);
    let window = desk.open(&container, &[]);
    container.fetch(3);
    eventually("the window shows them", || desk.lines("shown").len() >= 30);
    assert!(desk.user.captures());
    assert!(desk.close(window).status.success());
    let home = desk.user.home.path().to_str().expect("a path");
    eventually("nothing of it runs", || {
        !output(Command::new("ps").args(["-e", "-o", "args="])).contains(home)
    });
    let statistics = statistics_of(&desk.file());
    assert_eq!(statistics[&0].written, statistics[&0].packets);
    assert_eq!(capinfos(&desk.file(), "Number of packets"), statistics[&0].packets.to_string());
}
