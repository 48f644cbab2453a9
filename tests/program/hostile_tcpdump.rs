//! Hosts without containerdump whose tcpdump writes invalid output, played by a fake `ssh`.

use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use crate::support::program::{NO_ENGINE, Running, program};

const PROBE: &str = "echo containerdump-probe; echo system Linux riscv64; echo user 0";
/// The probe output of a container with one veth.
const LOOKED: &str = "tool tcpdump/engine docker/container 0123456789ab web/inside 12: eth0@if13:/host 13: veth1@if12:/unchanged/done";
const ESCAPE: &str = r"\033]0;x\007\033[2J\302\233\342\200\256";
/// The header of a savefile: microseconds, little-endian, version 2.4, Ethernet.
const HEAD: &str = r"printf '\324\303\262\241\2\0\4\0\0\0\0\0\0\0\0\0\0\0\4\0\1\0\0\0'";

/// A host that describes a container and captures by shell scripts.
struct TcpdumpHost(TempDir);

impl TcpdumpHost {
    fn new(looked: &str, capture: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ssh");
        let print = |line: &str| format!("printf 'containerdump-lookup {line}\\n';");
        let looked = looked.split('/').map(print).collect::<Vec<_>>().concat();
        let script = format!(
            "#!/bin/bash\nfor last; do :; done\ncase $last in *containerdump-probe*) {PROBE} ;; *eval*) read -r script\n\
             echo \"$last\" >>{0}/commands\ncase $script in *pid_of*) {looked} ;; *) echo containerdump-savefile; {capture} ;; esac ;; esac\n",
            folder.path().display(),
        );
        std::fs::write(&path, script).expect("a script");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("its mode");
        Self(folder)
    }

    /// Makes its user unprivileged.
    fn make_ordinary(&mut self) {
        let path = self.0.path().join("ssh");
        let script = std::fs::read_to_string(&path).expect("the script");
        std::fs::write(&path, script.replace("echo user 0", "echo user 1000")).expect("the script");
    }

    /// Standard error and status of a capture.
    fn captures(&self) -> (String, Option<i32>) {
        self.captures_with(&[])
    }

    fn captures_with(&self, options: &[&str]) -> (String, Option<i32>) {
        let path = format!("{}:{}", self.0.path().display(), std::env::var("PATH").expect("a PATH"));
        let mut command = program(NO_ENGINE);
        let file = self.0.path().join("out.pcapng");
        command.env("PATH", path).args(["capture", "--host", "build1", "web", "-f", "tcp", "-w"]).arg(file);
        command.args(options);
        let ended = Running::start(&mut command).ended();
        (ended.stderr, ended.status.code())
    }

    /// The reported reason against tcpdump.
    fn why(&self) -> String {
        let (said, status) = self.captures();
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains("is not installed on build1, and cannot be uploaded: "), "{said}");
        let why = said
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("build1: tcpdump on that host cannot be used either: "));
        why.unwrap_or_else(|| panic!("{said}")).to_owned()
    }
}

#[test]
fn tcpdump_output_is_converted_and_kept_off_command_lines() {
    // A packet of 3 bytes that had 60.
    let packet = r"printf '\7\0\0\0\11\0\0\0\3\0\0\0\74\0\0\0abc'";
    let host = TcpdumpHost::new(LOOKED, &format!("{HEAD}; {packet}; {packet}; cat >/dev/null"));
    let (said, status) = host.captures_with(&["-c", "2"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(
        said.contains("build1: tcpdump on that host captures eth0 of web at host veth veth1 instead; "),
        "{said}"
    );
    let file = host.0.path().join("out.pcapng");
    let shown = std::process::Command::new("tshark")
        .args(["-n", "-T", "fields", "-e", "frame.time_epoch"])
        .args(["-e", "frame.len", "-e", "frame.cap_len", "-e", "frame.interface_name", "-r"])
        .arg(file)
        .output();
    let shown = shown.expect("tshark");
    let expected = "7.000009000\t60\t3\tweb:eth0\n".repeat(2);
    assert_eq!(String::from_utf8_lossy(&shown.stdout), expected);
    let commands = std::fs::read_to_string(host.0.path().join("commands")).expect("it was asked");
    for command in commands.lines() {
        assert_eq!(command, "exec sh -c 'read -r script && eval \"$script\"'");
    }
}

#[test]
fn a_container_without_a_host_veth_is_not_captured_by_tcpdump() {
    let looked = |from: &str, to: &str| TcpdumpHost::new(&LOOKED.replace(from, to), "cat /dev/zero").why();
    assert_eq!(looked("veth1@", "-w@"), "the container has no host veth");
    assert_eq!(looked("13: veth1@if12", "13: veth1@if99"), "the container has no host veth");
    assert_eq!(looked("/unchanged", "/shared/unchanged"), "the container uses the network of the host");
    assert_eq!(looked("/done", ""), "the connection was closed");
    assert!(looked("eth0@", &format!("{ESCAPE}@")).contains("pcap file"));
    let floods = TcpdumpHost::new("tool tcpdump'; yes; printf '", "");
    assert_eq!(floods.why(), "unexpected output exceeds 256 KiB");
}

#[test]
fn an_unprivileged_login_is_referred_to_sudo_if_tcpdump_fails() {
    // The remedy once was `make install`, although `--sudo` is enough.
    let fails = "echo 'tcpdump: veth1: You do not have permission to capture on that device' >&2; exit 1";
    let mut host = TcpdumpHost::new(LOOKED, fails);
    assert!(!host.captures().0.contains("--sudo"), "root needs none");
    host.make_ordinary();
    let said = host.captures().0;
    assert!(
        said.contains("Remedy: capture as root on that host: --sudo or --doas; or install it on the host"),
        "{said}"
    );
}

#[test]
fn invalid_tcpdump_output_ends_with_one_message() {
    let garbage = TcpdumpHost::new(LOOKED, "head -c 100000 /dev/urandom");
    assert_eq!(garbage.why(), "the output is not a pcap file");
    let fails = TcpdumpHost::new(LOOKED, &format!("printf 'tcpdump: {ESCAPE} no\\n' >&2; exit 1"));
    assert!(fails.why().contains("ended unexpectedly: tcpdump: "), "{}", fails.why());
    let stalls = TcpdumpHost::new(LOOKED, "exec sleep 600");
    assert_eq!(stalls.why(), "timed out waiting for the first packets");
    for record in
        [r"\1\0\0\0\1\0\0\0\377\377\377\377\377\377\377\377", r"\1\0\0\0\377\377\377\377\1\0\0\0\1\0\0\0a"]
    {
        let host = TcpdumpHost::new(LOOKED, &format!("{HEAD}; printf '{record}'; cat >/dev/null"));
        let (said, status) = host.captures();
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains("cannot read packets of build1: "), "{said}");
    }
    let strange =
        TcpdumpHost::new(LOOKED, &format!("{}; cat >/dev/null", HEAD.replace(r"\1\0\0\0'", r"\223\0\0\0'")));
    let (said, status) = strange.captures();
    assert!(status == Some(1) && said.contains("cannot read packets of build1: "), "{said}");
    let floods = TcpdumpHost::new(LOOKED, &format!("{HEAD}; yes >&2"));
    let (said, status) = floods.captures();
    assert!(status == Some(1) && said.contains("writes too much to standard error"), "{said}");
}
