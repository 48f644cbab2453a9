//! A member of a shared capture: the process of an interface that the leader captures.

use std::io::IoSlice;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use containerdump::capture::CaptureSettings;
use containerdump::error::Error;
use containerdump::pcapng::{BlockWriter, InterfaceDescription};
use containerdump::privilege::Privilege;
use containerdump::safe_text::SafeText;
use containerdump::session::{Output, OutputEnd};
use containerdump::stop::Stop;

use super::leader_socket;
use super::siblings::SiblingCapture;
use crate::capture::OutputTarget;
use crate::wireshark::toolbar::{Toolbar, ToolbarConfig};

/// Time between the end of the leader and the signal that ends its members, where the whole capture is stopped.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);
/// The link type of the interface without packets that a member describes: Ethernet.
const LINK_TYPE: u32 = 1;

/// The leader's answer to a member.
#[derive(Debug)]
pub(in crate::wireshark) enum JoinOutcome {
    /// The capture was stopped before the leader answered.
    Stopped,
    /// The leader does not capture the interface.
    Refused,
    /// The leader captures the interface, and reports the end of the capture on this stream.
    Joined(UnixStream),
}

/// Waits until `leader` confirms that it captures the interface of this process.
pub(in crate::wireshark) fn join(
    leader: &SiblingCapture,
    output: Option<BorrowedFd<'_>>,
    stop: &Stop,
) -> JoinOutcome {
    let pid = leader.pid;
    match stop.wait_for(output, move || Ok(leader_socket::connect(pid).ok())) {
        Err(_) => JoinOutcome::Stopped,
        Ok(Ok(Some(stream))) => JoinOutcome::Joined(stream),
        Ok(Ok(None) | Err(_)) => JoinOutcome::Refused,
    }
}

/// A process whose interface is captured by the leader.
#[derive(Debug)]
pub(in crate::wireshark) struct MemberCapture<'a> {
    pub(in crate::wireshark) interface: &'a str,
    pub(in crate::wireshark) leader: &'a str,
    /// The stream of [`JoinOutcome::Joined`].
    pub(in crate::wireshark) stream: UnixStream,
    pub(in crate::wireshark) settings: CaptureSettings,
}

impl MemberCapture<'_> {
    /// Writes an interface without packets, and waits for the end of the capture.
    ///
    /// # Errors
    ///
    /// If the output cannot be written, or the process of the leader ends unexpectedly.
    pub(in crate::wireshark) fn run(
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
        let outcome = self.write_and_wait(&mut output, stop);
        if let Some(toolbar) = toolbar {
            toolbar.end(None);
        }
        outcome
    }

    fn write_and_wait(&self, output: &mut Output, stop: &Stop) -> Result<(), Error> {
        match output.write(&mut [IoSlice::new(&self.interface_block())], stop) {
            Ok(()) => {}
            Err(OutputEnd::ReaderGone | OutputEnd::Stalled) => return Ok(()),
            Err(OutputEnd::Failed(error)) => return Err(error),
        }
        let stream = self.stream.try_clone().map_err(|error| {
            Error::new(
                format!("cannot wait for {}: {error}", self.leader),
                "free some file descriptors: ulimit -n",
            )
        })?;
        let has_ended_normally = move || Ok(leader_socket::has_ended_normally(&stream));
        let Ok(is_normal) = stop.wait_for(output.pipe(), has_ended_normally) else { return Ok(()) };
        if is_normal? {
            return Ok(());
        }
        // Where the whole capture is stopped, the leader may end before the signal reaches this process.
        let wait_for_signal = || {
            std::thread::sleep(STOP_TIMEOUT);
            Ok(())
        };
        if stop.wait_for(output.pipe(), wait_for_signal).is_err() {
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

    /// An interface block for the interface without packets.
    fn interface_block(&self) -> Vec<u8> {
        let mut blocks = BlockWriter::begin_section();
        blocks.take();
        blocks.add_interface(&InterfaceDescription {
            name: SafeText::new(self.interface),
            description: SafeText::new(&format!("captured together with {}", self.leader)),
            hardware_address: None,
            filter: self.settings.filter.as_deref().map(Into::into),
            snap_length: self.settings.snap_length,
            link_type: LINK_TYPE,
        });
        blocks.take()
    }
}
