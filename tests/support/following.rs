//! A capture that follows containers.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::lab::{end_of, eventually, folder, signal};

/// A running capture with `--follow`, a label or a name, and its log.
pub(crate) struct Following {
    pub(crate) child: Child,
    path: PathBuf,
    folder: TempDir,
}

impl Following {
    pub(crate) fn begin(command: Command, options: &[&str]) -> Self {
        Self::begin_in(folder(), command, options)
    }

    /// The same with its file in `folder`, which belongs to the capturing user.
    pub(crate) fn begin_in(folder: TempDir, mut command: Command, options: &[&str]) -> Self {
        let path = folder.path().join("out.pcapng");
        command.arg("capture").args(options).arg("--write").arg(&path);
        let said = std::fs::File::create(folder.path().join("said")).expect("a file");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        let child = command.spawn().expect("the program starts");
        // Only the section header: there may be no interface yet.
        eventually("the capture begins", || path.metadata().is_ok_and(|about| about.len() > 20));
        Self { child, path, folder }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Names and descriptions of all interface blocks so far.
    pub(crate) fn interfaces(&self) -> Vec<(String, String)> {
        interfaces(&self.path)
    }

    /// Waits for `blocks` interface blocks of that name.
    pub(crate) fn wait_for(&self, name: &str, blocks: usize) {
        eventually("it joins", || self.interfaces().iter().filter(|(one, _)| one == name).count() == blocks);
    }

    pub(crate) fn stop(self) -> (PathBuf, TempDir) {
        signal(&self.child, "INT");
        let (path, folder, _) = self.end();
        (path, folder)
    }

    /// Waits for the end of the capture. Returns also its standard error.
    pub(crate) fn end(self) -> (PathBuf, TempDir, String) {
        let said = self.read_stderr();
        let Self { child, path, folder } = self;
        let ended = end_of(child);
        let said = said();
        assert!(ended.status.success(), "{said}");
        (path, folder, said)
    }

    /// Its standard error so far.
    pub(crate) fn said(&self) -> String {
        self.read_stderr()()
    }

    fn read_stderr(&self) -> impl Fn() -> String + use<> {
        let path = self.folder.path().join("said");
        move || std::fs::read_to_string(&path).expect("what it said")
    }
}

/// Names and descriptions as printed by capinfos.
pub(crate) fn interfaces(path: &Path) -> Vec<(String, String)> {
    // A file that is being written may end within a block.
    let shown = Command::new("capinfos").arg(path).output().expect("capinfos");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let of = |what: &str| -> Vec<String> {
        let lines = shown.lines().filter_map(|line| line.trim().strip_prefix(what));
        lines.map(|rest| rest.trim_start_matches([' ', '=']).to_owned()).collect()
    };
    of("Name").into_iter().zip(of("Description")).collect()
}
