//! The log file: containers, taps and errors, never the content of packets.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Mutex;
use std::time::SystemTime;

use clap::ValueEnum;
use containerdump::error::Error;
use containerdump::privilege::file_system_user;
use containerdump::safe_text::SafeText;
use containerdump::session::{ResolvedPath, timestamp};
use log::{LevelFilter, Log, Metadata, Record};

/// Longest line, in characters.
const MAX_LINE_LEN: usize = 500;

/// How much is logged: the levels of Wireshark's own extcap programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    #[default]
    Message,
    Info,
    Debug,
    Noisy,
}

impl LogLevel {
    fn filter(self) -> LevelFilter {
        match self {
            Self::Message => LevelFilter::Warn,
            Self::Info => LevelFilter::Info,
            Self::Debug => LevelFilter::Debug,
            Self::Noisy => LevelFilter::Trace,
        }
    }
}

/// Starts the log in `file`. Without a file nothing is logged: Wireshark shows stderr in a dialog.
///
/// Fails when the file cannot be opened, or other users could read it.
pub(crate) fn open(level: LogLevel, file: Option<&Path>) -> Result<(), Error> {
    let Some(path) = file else { return Ok(()) };
    let opened = ResolvedPath::resolve(path).and_then(|destination| {
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600).custom_flags(destination.flags().bits());
        let file = options.open(&destination.path)?;
        if !destination.is_descriptor {
            ensure_private(&file)?;
        }
        Ok(file)
    });
    let file = opened.map_err(|error| {
        Error::new(
            format!("cannot open log file {}: {error}", path.display()),
            "name a new file in a folder of your own, or none",
        )
    })?;
    log::set_max_level(level.filter());
    // A process opens one log only.
    let _ = log::set_boxed_logger(Box::new(FileLogger(Mutex::new(file))));
    Ok(())
}

/// Makes a file readable to its owner only. Files that another user can read or has chosen, and FIFOs of others, are refused.
fn ensure_private(file: &File) -> io::Result<()> {
    let (metadata, refused) = (file.metadata()?, |why| Err(io::Error::new(ErrorKind::PermissionDenied, why)));
    let (kind, is_own) = (metadata.file_type(), metadata.uid() == file_system_user().as_raw());
    if kind.is_char_device() {
        return Ok(());
    }
    if !kind.is_file() && !kind.is_fifo() {
        return refused("it is not a file");
    }
    if !is_own {
        return refused("it belongs to another user");
    }
    if kind.is_fifo() {
        return Ok(());
    }
    if metadata.nlink() != 1 {
        return refused("it is also linked at another path");
    }
    file.set_permissions(Permissions::from_mode(0o600))
}

struct FileLogger(Mutex<File>);

impl Log for FileLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Libraries log whole responses of the engine, including environment variables and labels.
        metadata.target().starts_with("containerdump")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let text = SafeText::with_limit(&record.args().to_string(), MAX_LINE_LEN);
            let line = format!("{} {} {text}\n", timestamp(SystemTime::now()), record.level());
            if let Ok(mut file) = self.0.lock() {
                // A full disk must not end a capture.
                let _ = file.write_all(line.as_bytes());
            }
        }
    }

    fn flush(&self) {
        let _ = io::stdout().flush();
    }
}
