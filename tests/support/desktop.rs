//! Wireshark in a window on a virtual screen.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use super::lab::{Container, Lab, end_of, eventually, output, start};
use super::wireshark::WiresharkUser;

/// Network names on, no questions and no update notice.
pub(crate) const PREFERENCES: &str =
    "nameres.network_name: TRUE\ngui.update.enabled: FALSE\ngui.ask_unsaved: FALSE\n";

/// Runs inside Wireshark: writes the source name of every packet it shows.
pub(crate) const WITNESS: &str = r#"
local path = os.getenv("HOME") .. "/shown"
local file = io.open(path, "w")
local sender = Field.new("ip.src_host")
local tap = Listener.new("ip")
function tap.packet() file:write(tostring(sender()), "\n") file:flush() end
function tap.reset() file:close() file = io.open(path, "w") end
"#;

/// Replaces the program: logs its arguments and runs it.
pub(crate) const CALL_LOGGER: &str =
    "#!/bin/sh\necho \"$*\" >>\"$HOME/asked\"\nexec \"$HOME/containerdump\" \"$@\"\n";

/// The Wireshark a test runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WiresharkVersion {
    /// The package of this machine; Debian 12 has the oldest supported one.
    Installed,
    /// Of Debian sid, from `tests/lab/wireshark-newest`.
    Newest,
}

impl WiresharkVersion {
    pub(crate) const ALL: [Self; 2] = [Self::Installed, Self::Newest];
    const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/wireshark-newest");

    /// Fails with the reason if tests cannot run in this version.
    pub(crate) fn check(self) -> Result<(), String> {
        let newest = concat!(env!("CARGO_MANIFEST_DIR"), "/target/wireshark-newest");
        let is_there = self == Self::Installed || Path::new(newest).is_dir();
        is_there
            .then_some(())
            .ok_or("no target/wireshark-newest: run tests/lab/wireshark-newest make".to_owned())
    }

    /// tshark. The newest one runs as user 65534.
    pub(crate) fn tshark(self) -> Command {
        match self {
            Self::Installed => Command::new("tshark"),
            Self::Newest => {
                let mut command = Command::new(Self::SCRIPT);
                command.args(["run", "tshark"]);
                command
            }
        }
    }
}

/// A user with a screen, who logs the calls of the program and the packets shown.
pub(crate) struct Desktop {
    version: WiresharkVersion,
    display: String,
    server: Child,
    manager: Child,
    pub(crate) user: WiresharkUser,
}

impl Desktop {
    pub(crate) fn new(lab: &Lab) -> Self {
        Self::with(lab, WiresharkVersion::Installed)
    }

    /// A desktop with this version of Wireshark.
    pub(crate) fn with(lab: &Lab, version: WiresharkVersion) -> Self {
        let mut user = WiresharkUser::new(lab);
        let home = user.home.path();
        let program = home.join("containerdump");
        fs::rename(&user.program, &program).expect("a move");
        fs::write(&user.program, CALL_LOGGER).expect("a script");
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

    /// Opens Wireshark with a capture of a container, written to `file`.
    pub(crate) fn open(&self, container: &Container, options: &[&str]) -> Child {
        self.open_by(self.wireshark(), container, options)
    }

    /// The same with a prepared `wireshark` command.
    pub(crate) fn open_by(&self, wireshark: Command, container: &Container, options: &[&str]) -> Child {
        self.open_several(wireshark, &[container], options)
    }

    /// The same with several containers.
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

    /// Closes the window with its key.
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
            WiresharkVersion::Installed => self.runs("wireshark"),
            WiresharkVersion::Newest => {
                let mut command = Command::new(WiresharkVersion::SCRIPT);
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

impl Drop for Desktop {
    fn drop(&mut self) {
        // With SIGTERM the server removes its lock and socket.
        for child in [&mut self.manager, &mut self.server] {
            let _ = Command::new("kill").arg(child.id().to_string()).output();
            let _ = child.wait();
        }
    }
}

/// Wireshark 4.0 loses its toolbars when network interfaces change (GitLab 19854), so it runs in a network namespace of
/// its own, from which the program returns. A capture waits while a file `hold` exists.
pub(crate) fn apart(desk: &Desktop) -> Command {
    let (home, own) = (desk.user.home.path().display().to_string(), std::process::id());
    let enter = desk.path("enter");
    fs::copy("/usr/bin/nsenter", &enter).expect("nsenter");
    output(Command::new("setcap").arg("cap_sys_admin,cap_sys_ptrace=ep").arg(&enter));
    let script = format!(
        "#!/bin/sh\ncase $* in --capture*) while [ -e {home}/hold ]; do sleep 0.02; done ;; esac\n\
         exec {home}/enter --net=/proc/{own}/ns/net {home}/containerdump \"$@\" \
         --log-level info --log-file {home}/log\n"
    );
    fs::write(desk.path("extcap/containerdump"), script).expect("a script");
    let settings = desk.path("config/wireshark");
    // The profile shows the toolbar, which Wireshark hides by default.
    fs::write(settings.join("recent"), include_str!("../../installer/profile/recent")).expect("settings");
    fs::write(settings.join("recent_common"), "gui.geometry_main_maximized: TRUE\n").expect("settings");
    let of_user = desk.wireshark();
    let mut wireshark = Command::new("unshare");
    wireshark.arg("--net").arg(of_user.get_program()).args(of_user.get_args());
    for (name, value) in of_user.get_envs() {
        wireshark.env(name, value.expect("a value"));
    }
    wireshark
}
