//! Restricts what a tap process may still do once its rings are open: Landlock for files and TCP, seccomp for system calls.
//!
//! Best effort: kernels before 5.13, and container runtimes that forbid these calls, have neither.

mod files;
mod system_calls;

use std::fmt;

use crate::privilege::Unprivileged;

/// What was restricted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restrictions {
    files: bool,
    system_calls: bool,
}

/// Restricts this process, permanently: it reads its rings and writes to what is open already. It starts no program,
/// creates no socket, enters no namespace, and opens files for reading only, in `/sys` and where names of hosts and ports are.
///
/// Threads that run already keep access to files; a tap has none.
pub fn restrict_tap(_proof: &Unprivileged) -> Restrictions {
    // In this order: the second forbids the first.
    let files = files::restrict().unwrap_or(false);
    Restrictions { files, system_calls: system_calls::restrict_all_threads().is_ok() }
}

impl fmt::Display for Restrictions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state =
            |is_restricted| if is_restricted { "restricted" } else { "not restricted by this kernel" };
        write!(formatter, "files {}, system calls {}", state(self.files), state(self.system_calls))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::net::{TcpListener, UdpSocket};
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;
    use std::process::Command;

    use rustix::process::{PidfdFlags, getpid, pidfd_open};
    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

    use super::*;

    /// The names of what this thread may do.
    fn possible() -> Vec<&'static str> {
        let folder = tempfile::tempdir().ok();
        let path = folder.as_ref().map(|folder| folder.path().join("file"));
        let namespace = File::open("/proc/self/ns/net");
        let executed = || Command::new("/bin/true").status().is_ok();
        let checks: [(&str, bool); 9] = [
            ("read /etc", File::open("/etc/hosts").is_ok()),
            ("read /proc", File::open("/proc/self/status").is_ok()),
            ("create a file", path.is_some_and(|path| File::create(path).is_ok())),
            ("write to a file", OpenOptions::new().write(true).open("/dev/null").is_ok()),
            ("TCP", TcpListener::bind("127.0.0.1:0").is_ok()),
            ("UDP", UdpSocket::bind("127.0.0.1:0").is_ok()),
            ("UNIX", UnixStream::pair().is_ok()),
            ("execute", executed()),
            ("open a process", pidfd_open(getpid(), PidfdFlags::empty()).is_ok()),
        ];
        let enters = namespace.is_ok_and(|file| {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                != Err(rustix::io::Errno::PERM)
        });
        let checks = checks.into_iter().chain([("enter a namespace", enters)]);
        checks.filter_map(|(name, is_possible)| is_possible.then_some(name)).collect()
    }

    /// What a thread may do that is restricted by `restrict`.
    fn possible_after(restrict: fn()) -> Vec<&'static str> {
        let thread = std::thread::spawn(move || {
            restrict();
            // New threads are restricted, too, and can be started.
            std::thread::spawn(possible).join().expect("no panic")
        });
        thread.join().expect("no panic")
    }

    #[test]
    fn a_restricted_thread_cannot_open_execute_or_enter_anything() {
        assert!(possible_after(|| ()).len() >= 9, "{:?}", possible_after(|| ()));
        let system_calls = || system_calls::restrict_this_thread().expect("a filter");
        assert_eq!(possible_after(system_calls), ["read /etc", "read /proc"]);
    }

    #[test]
    fn a_restricted_thread_reads_only_configuration_and_statistics() {
        if files::restrict_is_unsupported() {
            eprintln!("skipped: this kernel has no Landlock");
            return;
        }
        let files = || assert!(files::restrict().expect("rules"));
        let possible = possible_after(files);
        assert!(possible.contains(&"read /etc") && possible.contains(&"UDP"), "{possible:?}");
        for forbidden in ["read /proc", "create a file", "write to a file", "TCP", "execute"] {
            assert!(!possible.contains(&forbidden), "{forbidden}: {possible:?}");
        }
    }
}
