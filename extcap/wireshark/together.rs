//! Interfaces of this host that are marked together become one capture, so that a packet between them is kept once.
//!
//! Of the processes that Wireshark starts for them, the one with the smallest interface value, the leader, captures all;
//! the others, its members, wait for its end. A member waits only after the leader has confirmed that it captures.

use std::io::IoSlice;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use containerdump::capture::CaptureSettings;
use containerdump::error::Error;
use containerdump::pcapng::{BlockWriter, InterfaceDescription};
use containerdump::privilege::Privilege;
use containerdump::safe_text::SafeText;
use containerdump::session::{End, Output};
use containerdump::stop::Stop;

use super::siblings::{self, Sibling};
use super::{Arguments, last};
use crate::capture::OutputTarget;
use crate::wireshark::confirmation;
use crate::wireshark::toolbar::{Toolbar, ToolbarConfig};

/// How long the end of the leader may come before the signal that ends its members, too.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);
/// Options that cannot hold for several interfaces in one capture.
const OF_ONE_INTERFACE: [&str; 2] = ["--containers", "--remote-count"];
/// Members of one capture.
const MAX_MEMBERS: usize = 500;
/// The link type of the interface without packets that a member describes: Ethernet.
const LINK_TYPE: u32 = 1;

/// The part of this process in a capture of several interfaces.
#[derive(Debug)]
pub(super) enum Part {
    /// It captures its own interface.
    Alone,
    /// It captures all.
    Leader(Vec<Sibling>),
    Member(Sibling),
}

/// The part of this process, whose options are `arguments`, and the interfaces that are captured separately from it.
pub(super) fn part(interface: &str, arguments: &Arguments, all: Vec<Sibling>) -> (Part, Vec<String>) {
    let own = last::compared(arguments);
    let may_join = |interface: &str, arguments: &Arguments| {
        siblings::is_of_this_host(interface)
            && OF_ONE_INTERFACE.iter().all(|name| arguments.text(name).is_none())
    };
    let is_same = |sibling: &Sibling| {
        let arguments = last::in_force(&sibling.arguments, &sibling.interface);
        may_join(&sibling.interface, &arguments) && last::compared(&arguments) == own
    };
    let (mut same, others): (Vec<Sibling>, Vec<Sibling>) =
        if may_join(interface, arguments) { all.into_iter().partition(is_same) } else { (Vec::new(), all) };
    let mut separate: Vec<String> = others.into_iter().map(|sibling| sibling.interface).collect();
    same.sort_by(|a, b| a.interface.cmp(&b.interface));
    // One interface in two processes: one of them belongs to another capture, which may be ending.
    let is_twice = same.windows(2).any(|pair| pair[0].interface == pair[1].interface)
        || same.iter().any(|sibling| sibling.interface == interface);
    if is_twice || same.len() > MAX_MEMBERS {
        separate.extend(same.drain(..).map(|sibling| sibling.interface));
    }
    let part = match same.first() {
        None => Part::Alone,
        Some(first) if first.interface.as_str() < interface => Part::Member(first.clone()),
        Some(_) => Part::Leader(same),
    };
    (part, separate)
}

/// What became of a member.
#[derive(Debug)]
pub(super) enum Joined {
    /// The capture is to stop.
    Stopped,
    /// The leader does not capture.
    Refused,
    /// The leader captures.
    Captured(UnixStream),
}

/// Waits until `leader` confirms that it captures the interface of this process.
pub(super) fn join(leader: &Sibling, output: Option<BorrowedFd<'_>>, stop: &Stop) -> Joined {
    let pid = leader.pid;
    let connected = stop.wait_for(output, move || Ok(confirmation::wait_for(pid).ok()));
    match connected {
        Err(_) => Joined::Stopped,
        Ok(Ok(Some(stream))) => Joined::Captured(stream),
        Ok(Ok(None) | Err(_)) => Joined::Refused,
    }
}

/// A process whose interface is captured by another.
#[derive(Debug)]
pub(super) struct Member<'a> {
    pub(super) interface: &'a str,
    pub(super) leader: &'a str,
    /// From the leader.
    pub(super) stream: UnixStream,
    pub(super) settings: CaptureSettings,
}

impl Member<'_> {
    /// Waits for the end of the capture.
    ///
    /// Fails when the leader has ended before it.
    pub(super) fn run(
        self,
        target: OutputTarget,
        toolbar: Option<Toolbar>,
        stop: &Stop,
        mut privilege: Privilege,
    ) -> Result<(), Error> {
        privilege.become_caller()?;
        let proof = privilege.give_up()?;
        let Ok(opened) = target.open(stop) else { return Ok(()) };
        let mut output = opened?.output;
        let toolbar = toolbar.and_then(|toolbar| {
            let line = format!("{} is captured together with {}", self.interface, self.leader);
            toolbar.handle().log_and_show(&line);
            let leader = Some(SafeText::new(self.leader));
            let config =
                ToolbarConfig { settings: self.settings.clone(), link_types: vec![LINK_TYPE], leader };
            toolbar.start(config, &proof).ok().map(|(toolbar, _)| toolbar)
        });
        let outcome = self.wait(&mut output, stop);
        if let Some(toolbar) = toolbar {
            toolbar.end(None);
        }
        outcome
    }

    fn wait(&self, output: &mut Output, stop: &Stop) -> Result<(), Error> {
        match output.write(&mut [IoSlice::new(&self.description())], stop) {
            Ok(()) => {}
            Err(End::ReaderGone | End::Stalled) => return Ok(()),
            Err(End::Failed(trouble)) => return Err(trouble),
        }
        let stream = self.stream.try_clone().map_err(|error| {
            Error::new(
                format!("cannot wait for {}: {error}", self.leader),
                "free some file descriptors: ulimit -n",
            )
        })?;
        let has_ended = move || Ok(confirmation::has_ended_normally(&stream));
        let Ok(is_normal) = stop.wait_for(output.pipe(), has_ended) else { return Ok(()) };
        if is_normal? {
            return Ok(());
        }
        // Where the whole capture is stopped, the leader may end before the signal reaches this process.
        let timeout = || {
            std::thread::sleep(STOP_TIMEOUT);
            Ok(())
        };
        if stop.wait_for(output.pipe(), timeout).is_err() {
            return Ok(());
        }
        let (interface, leader) = (SafeText::new(self.interface), SafeText::new(self.leader));
        Err(Error::new(
            format!(
                "the capture of {interface} has ended: it was captured together with {leader}, whose process ended \
                 unexpectedly"
            ),
            "start the capture again",
        ))
    }

    /// An interface block, for the interface without packets of its own.
    fn description(&self) -> Vec<u8> {
        let mut blocks = BlockWriter::begin_section();
        blocks.take();
        blocks.interface(&InterfaceDescription {
            name: SafeText::new(self.interface),
            description: SafeText::new(&format!("captured together with {}", self.leader)),
            hardware_address: None,
            filter: self.settings.filter.clone(),
            snap_length: self.settings.snap_length,
            link_type: LINK_TYPE,
        });
        blocks.take()
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn arguments(options: &str) -> Arguments {
        Arguments::read(&options.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    /// The part of `own` beside `others`, each an interface with its options, and what is separate.
    fn shown(own: (&str, &str), others: &[(&str, &str)]) -> (String, Vec<String>) {
        let sibling = |(number, (interface, options)): (i32, &(&str, &str))| Sibling {
            pid: number,
            interface: (*interface).to_owned(),
            arguments: arguments(options),
        };
        let (part, separate) = part(own.0, &arguments(own.1), (1..).zip(others).map(sibling).collect());
        let part = match part {
            Part::Alone => "alone".to_owned(),
            Part::Leader(members) => {
                let names: Vec<String> = members.into_iter().map(|member| member.interface).collect();
                format!("leader of {}", names.join(" "))
            }
            Part::Member(leader) => format!("member of {}", leader.interface),
        };
        (part, separate)
    }

    #[test]
    fn interfaces_with_equal_options_have_one_leader() {
        let (a, b) = (("docker-a", "--fifo /1"), ("docker-b", "--fifo /2 --duplicates drop --network all"));
        let group = ("compose-shop", "--fifo /3 --no-promiscuous false");
        assert_eq!(shown(group, &[b, a]), ("leader of docker-a docker-b".to_owned(), vec![]));
        for member in [a, b] {
            let other = if member == a { b } else { a };
            assert_eq!(shown(member, &[other, group]), ("member of compose-shop".to_owned(), vec![]));
        }
    }

    #[test]
    fn interfaces_that_cannot_be_one_capture_stay_separate() {
        let own = ("docker-b", "--filter udp");
        for other in [
            ("docker-a", "--filter tcp"),
            ("docker-a", "--filter udp --extcap-capture-filter tcp"),
            ("docker-a", "--filter udp --remote-count 5"),
            ("docker-all", "--filter udp --containers web"),
            ("build1-docker-a", "--filter udp"),
            ("containerdump-ssh", "--filter udp"),
            ("docker-b", "--filter udp"),
        ] {
            assert_eq!(shown(own, &[other]), ("alone".to_owned(), vec![other.0.to_owned()]), "{other:?}");
        }
    }
}
