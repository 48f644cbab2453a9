//! The log file: containers, taps and errors, never the content of packets.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::SystemTime;

use clap::ValueEnum;
use containerdump::error::Error;
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
/// Fails when the file cannot be opened.
pub(crate) fn open(level: LogLevel, file: Option<&Path>) -> Result<(), Error> {
    let Some(path) = file else { return Ok(()) };
    let opened = ResolvedPath::resolve(path).and_then(|destination| {
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600).custom_flags(destination.flags().bits());
        options.open(&destination.path)
    });
    let file = opened.map_err(|error| {
        Error::new(
            format!("cannot open log file {}: {error}", path.display()),
            "name a file in a folder of your own, or none",
        )
    })?;
    log::set_max_level(level.filter());
    // A process opens one log only.
    let _ = log::set_boxed_logger(Box::new(FileLogger(Mutex::new(file))));
    Ok(())
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
