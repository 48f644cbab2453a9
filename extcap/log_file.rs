//! The log: what was looked up and found, never what is in a packet.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::SystemTime;

use containerdump::error::Error;
use containerdump::safe_text::SafeText;
use containerdump::session::{ResolvedPath, timestamp};
use log::{LevelFilter, Log, Metadata, Record};

/// Longest line, in characters.
const LONGEST: usize = 500;

/// The words of Wireshark's own capture tools, from little to much.
pub(crate) const LEVELS: [(&str, LevelFilter); 4] = [
    ("message", LevelFilter::Warn),
    ("info", LevelFilter::Info),
    ("debug", LevelFilter::Debug),
    ("noisy", LevelFilter::Trace),
];

/// Begins the log in `file`; without a file nothing is logged: Wireshark makes a dialog of what
/// appears on stderr.
///
/// Fails when there is no such level, or the file cannot be opened.
pub(crate) fn open(level: Option<&str>, file: Option<&Path>) -> Result<(), Error> {
    let level = level.unwrap_or(LEVELS[0].0);
    let Some((_, level)) = LEVELS.iter().find(|(word, _)| *word == level) else {
        let words = LEVELS.map(|(word, _)| word).join(", ");
        return Err(Error::new(
            format!("cannot use --log-level {}", SafeText::new(level)),
            format!("give one of {words}"),
        ));
    };
    let Some(path) = file else { return Ok(()) };
    let opened = ResolvedPath::resolve(path).and_then(|destination| {
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600).custom_flags(destination.flags().bits());
        options.open(&destination.path)
    });
    let file = opened.map_err(|error| {
        Error::new(
            format!("cannot open log file {}: {error}", path.display()),
            "name one in a folder of your own, or none",
        )
    })?;
    log::set_max_level(*level);
    // Only the first log of a process is kept, and there is only one.
    let _ = log::set_boxed_logger(Box::new(FileLogger(Mutex::new(file))));
    Ok(())
}

struct FileLogger(Mutex<File>);

impl Log for FileLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Libraries log whole answers of the engine, environment and labels included.
        metadata.target().starts_with("containerdump")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let text = SafeText::with_limit(&record.args().to_string(), LONGEST);
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
