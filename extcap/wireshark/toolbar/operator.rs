//! Who sits between the toolbar and the capture: passes wishes on, and news back.

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use containerdump::capture::{self, CaptureSettings, CompiledFilter};
use containerdump::error::Error;
use containerdump::session::{Answer, Order, Orders};
use log::info;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::control::{ALL, Wish};
use super::fields::Fields;
use super::figures::{DropNotice, Snapshot};
use super::message::Command;
use super::panel::Panel;
use super::pipes::Pipes;
use super::{Control, PATIENCE, Terms};

/// How long it takes until another look whether Wireshark has read, in milliseconds.
const LOOK_AGAIN: u16 = 200;
/// The same at the end, when the program waits for it.
const LOOK_AT_END: Duration = Duration::from_millis(2);
/// Reports after which all that came in a pause has been counted.
const REPORTS_UNTIL_COUNTED: u8 = 2;

/// What the button shows.
const PAUSE: &str = "Pause";
const GO_ON: &str = "Go on";

/// Passes on what both sides have to say.
pub(super) struct Operator {
    pipes: Pipes,
    panel: Arc<Panel>,
    orders: Orders,
    terms: Terms,
    /// Whether there is a toolbar that wants to know.
    is_there: bool,
    fields: Fields,
    /// Whose figures are shown.
    shown: String,
    paused: bool,
    before: Option<Snapshot>,
    /// How many packets pauses had left out before the last one, and for how many reports to wait.
    left_out: Option<(u64, u8)>,
    /// What a dialog is to say.
    warning: Option<String>,
    drop_notice: DropNotice,
}

impl Operator {
    pub(super) fn new(pipes: Pipes, panel: Arc<Panel>, orders: Orders, terms: Terms) -> Self {
        let mut fields = Fields::new();
        fields.show(Control::Filter, terms.settings.filter.as_deref().unwrap_or_default());
        fields.show(Control::Pause, PAUSE);
        Self {
            pipes,
            panel,
            orders,
            terms,
            is_there: false,
            fields,
            shown: ALL.to_owned(),
            paused: false,
            before: None,
            left_out: None,
            warning: None,
            drop_notice: DropNotice::default(),
        }
    }

    /// Does so until the capture has ended.
    pub(super) fn run(mut self) {
        loop {
            if self.hear_news() {
                self.end();
                break;
            }
            let all = self.write();
            let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
            let mut watched = vec![readable(self.panel.as_fd())];
            watched.extend(self.pipes.input().map(readable));
            let timeout = if all { PollTimeout::NONE } else { PollTimeout::from(LOOK_AGAIN) };
            // An interrupted wait is a short wait.
            let _ = poll(&mut watched, timeout);
            let speaks = watched.get(1).is_some_and(|input| input.any() == Some(true));
            if watched[0].any() == Some(true) {
                self.panel.hush();
            }
            let wishes = if speaks { self.pipes.read() } else { Vec::new() };
            for wish in wishes {
                self.grant(wish);
            }
        }
    }

    /// Shows what the capture came to.
    fn end(&mut self) {
        if let Some(last) = &self.before {
            self.fields.show(Control::Now, &last.stopped(&self.shown));
        }
        let until = Instant::now() + PATIENCE;
        // What stands before it and is not read yet is not in its way.
        while self.is_there && !self.write_all() && Instant::now() < until {
            std::thread::sleep(LOOK_AT_END);
        }
    }

    fn grant(&mut self, wish: Wish) {
        match wish {
            Wish::Begin => {
                info!("there is a toolbar");
                self.is_there = true;
                self.fields.begin_anew();
            }
            // What another capture had may not be in this one.
            Wish::Show(name) if self.is_there => {
                self.shown = name;
                self.show_figures(None);
            }
            Wish::Show(_) => {}
            Wish::Scribble => self.fields.was_changed(Control::Now),
            Wish::PauseOrGoOn | Wish::Filter(_) if self.terms.leader.is_some() => self.name_leader(),
            Wish::PauseOrGoOn => self.pause_or_go_on(),
            Wish::Filter(text) => {
                let settings = CaptureSettings { filter: text.clone(), ..self.terms.settings.clone() };
                match CompiledFilter::compile(&settings, &self.terms.link_types) {
                    Ok(filter) => {
                        let panel = Arc::clone(&self.panel);
                        let tell = Box::new(move |answer| panel.answer(text.clone(), answer));
                        // A capture that is over has none.
                        let _ = self.orders.ask(Order::Filter(filter, tell));
                    }
                    Err(trouble) => self.refuse(text, &trouble),
                }
            }
            Wish::NoFilter(why) => self.warn(&Error::new(
                format!("cannot use what was written as a capture filter: {why}"),
                "write one as in tcpdump: man pcap-filter",
            )),
        }
    }

    /// Says which toolbar controls the capture.
    fn name_leader(&mut self) {
        let Some(leader) = &self.terms.leader else { return };
        let trouble = Error::new(
            format!("this interface is captured together with {leader}"),
            format!("choose {leader} in the toolbar, which controls all of them"),
        );
        self.panel.say(trouble.message().as_str());
        self.warning = Some(trouble.to_string());
    }

    fn pause_or_go_on(&mut self) {
        let now = capture::now();
        self.paused = !self.paused;
        let left_out = self.before.as_ref().map(|before| before.totals.left_out).unwrap_or_default();
        let (order, label, line) = if self.paused {
            self.left_out = Some((left_out, u8::MAX));
            (Order::Pause(now), GO_ON, "paused")
        } else {
            self.left_out = self.left_out.map(|(before, _)| (before, REPORTS_UNTIL_COUNTED));
            (Order::GoOn(now), PAUSE, "goes on")
        };
        let _ = self.orders.ask(order);
        self.fields.show(Control::Pause, label);
        self.panel.say(line);
    }

    /// Keeps the filter that is in force, and says why. What was typed stays in the field, to be corrected; written
    /// once more by us, Wireshark does not give it to the next capture.
    fn refuse(&mut self, text: Option<String>, trouble: &Error) {
        self.fields.was_changed(Control::Filter);
        self.fields.show(Control::Filter, &text.unwrap_or_default());
        self.warn(trouble);
    }

    fn warn(&mut self, trouble: &Error) {
        self.panel.say(&format!("the capture filter stays as it is: {}", trouble.message()));
        self.warning = Some(trouble.clone().for_wireshark().to_string());
    }

    /// Takes in what the capture has to say. Whether it has ended.
    fn hear_news(&mut self) -> bool {
        let (snapshot, answers, is_over) = {
            let mut news = self.panel.news();
            (news.snapshot.take(), std::mem::take(&mut news.answers), news.over)
        };
        for (text, answer) in answers {
            match answer {
                Answer::InForce => {
                    self.panel.say(&match &text {
                        Some(text) => format!("the capture filter is now: {text}"),
                        None => "there is no capture filter now".to_owned(),
                    });
                    self.fields.was_changed(Control::Filter);
                    self.fields.show(Control::Filter, text.as_deref().unwrap_or_default());
                }
                Answer::Everywhere => self.panel.say("the capture filter is in force at all taps"),
                Answer::Refused(trouble) => self.refuse(text, &trouble),
                Answer::Kept(name, why) => {
                    self.panel.say(&format!("the tap of {name} keeps the capture filter it had: {why}"));
                }
            }
        }
        if let Some(snapshot) = snapshot {
            self.take(snapshot);
        }
        is_over
    }

    fn take(&mut self, snapshot: Snapshot) {
        if self.before.is_none() {
            self.panel.say(&snapshot.begin_in_words());
        }
        if let Some(line) = self.before.as_ref().and_then(|before| snapshot.dropped_since(before)) {
            self.panel.say(&line);
        }
        if let Some(text) = self.drop_notice.of(&snapshot) {
            self.panel.news().status = Some(text);
        }
        if let Some((before, reports)) = &mut self.left_out
            && !self.paused
        {
            *reports = reports.saturating_sub(1);
            if *reports == 0 {
                let count = snapshot.totals.left_out - *before;
                self.panel.say(&format!("{count} packets came in the pause and were left out"));
                self.left_out = None;
            }
        }
        // What has not been read yet is stale now, and is not told any more.
        self.show_figures(Some(&snapshot));
        self.before = Some(snapshot);
    }

    /// Shows the figures of `now`; with none, that they are those of another.
    fn show_figures(&mut self, now: Option<&Snapshot>) {
        let Some(latest) = now.or(self.before.as_ref()) else { return };
        self.fields.list(latest.drops(), &self.shown);
        if let (Some(now), Some(before)) = (now, &self.before) {
            self.fields.show(Control::Now, &now.figures(before, &self.shown, self.paused));
        }
    }

    /// Tells Wireshark what is new, once it has read what was told before. Whether nothing is left.
    fn write(&mut self) -> bool {
        if !self.is_there {
            return true;
        }
        self.pipes.all_was_read() && self.write_all()
    }

    /// The same at once.
    fn write_all(&mut self) -> bool {
        let pipes = &mut self.pipes;
        if let Some(text) = self.warning.take() {
            pipes.write(Control::Filter, Command::Warn, text.as_bytes());
        }
        if let Some(text) = self.panel.news().status.take() {
            pipes.write(Control::Log, Command::Status, text.as_bytes());
        }
        let all = self.fields.write(pipes);
        let log =
            self.panel.news().log.write(|command, text| pipes.write(Control::Log, command, text.as_bytes()));
        all && log
    }
}
