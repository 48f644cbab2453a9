//! Our own program, brought to a host that has none.

use std::io::{self, Write as _};
use std::net::Shutdown;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::lines::Lines;
use super::place::{self, Answer};
use super::{Host, Notice, Session, failure};
use crate::error::Error;
use crate::safe_text::SafeText;
use crate::static_program::{self, Architecture, StaticProgram};

/// How long the host may take to look for it: it may have to wait for a busy machine there.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long no more of it may arrive.
const STALL: Duration = Duration::from_secs(15);
/// How long all of it may take: 4 MB at 5 kB/s.
const PATIENCE_IN_ALL: Duration = Duration::from_mins(15);
/// Characters of a line that is shown.
const LONGEST: usize = 200;

/// A program that lies on a host.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// The number of its place.
    place: u8,
    name: String,
    digest: String,
    /// Whether it lay there before.
    pub(super) before: bool,
    /// Places that could not be used, and why.
    pub(super) passed_over: Vec<SafeText>,
}

/// Starts a command of ours on a host.
pub(super) type Start<'a> = &'a dyn Fn(&str) -> Result<Session, Error>;

impl Sent {
    /// Sends the program for `architecture` to `host`, where it runs with `before` before it, unless it lies there already.
    ///
    /// Fails when there is none here or no place for it there, or when it does not arrive.
    pub(super) fn bring(
        host: &Host,
        architecture: Architecture,
        before: &'static str,
        start: Start<'_>,
        tell: fn(&Host, &Notice),
    ) -> Result<Self, Error> {
        let program = StaticProgram::find(architecture)?;
        let digest = program.digest().to_owned();
        let name = format!("{}-{digest}", static_program::name(architecture));
        let mut sent = Self { place: 0, name, digest, before: false, passed_over: Vec::new() };
        let mut offer = Offer { host, before, tell, until: Instant::now() + PATIENCE_IN_ALL };
        let mut skip = 0;
        while skip < place::MOST {
            match offer.make(&mut sent, &program, skip, start)? {
                None => return Ok(sent),
                Some(next) => skip = next,
            }
        }
        let why = sent.passed_over.iter().map(SafeText::as_str).collect::<Vec<_>>().join("; ");
        Err(cannot_send(host, &why))
    }

    /// Starts it; `before` stands before it.
    ///
    /// Fails when `ssh` does not start.
    pub(super) fn run(&self, before: &'static str, start: Start<'_>) -> Result<Session, Error> {
        let session = start(&place::run(before))?;
        let Self { place, name, digest, .. } = self;
        // Where the link is gone, reading will tell.
        let _ = session.stream()?.write_all(format!("{name}\n{digest}\n{place}\n").as_bytes());
        Ok(session)
    }
}

/// Removes what was sent to `host`; returns where from.
///
/// Fails when the host does not do as it is told.
pub(super) fn remove(host: &Host, start: Start<'_>) -> Result<Vec<SafeText>, Error> {
    let mut session = start(&place::remove())?;
    let mut lines = Lines::of(&session)?;
    let mut removed = Vec::new();
    loop {
        match lines.next(Instant::now() + PATIENCE) {
            Ok(line) => match Answer::read(&line) {
                Some(Answer::Removed(place)) => removed.push(SafeText::with_limit(place, LONGEST)),
                Some(Answer::Done) => return Ok(removed),
                _ => {}
            },
            Err(why) => {
                let remedy = format!("see that this works: {} true", failure::command(host));
                let trouble = Error::new(format!("cannot remove what was sent to {host}: {why}"), remedy);
                return Err(session.explain(trouble));
            }
        }
    }
}

/// One that is being made.
struct Offer<'a> {
    host: &'a Host,
    /// What stands before the program when it runs.
    before: &'static str,
    tell: fn(&Host, &Notice),
    /// When it must have come.
    until: Instant,
}

impl Offer<'_> {
    /// Offers it to places from `skip` on. Returns which is the next to try where this one does not take it.
    fn make(
        &mut self,
        sent: &mut Sent,
        program: &StaticProgram,
        skip: u8,
        start: Start<'_>,
    ) -> Result<Option<u8>, Error> {
        let mut session = start(&place::offer(self.before))?;
        let mut lines = Lines::of(&session)?;
        let size = program.content().len();
        let asked = format!("{}\n{}\n{size}\n{skip}\n{}\n", sent.name, sent.digest, place::TRIAL);
        let _ = (&lines.stream).write_all(asked.as_bytes());
        let (mut arrived, mut until, mut writer) = (0, Instant::now() + PATIENCE, None);
        let outcome = loop {
            let line = match lines.next(until.min(self.until)) {
                Ok(line) => line,
                Err(why) => break Err(session.explain(cannot_send(self.host, &why))),
            };
            match Answer::read(&line) {
                Some(Answer::Not(place)) => sent.passed_over.push(SafeText::with_limit(place, LONGEST)),
                Some(Answer::None) => break Ok(Some(place::MOST)),
                Some(Answer::Here(place)) => {
                    (sent.place, sent.before) = (place, true);
                    break Ok(None);
                }
                Some(Answer::Send) if writer.is_none() => {
                    (self.tell)(self.host, &Notice::Sending(0, size));
                    writer = Some(write(&lines, program, self.host)?);
                    until = Instant::now() + STALL;
                }
                Some(Answer::Has(bytes)) if bytes > arrived && bytes <= size => {
                    (arrived, until) = (bytes, Instant::now() + STALL);
                    (self.tell)(self.host, &Notice::Sending(bytes, size));
                }
                Some(Answer::Sent(place)) if writer.is_some() => {
                    sent.place = place;
                    break Ok(None);
                }
                // Each is tried once, whatever the host says.
                Some(Answer::Failed(place)) => break Ok(Some(place.max(skip) + 1)),
                _ => {}
            }
        };
        if let Some(writer) = writer {
            (self.tell)(self.host, &Notice::SendingEnded);
            let _ = lines.stream.shutdown(Shutdown::Both);
            let _ = writer.join();
            // Its end takes a second, but the host may not allow a second session beside it (`MaxSessions 1`).
            drop(session);
        }
        outcome
    }
}

/// Writes the program, beside.
fn write(lines: &Lines, program: &StaticProgram, host: &Host) -> Result<JoinHandle<()>, Error> {
    let cannot = |error: io::Error| cannot_send(host, &error.to_string());
    let (mut stream, program) = (lines.stream.try_clone().map_err(cannot)?, program.clone());
    let write = move || {
        // What becomes of it the host says.
        let _ = stream.write_all(program.content()).and_then(|()| stream.shutdown(Shutdown::Write));
    };
    std::thread::Builder::new().name("sending".to_owned()).spawn(write).map_err(cannot)
}

fn cannot_send(host: &Host, why: &str) -> Error {
    Error::new(
        format!("cannot send containerdump to {host}: {why}"),
        "install it there, where commands are looked for: make install",
    )
}
