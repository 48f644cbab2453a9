//! Wireshark's end of the control pipes of a toolbar, and the capture at the other end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;

use super::lab::{end_of, eventually, fifo, folder, signal, start};

/// Numbers of controls, as in the output of `--extcap-interfaces`.
pub(crate) const ATTACHMENT: u8 = 1;
pub(crate) const STATISTICS: u8 = 2;
pub(crate) const FILTER: u8 = 3;
pub(crate) const PAUSE: u8 = 4;
pub(crate) const LOG: u8 = 5;

/// A capture with control pipes.
pub(crate) struct ToolbarCapture {
    pub(crate) child: Child,
    copy: Child,
    pub(crate) path: PathBuf,
    pub(crate) pipes: ToolbarPipes,
}

/// The control pipes in a temporary directory.
pub(crate) struct ToolbarPipes {
    pub(crate) folder: TempDir,
    pub(crate) to_capture: PathBuf,
    pub(crate) from_capture: PathBuf,
}

impl ToolbarPipes {
    /// Paths without pipes.
    pub(crate) fn none() -> Self {
        let folder = folder();
        let (to_capture, from_capture) = (folder.path().join("in"), folder.path().join("out"));
        Self { folder, to_capture, from_capture }
    }

    pub(crate) fn make() -> Self {
        let pipes = Self::none();
        for path in [&pipes.to_capture, &pipes.from_capture] {
            mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).expect("a FIFO");
        }
        pipes
    }
}

impl ToolbarCapture {
    /// Starts `program` with these pipes, and copies its packets to a file.
    pub(crate) fn begin(mut program: Command, options: &[&str], pipes: ToolbarPipes) -> Self {
        let fifo = fifo(&pipes.folder);
        let path = pipes.folder.path().join("out.pcapng");
        program.args(["--capture", "--fifo"]).arg(&fifo).args(options);
        program.arg("--extcap-control-in").arg(&pipes.to_capture);
        program.arg("--extcap-control-out").arg(&pipes.from_capture);
        let child = start(&mut program);
        let mut copy = Command::new("dd");
        // With one block size dd writes at once what it reads.
        copy.args(["status=none", "bs=64k"])
            .arg(format!("if={}", fifo.display()))
            .arg(format!("of={}", path.display()));
        Self { child, copy: start(&mut copy), path, pipes }
    }

    /// Waits for the first interface block.
    pub(crate) fn captures(&self) {
        eventually("the capture begins", || self.path.metadata().is_ok_and(|about| about.len() > 200));
    }

    /// Does `work` while the packets are not read.
    pub(crate) fn nobody_reads(&self, work: impl FnOnce()) {
        signal(&self.copy, "STOP");
        work();
        signal(&self.copy, "CONT");
    }

    /// Waits for the end of the stream, then opens the control pipe after `later`, as Wireshark does. Returns the status and
    /// standard error.
    pub(crate) fn fails(self, later: Duration) -> (Option<i32>, String) {
        end_of(self.copy);
        std::thread::sleep(later);
        // Without this, a waiting capture would never end.
        let flags = OFlag::O_NONBLOCK.bits();
        let control = OpenOptions::new().write(true).custom_flags(flags).open(&self.pipes.to_capture);
        let mut control = control.expect("the capture is still there to read the control pipe");
        control.write_all(&message(0, 0, b"")).expect("a reader");
        let ended = end_of(self.child);
        (ended.status.code(), String::from_utf8_lossy(&ended.stderr).into_owned())
    }

    /// Waits for the end of the stream. Returns the process.
    pub(crate) fn comes_to_its_end(self) -> (Child, ToolbarPipes) {
        end_of(self.copy);
        (self.child, self.pipes)
    }

    /// Stops the capture as Wireshark does.
    pub(crate) fn stop(self) -> (PathBuf, TempDir) {
        signal(&self.child, "TERM");
        let ended = end_of(self.child);
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!((ended.status.code(), said.as_str()), (Some(0), ""));
        end_of(self.copy);
        (self.path, self.pipes.folder)
    }
}

/// A toolbar, with what it shows.
pub(crate) struct Toolbar {
    to_capture: File,
    from_capture: File,
    unread: Vec<u8>,
    /// The value of each control, and the controls changed by the user since the capture set them.
    fields: BTreeMap<u8, String>,
    changed: BTreeSet<u8>,
    pub(crate) list: Vec<(String, String)>,
    pub(crate) log: String,
    pub(crate) warnings: Vec<String>,
    /// Messages of the status bar.
    pub(crate) status: Vec<String>,
}

impl Toolbar {
    /// Opens the pipes as Wireshark does, and sends that it is initialized.
    pub(crate) fn open(pipes: &ToolbarPipes) -> Self {
        Self::open_with(pipes, None)
    }

    /// The same with a filter entered before the capture.
    pub(crate) fn open_with(pipes: &ToolbarPipes, filter: Option<&str>) -> Self {
        // This one first: opening the other blocks Wireshark's window until the capture opens it.
        let flags = OFlag::O_NONBLOCK.bits();
        let from_capture = OpenOptions::new().read(true).custom_flags(flags).open(&pipes.from_capture);
        let to_capture = OpenOptions::new().write(true).open(&pipes.to_capture);
        let mut toolbar = Self {
            to_capture: to_capture.expect("the FIFO"),
            from_capture: from_capture.expect("the FIFO"),
            unread: Vec::new(),
            fields: BTreeMap::new(),
            changed: BTreeSet::new(),
            list: Vec::new(),
            log: String::new(),
            warnings: Vec::new(),
            status: Vec::new(),
        };
        if let Some(filter) = filter {
            toolbar.set(FILTER, filter);
        }
        toolbar.say(0, 0, "");
        toolbar
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.to_capture.write_all(bytes).expect("a capture");
    }

    pub(crate) fn say(&mut self, control: u8, command: u8, payload: &str) {
        self.write(&message(control, command, payload.as_bytes()));
    }

    /// Sets a control as the user does.
    pub(crate) fn set(&mut self, control: u8, payload: &str) {
        self.say(control, 1, payload);
        self.changed.insert(control);
        self.fields.insert(control, payload.to_owned());
    }

    /// Whether Wireshark sends the control's value to the next capture.
    pub(crate) fn remembers(&self, control: u8) -> bool {
        self.changed.contains(&control)
    }

    pub(crate) fn field(&self, control: u8) -> &str {
        self.fields.get(&control).map_or("", String::as_str)
    }

    /// Waits until a condition on the toolbar holds.
    pub(crate) fn shows(&mut self, what: &str, shown: impl Fn(&Self) -> bool) {
        eventually(what, || {
            self.read();
            shown(self)
        });
    }

    /// Applies received messages to the controls, like interface_toolbar.cpp.
    pub(crate) fn read(&mut self) {
        // EAGAIN: no data yet.
        let _ = self.from_capture.read_to_end(&mut self.unread);
        while let Some((control, command, payload)) = self.next() {
            let text = String::from_utf8(payload).expect("text");
            match (control, command) {
                (LOG, 1) => self.log = text,
                (LOG, 2) => self.log.push_str(&text),
                (ATTACHMENT, 2) => {
                    let (value, display) = text.split_once('\0').expect("a value and its text");
                    self.list.push((value.to_owned(), display.to_owned()));
                }
                (ATTACHMENT, 3) => self.list.clear(),
                (_, 1) => {
                    if self.field(control) != text {
                        self.changed.remove(&control);
                    }
                    self.fields.insert(control, text);
                }
                (_, 6) => self.status.push(text),
                (_, 8) => self.warnings.push(text),
                other => panic!("{other:?} with {text:?}"),
            }
        }
    }

    fn next(&mut self) -> Option<(u8, u8, Vec<u8>)> {
        let [begin, high, middle, low, control, command] = *self.unread.first_chunk::<6>()?;
        assert_eq!(begin, b'T');
        let end = u32::from_be_bytes([0, high, middle, low]) as usize + 4;
        // Wireshark busy-waits for the rest of a message.
        let payload = self.unread.get(6..end).expect("all of the message").to_vec();
        self.unread.drain(..end);
        Some((control, command, payload))
    }
}

pub(crate) fn message(control: u8, command: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len() + 2).expect("it is short").to_be_bytes();
    [&[b'T', length[1], length[2], length[3], control, command], payload].concat()
}
