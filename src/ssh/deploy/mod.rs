//! Starts the program on a host: the installed one, or an uploaded one. If neither is possible, tcpdump may capture.

pub(crate) mod scripts;
mod upload;

use std::os::unix::net::UnixStream;

use log::info;

use self::upload::UploadedProgram;
use super::{
    ConnectionEvent, Elevation, Host, InstalledProgram, Probe, SshConnection, SshSession, TcpdumpCapture,
    errors,
};
use crate::PROGRAM_AND_VERSION;
use crate::error::Error;
use crate::safe_text::SafeText;

impl SshConnection {
    /// Starts the program that [`Probe`] found, or an uploaded one. `elevation` overrides that of the host.
    ///
    /// # Errors
    /// The program is missing or incompatible and cannot or may not be uploaded, or `ssh` cannot be started.
    pub fn start_program(&self, probe: &Probe, elevation: Elevation) -> Result<SshSession, Error> {
        let elevation = self.effective(elevation);
        if probe.installed == InstalledProgram::Compatible {
            // By its path: sudo and doas search folders of their own.
            let prefix = elevation.command_prefix();
            return self
                .start_session(&format!(r#"exec sh -c 'exec {prefix}"$(command -v containerdump)" serve'"#));
        }
        let uploaded = self.upload(probe, elevation)?;
        self.notify(&upload_notice(&uploaded, probe, elevation));
        for folder in &uploaded.skipped_folders {
            self.notify(&format!("not used: {folder}"));
        }
        uploaded.start(elevation, &|command| self.start_session(command))
    }

    /// Starts a capture: with the program and `request`, or if that cannot be started, with tcpdump. `tcpdump` is the
    /// same capture for it, or why it cannot do it. Returns the remote program and its pcapng stream.
    ///
    /// # Errors
    /// Neither can be started.
    pub fn start_capture(
        &self,
        probe: &Probe,
        elevation: Elevation,
        request: &str,
        tcpdump: &Result<TcpdumpCapture, String>,
    ) -> Result<(SshSession, UnixStream), Error> {
        let elevation = self.effective(elevation);
        let started = self.start_program(probe, elevation).and_then(|mut session| {
            session.send_request(request)?;
            let stream = session.stream()?;
            Ok((session, stream))
        });
        match started {
            Err(error) if probe.installed != InstalledProgram::Compatible => {
                self.start_tcpdump(probe, elevation, tcpdump, error)
            }
            started => started,
        }
    }

    /// Starts tcpdump because the program failed with `error`.
    fn start_tcpdump(
        &self,
        probe: &Probe,
        elevation: Elevation,
        tcpdump: &Result<TcpdumpCapture, String>,
        error: Error,
    ) -> Result<(SshSession, UnixStream), Error> {
        let start = |command: &str| self.start_session(command);
        let started =
            tcpdump.as_ref().map_err(String::clone).and_then(|tcpdump| tcpdump.start(elevation, &start));
        match started {
            Ok((notice, session, stream)) => {
                self.notify(error.message().as_str());
                self.notify(&notice);
                Ok((session, stream))
            }
            Err(cause) => {
                let cause = SafeText::with_limit(&cause, 300);
                self.notify(&format!("tcpdump on that host cannot be used either: {cause}"));
                let needs_root = tcpdump.is_ok() && elevation.is_none() && !probe.is_root;
                Err(if needs_root { with_elevation_remedy(&error) } else { error })
            }
        }
    }

    /// Removes uploaded programs. Returns the folder of each.
    ///
    /// # Errors
    /// The host does not run the script.
    pub fn remove_uploads(&self) -> Result<Vec<SafeText>, Error> {
        upload::remove(self.host(), &|command| self.start_session(command))
    }

    fn effective(&self, elevation: Elevation) -> Elevation {
        if elevation.is_none() { self.host().elevation() } else { elevation }
    }

    fn upload(&self, probe: &Probe, elevation: Elevation) -> Result<UploadedProgram, Error> {
        let (host, options) = (self.host(), self.options());
        let missing = missing_program(host, &probe.installed);
        if !options.may_upload {
            return Err(missing);
        }
        let not_possible = |cause: &str| {
            Error::new(
                format!("{}, and cannot be uploaded: {cause}", missing.message()),
                missing.remedy().as_str(),
            )
        };
        if probe.system.as_str() != "Linux" {
            return Err(not_possible(&format!("the host runs {}", probe.system)));
        }
        let Some(architecture) = probe.architecture else {
            return Err(not_possible("there is no program for its processor"));
        };
        let start = |command: &str| self.start_session(command);
        let uploaded = UploadedProgram::upload(host, architecture, elevation, &start, options.on_event);
        uploaded.map_err(|error| {
            info!("{host}: {}", error.message());
            let (remedy, other) = (error.remedy(), missing.remedy());
            let remedy = if remedy == other { remedy.to_string() } else { format!("{remedy}; or {other}") };
            Error::new(format!("{}; {}", missing.message(), error.message()), remedy)
        })
    }

    fn notify(&self, message: &str) {
        info!("{}: {message}", self.host());
        (self.options().on_event)(self.host(), &ConnectionEvent::Message(message.to_owned()));
    }
}

/// What was uploaded, why, and with which rights it runs.
fn upload_notice(uploaded: &UploadedProgram, probe: &Probe, elevation: Elevation) -> String {
    let action = if uploaded.existed { "using uploaded" } else { "uploaded" };
    let reason = match &probe.installed {
        InstalledProgram::Incompatible(version) => {
            format!("the installed version {version} is incompatible")
        }
        InstalledProgram::Broken => "the installed program cannot be started".to_owned(),
        InstalledProgram::Compatible | InstalledProgram::Missing => "not installed".to_owned(),
    };
    let rights = match elevation {
        Elevation::None if probe.is_root => "as root".to_owned(),
        Elevation::None => "as an ordinary user".to_owned(),
        Elevation::Sudo | Elevation::Doas => format!("as root with {elevation}"),
    };
    format!("{action} {PROGRAM_AND_VERSION} ({reason}), running {rights}")
}

fn missing_program(host: &Host, installed: &InstalledProgram) -> Error {
    let missing =
        |problem: &str| Error::new(format!("containerdump {problem} on {host}"), errors::INSTALL_REMEDY);
    match installed {
        InstalledProgram::Incompatible(version) => errors::incompatible_version(host, version),
        InstalledProgram::Broken => missing("cannot be started"),
        InstalledProgram::Compatible | InstalledProgram::Missing => missing("is not installed"),
    }
}

/// The same error if tcpdump failed, too, perhaps because it did not run as root.
fn with_elevation_remedy(error: &Error) -> Error {
    let remedy = |first: &str, other: &Error| format!("{first}; or {}", other.remedy());
    let in_wireshark =
        remedy("choose sudo or doas as *Gain capture privilege*", &error.clone().for_wireshark());
    Error::new(error.message().as_str(), remedy("capture as root on that host: --sudo or --doas", error))
        .with_wireshark_remedy(in_wireshark)
}
