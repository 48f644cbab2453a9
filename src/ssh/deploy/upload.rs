//! Uploads the program to a host, and removes it.

use std::io::{self, Write as _};
use std::net::Shutdown;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::scripts::{self, ScriptMessage};
use crate::error::Error;
use crate::safe_text::SafeText;
use crate::ssh::lines::OutputLines;
use crate::ssh::session::StartSession;
use crate::ssh::{ConnectionEvent, Elevation, Host, SshSession, errors};
use crate::static_program::{self, Architecture, StaticProgram};

/// A busy host may need long to look for the program.
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(20);
/// Without progress.
const STALL_TIMEOUT: Duration = Duration::from_secs(15);
/// In all: 4 MB at 5 kB/s.
const UPLOAD_TIMEOUT: Duration = Duration::from_mins(15);
/// Of a path with a reason, in characters.
const MAX_FOLDER_TEXT_LEN: usize = 200;

/// A program that was uploaded to a host.
#[derive(Clone, Debug)]
pub(super) struct UploadedProgram {
    /// The number of the folder it is in.
    folder: u8,
    name: String,
    digest: String,
    /// Whether an earlier run uploaded it.
    pub(super) existed: bool,
    /// Folders that could not be used, and why.
    pub(super) skipped_folders: Vec<SafeText>,
}

impl UploadedProgram {
    /// Uploads the program for `architecture` unless the host has it already.
    ///
    /// # Errors
    /// There is no program for it, no usable folder on the host, or the upload fails.
    pub(super) fn upload(
        host: &Host,
        architecture: Architecture,
        elevation: Elevation,
        start: StartSession<'_>,
        on_event: fn(&Host, &ConnectionEvent),
    ) -> Result<Self, Error> {
        let program = StaticProgram::find(architecture)?;
        let digest = program.digest().to_owned();
        let name = format!("{}-{digest}", static_program::file_name(architecture));
        let mut uploaded = Self { folder: 0, name, digest, existed: false, skipped_folders: Vec::new() };
        let upload = Upload { host, elevation, on_event, deadline: Instant::now() + UPLOAD_TIMEOUT };
        let mut first_folder = 0;
        while first_folder < scripts::FOLDER_COUNT {
            match upload.attempt(&mut uploaded, &program, first_folder, start)? {
                None => return Ok(uploaded),
                Some(next) => first_folder = next,
            }
        }
        let reasons: Vec<&str> = uploaded.skipped_folders.iter().map(SafeText::as_str).collect();
        Err(cannot_upload(host, &reasons.join("; ")))
    }

    /// Starts it.
    ///
    /// # Errors
    /// `ssh` cannot be started.
    pub(super) fn start(&self, elevation: Elevation, start: StartSession<'_>) -> Result<SshSession, Error> {
        let session = start(&scripts::run(elevation))?;
        let Self { folder, name, digest, .. } = self;
        // If the connection is lost, reading reports it.
        let _ = session.stream()?.write_all(format!("{name}\n{digest}\n{folder}\n").as_bytes());
        Ok(session)
    }
}

/// Removes uploaded programs from `host`. Returns the folder of each.
///
/// # Errors
/// The host does not run the script.
pub(super) fn remove(host: &Host, start: StartSession<'_>) -> Result<Vec<SafeText>, Error> {
    let mut session = start(&scripts::remove())?;
    let mut lines = OutputLines::new(&session)?;
    let mut folders = Vec::new();
    let deadline = Instant::now() + SCRIPT_TIMEOUT;
    loop {
        match lines.next_line(deadline) {
            Ok(line) => match ScriptMessage::parse(&line) {
                Some(ScriptMessage::Removed(folder)) => {
                    folders.push(SafeText::with_limit(folder, MAX_FOLDER_TEXT_LEN));
                }
                Some(ScriptMessage::Done) => return Ok(folders),
                _ => {}
            },
            Err(cause) => {
                let remedy = format!("{} true", errors::check_ssh(host));
                let error =
                    Error::new(format!("cannot remove uploaded programs from {host}: {cause}"), remedy);
                return Err(session.explain(error));
            }
        }
    }
}

struct Upload<'a> {
    host: &'a Host,
    elevation: Elevation,
    on_event: fn(&Host, &ConnectionEvent),
    deadline: Instant,
}

impl Upload<'_> {
    /// Tries folders from `first_folder` on. Returns the next folder to try if the upload to one of them failed.
    fn attempt(
        &self,
        uploaded: &mut UploadedProgram,
        program: &StaticProgram,
        first_folder: u8,
        start: StartSession<'_>,
    ) -> Result<Option<u8>, Error> {
        let mut session = start(&scripts::upload(self.elevation))?;
        let mut lines = OutputLines::new(&session)?;
        let total = program.content().len();
        let UploadedProgram { name, digest, .. } = &*uploaded;
        let input = format!("{name}\n{digest}\n{total}\n{first_folder}\n{}\n", scripts::TRIAL_PROGRAM);
        let _ = (&lines.stream).write_all(input.as_bytes());
        let (mut received, mut deadline, mut writer) = (0, Instant::now() + SCRIPT_TIMEOUT, None);
        let outcome = loop {
            let line = match lines.next_line(deadline.min(self.deadline)) {
                Ok(line) => line,
                Err(cause) => break Err(session.explain(cannot_upload(self.host, &cause))),
            };
            match ScriptMessage::parse(&line) {
                Some(ScriptMessage::Skipped(folder)) => {
                    uploaded.skipped_folders.push(SafeText::with_limit(folder, MAX_FOLDER_TEXT_LEN));
                }
                Some(ScriptMessage::NoFolder) => break Ok(Some(scripts::FOLDER_COUNT)),
                Some(ScriptMessage::Exists(folder)) => {
                    (uploaded.folder, uploaded.existed) = (folder, true);
                    break Ok(None);
                }
                Some(ScriptMessage::Ready) if writer.is_none() => {
                    (self.on_event)(self.host, &ConnectionEvent::UploadProgress { received, total });
                    writer = Some(write_in_background(&lines, program, self.host)?);
                    deadline = Instant::now() + STALL_TIMEOUT;
                }
                Some(ScriptMessage::Received(bytes)) if bytes > received && bytes <= total => {
                    (received, deadline) = (bytes, Instant::now() + STALL_TIMEOUT);
                    (self.on_event)(self.host, &ConnectionEvent::UploadProgress { received, total });
                }
                Some(ScriptMessage::Stored(folder)) if writer.is_some() => {
                    uploaded.folder = folder;
                    break Ok(None);
                }
                // Each folder is tried once, whatever the host reports.
                Some(ScriptMessage::Failed(folder)) => break Ok(Some(folder.max(first_folder) + 1)),
                _ => {}
            }
        };
        if let Some(writer) = writer {
            (self.on_event)(self.host, &ConnectionEvent::UploadEnded);
            let _ = lines.stream.shutdown(Shutdown::Both);
            let _ = writer.join();
            // Takes a second, but the server may not allow a second session beside it (`MaxSessions 1`).
            drop(session);
        }
        outcome
    }
}

fn write_in_background(
    lines: &OutputLines,
    program: &StaticProgram,
    host: &Host,
) -> Result<JoinHandle<()>, Error> {
    let failed = |error: io::Error| cannot_upload(host, &error.to_string());
    let (mut stream, program) = (lines.stream.try_clone().map_err(failed)?, program.clone());
    let write = move || {
        // The script reports what has arrived.
        let _ = stream.write_all(program.content()).and_then(|()| stream.shutdown(Shutdown::Write));
    };
    std::thread::Builder::new().name("upload".to_owned()).spawn(write).map_err(failed)
}

fn cannot_upload(host: &Host, cause: &str) -> Error {
    Error::new(format!("cannot upload containerdump to {host}: {cause}"), errors::INSTALL_REMEDY)
}
