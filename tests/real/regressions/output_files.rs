//! Output files and signals.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::harness::{Test, tests};
use crate::support::lab::{Container, Lab, end_of, eventually, fifo, folder, output, signal, start};
use crate::support::recording::{Recording, capinfos, fields_of, statistics_of};

pub(crate) const TESTS: &[Test] = tests![
    nohup_keeps_a_capture_running_without_its_terminal,
    terminating_signals_end_a_capture_with_final_statistics,
    signals_that_tcpdump_ignores_do_not_end_a_capture,
    a_file_size_limit_of_the_system_is_reported,
    a_capture_is_written_to_a_fifo_of_the_user,
    a_capture_waiting_for_a_fifo_reader_can_be_stopped,
    a_capture_is_written_to_devices_and_descriptors,
    a_capture_follows_a_symbolic_link,
    an_overwritten_file_becomes_private,
    a_log_file_that_is_a_fifo_does_not_delay_a_capture,
    ring_buffer_files_start_at_multiples_of_the_interval,
    a_directory_is_refused_as_output_file,
    in_a_root_shell_files_belong_to_root,
    a_full_disk_leaves_no_empty_file,
    an_overwritten_file_stays_until_something_is_written,
    a_fifo_of_another_user_is_refused,
];

/// A capture of `container` to `path`, which need not be a file.
fn capture(lab: &Lab, container: &Container, path: impl AsRef<Path>) -> Command {
    let mut program = lab.program();
    program.args(["capture", &container.name, "--filter", "tcp", "-w"]).arg(path.as_ref());
    program
}

/// Asserts that a stream is whole, with requests and the last statistics.
fn is_whole(bytes: &[u8]) {
    let folder = folder();
    let path = folder.path().join("copy.pcapng");
    fs::write(&path, bytes).expect("a copy");
    is_whole_file(&path);
}

fn is_whole_file(path: &Path) {
    assert!(!fields_of(path, "http.request", &["frame.number"]).is_empty());
    let statistics = statistics_of(path)[&0];
    assert!(statistics.packets > 0 && statistics.packets == statistics.written, "{statistics:?}");
}

/// What a child writes to its standard output until it ends, while `container` is asked for pages.
fn read_to_the_end(mut child: Child, container: &Container) -> Vec<u8> {
    let mut stream = child.stdout.take().expect("a pipe");
    let (mut head, mut rest) = ([0; 300], Vec::new());
    stream.read_exact(&mut head).expect("a header and an interface block");
    container.fetch(2);
    signal(&child, "INT");
    stream.read_to_end(&mut rest).expect("the rest");
    let ended = end_of(child);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    [&head[..], &rest].concat()
}

fn nohup_keeps_a_capture_running_without_its_terminal(lab: &Lab) {
    // tcpdump, Zeek: under nohup, SIGHUP ends a capture.
    let container = lab.container(&[]);
    let mut nohup = lab.program_at(Path::new("nohup"));
    nohup.arg(env!("CARGO_BIN_EXE_containerdump"));
    let recording = Recording::begin_by(nohup, &[&container], &["--filter", "tcp"]);
    signal(&recording.child, "HUP");
    container.fetch(2);
    let recorded = recording.stop();
    is_whole_file(&recorded.path);
}

fn terminating_signals_end_a_capture_with_final_statistics(lab: &Lab) {
    // tcpdump, Zeek: SIGALRM and others end a capture without its last statistics.
    let container = lab.container(&[]);
    for name in ["TERM", "HUP", "ALRM", "VTALRM", "PROF", "XCPU", "POLL", "PWR", "STKFLT", "RTMIN"] {
        let recording = Recording::begin(lab, &[&container], &["--filter", "tcp"]);
        container.fetch(1);
        signal(&recording.child, name);
        is_whole_file(&recording.end().path);
    }
}

fn signals_that_tcpdump_ignores_do_not_end_a_capture(lab: &Lab) {
    // tcpdump, Zeek: SIGUSR1 and SIGUSR2 kill a capture; tcpdump counts and flushes, and goes on.
    let container = lab.container(&[]);
    let recording = Recording::begin(lab, &[&container], &["--filter", "tcp"]);
    for name in ["USR1", "USR2", "XFSZ", "WINCH", "URG", "CHLD", "CONT"] {
        signal(&recording.child, name);
    }
    container.fetch(2);
    is_whole_file(&recording.stop().path);
}

fn a_file_size_limit_of_the_system_is_reported(lab: &Lab) {
    // Symptom: SIGXFSZ kills a capture without a word (ulimit -f).
    let container = lab.container(&[]);
    let folder = folder();
    let path = folder.path().join("out.pcapng");
    let mut prlimit = lab.program_at(Path::new("prlimit"));
    prlimit.args(["--fsize=20000", env!("CARGO_BIN_EXE_containerdump"), "capture", &container.name, "-w"]);
    let mut child = start(prlimit.arg(&path));
    eventually("the limit is reached", || {
        container.fetch(1);
        child.try_wait().expect("a child").is_some()
    });
    let ended = end_of(child);
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("File too large"), "{said}");
}

fn a_capture_is_written_to_a_fifo_of_the_user(lab: &Lab) {
    // ssldump#55, termshark#13: a FIFO is refused as a file.
    let container = lab.container(&[]);
    let folder = folder();
    let path = fifo(&folder);
    let child = start(capture(lab, &container, &path).args(["-c", "6"]));
    let mut reader = File::open(&path).expect("the FIFO");
    let (mut head, mut rest) = ([0; 300], Vec::new());
    reader.read_exact(&mut head).expect("a header and an interface block");
    container.fetch(2);
    reader.read_to_end(&mut rest).expect("the end of the stream");
    assert!(end_of(child).status.success());
    is_whole(&[&head[..], &rest].concat());
    assert!(path.metadata().expect("the FIFO").file_type().is_fifo());
}

fn a_capture_waiting_for_a_fifo_reader_can_be_stopped(lab: &Lab) {
    // ssldump#55, termshark#13: a capture to a FIFO without a reader hears no signal.
    let container = lab.container(&[]);
    let folder = folder();
    let path = fifo(&folder);
    for (name, options) in [("INT", &[][..]), ("TERM", &["--overwrite"][..])] {
        let child = start(capture(lab, &container, &path).args(options));
        // Its rings are open, and the FIFO is what comes next.
        let maps = format!("/proc/{}/maps", child.id());
        eventually("rings are open", || {
            fs::read_to_string(&maps).is_ok_and(|maps| maps.contains("socket:["))
        });
        signal(&child, name);
        let ended = end_of(child);
        assert!(ended.status.success(), "{name}: {}", String::from_utf8_lossy(&ended.stderr));
    }
    assert!(path.metadata().expect("the FIFO").file_type().is_fifo());
}

fn a_capture_is_written_to_devices_and_descriptors(lab: &Lab) {
    // ssldump#55, termshark#13: /dev/null, /dev/stdout, /dev/fd/N and >(…) are refused.
    let container = lab.container(&[]);
    let child = start(capture(lab, &container, "/dev/null").args(["-c", "6"]));
    eventually("packets are counted", || {
        container.fetch(1);
        fs::read_to_string(format!("/proc/{}/stat", child.id())).map_or(true, |stat| stat.contains(") Z "))
    });
    assert!(end_of(child).status.success());
    for path in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        is_whole(&read_to_the_end(start(&mut capture(lab, &container, path)), &container));
    }
    let folder = folder();
    let path = folder.path().join("out.pcapng");
    for script in ["exec \"$@\" -w /dev/fd/7 7>$0", "\"$@\" -w >(cat >$0)", "exec \"$@\" -w /dev/stdout >$0"]
    {
        let _ = fs::remove_file(&path);
        let mut bash = lab.program_at(Path::new("bash"));
        bash.args(["-c", script]).arg(&path).arg(env!("CARGO_BIN_EXE_containerdump"));
        let child = start(bash.args(["capture", &container.name, "-f", "tcp", "-a", "packets:12"]));
        eventually("packets are written", || path.metadata().is_ok_and(|about| about.len() > 300));
        container.fetch(3);
        assert!(end_of(child).status.success(), "{script}");
        eventually("the file is whole", || {
            Command::new("capinfos").arg(&path).output().is_ok_and(|ended| ended.status.success())
        });
        assert_eq!(capinfos(&path, "Number of packets"), "12", "{script}");
    }
}

fn a_capture_follows_a_symbolic_link(lab: &Lab) {
    // ssldump#55, termshark#13: a symbolic link is refused.
    let container = lab.container(&[]);
    let folder = folder();
    let (link, file) = (folder.path().join("link"), folder.path().join("file.pcapng"));
    symlink("file.pcapng", &link).expect("a link");
    let record = |options: &[&str]| {
        let mut child = start(capture(lab, &container, &link).args(["-c", "6"]).args(options));
        eventually("the capture ends", || {
            container.fetch(1);
            child.try_wait().expect("a child").is_some()
        });
        end_of(child)
    };
    assert!(record(&[]).status.success());
    is_whole_file(&file);
    assert!(link.symlink_metadata().expect("the link").is_symlink());
    // What is there stays, here, too.
    let refused = capture(lab, &container, &link).output().expect("the program");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("File exists"));
    assert!(record(&["--overwrite"]).status.success());
    is_whole_file(&file);
    // But not where another user may have placed it for us.
    fs::remove_file(&file).expect("a file");
    std::os::unix::fs::lchown(&link, Some(65_534), None).expect("its owner");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777)).expect("its mode");
    let refused = capture(lab, &container, &link).output().expect("the program");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("another user created it in a folder that everybody can write to"), "{said}");
    assert!(!file.exists());
}

fn an_overwritten_file_becomes_private(lab: &Lab) {
    // Symptom: --overwrite keeps a foreign owner and mode 0666, and writes through hard links.
    let container = lab.container(&[]);
    let folder = folder();
    let (path, other) = (folder.path().join("out.pcapng"), folder.path().join("other"));
    fs::write(&path, "old").expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("its mode");
    std::os::unix::fs::chown(&path, Some(65_534), None).expect("its owner");
    fs::hard_link(&path, &other).expect("a second name");
    let child = start(capture(lab, &container, &path).args(["-c", "6", "--overwrite"]));
    eventually("the capture begins", || path.metadata().is_ok_and(|about| about.len() > 100));
    container.fetch(1);
    assert!(end_of(child).status.success());
    is_whole_file(&path);
    let about = path.metadata().expect("the file");
    assert_eq!((about.uid(), about.mode() & 0o777), (0, 0o600));
    assert_eq!(fs::read(&other).expect("the old file"), b"old");
}

fn a_log_file_that_is_a_fifo_does_not_delay_a_capture(lab: &Lab) {
    // Symptom: a FIFO as log file hangs past SIGINT and SIGTERM.
    let container = lab.container(&[]);
    let folder = folder();
    let log = fifo(&folder);
    let mut program = capture(lab, &container, "-");
    let ended = end_of(start(program.arg("--log-file").arg(&log)));
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.code() == Some(1) && said.contains("cannot open log file"), "{said}");
    let reader = fs::OpenOptions::new().read(true).write(true).open(&log).expect("a reader");
    let child = start(program.args(["--log-level", "info"]));
    is_whole(&read_to_the_end(child, &container));
    let mut line = [0; 14];
    (&reader).read_exact(&mut line).expect("a line of the log");
}

fn ring_buffer_files_start_at_multiples_of_the_interval(lab: &Lab) {
    // pcap-file PR#34: -b interval: is refused, which dumpcap takes.
    let container = lab.container(&[]);
    let folder = folder();
    let mut program = capture(lab, &container, folder.path().join("out.pcapng"));
    let child = start(program.args(["-b", "interval:2", "-a", "files:4"]).stdout(Stdio::null()));
    let ended = end_of(child);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let mut files: Vec<_> =
        fs::read_dir(folder.path()).expect("a folder").flatten().map(|it| it.path()).collect();
    files.sort();
    assert_eq!(files.len(), 4);
    // Out_00002_20261123140502.pcapng: all but the first begin when the time is a multiple, or a moment later.
    let seconds: Vec<u64> = files
        .iter()
        .skip(1)
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            name[name.len() - 2..].parse().expect("seconds")
        })
        .collect();
    let late = seconds.iter().filter(|second| *second % 2 != 0).count();
    assert!(late < seconds.len(), "{files:?}");
    let mut refused = capture(lab, &container, "-");
    let refused = refused.args(["-a", "interval:2"]).output().expect("the program");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("interval:SECONDS is for -b"));
}

fn a_directory_is_refused_as_output_file(lab: &Lab) {
    // Symptom: -w FOLDER says "File exists" and to use --overwrite.
    let container = lab.container(&[]);
    let folder = folder();
    for options in [&[][..], &["--overwrite"]] {
        let ended = capture(lab, &container, folder.path()).args(options).output().expect("the program");
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(1), "{said}");
        assert!(said.contains("it is a directory") && said.contains("give a file in it: -w "), "{said}");
    }
}

fn in_a_root_shell_files_belong_to_root(lab: &Lab) {
    // tcpdump#448: in sudo -i, sudo -s and sudo su root may not write to root's folders.
    let container = lab.container(&[]);
    let (roots, theirs) = (folder(), folder());
    fs::set_permissions(roots.path(), fs::Permissions::from_mode(0o700)).expect("its mode");
    std::os::unix::fs::chown(theirs.path(), Some(65_534), Some(65_534)).expect("its owner");
    fs::set_permissions(theirs.path(), fs::Permissions::from_mode(0o700)).expect("its mode");
    let program =
        format!("{} capture {} -a duration:0.2 -w", env!("CARGO_BIN_EXE_containerdump"), container.name);
    // The user `nobody` may become root, where only this command sees it.
    let script = "printf 'root ALL = (ALL) ALL\\nnobody ALL = NOPASSWD: ALL\\n' >$0; chmod 440 $0; mount --bind $0 /etc/sudoers; \
                  exec setpriv --reuid=65534 --regid=65534 --clear-groups sh -c \"$1\"";
    for (command, folder, owner) in [
        (format!("sudo {program} FILE"), &theirs, 65_534),
        (format!("sudo timeout 60 {program} FILE"), &theirs, 65_534),
        (format!("sudo -i {program} FILE"), &roots, 0),
        (format!("sudo -s {program} FILE"), &roots, 0),
        (format!("sudo su -c '{program} FILE'"), &roots, 0),
        (format!("sudo sh -c '{program} FILE'"), &roots, 0),
    ] {
        let path = folder.path().join("out.pcapng");
        let sudoers = folder.path().join("sudoers");
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "bash", "-euc", script]).arg(&sudoers);
        // The user's own would refuse a login.
        unshare.env("SHELL", "/bin/sh");
        let ended =
            unshare.arg(command.replace("FILE", &path.display().to_string())).output().expect("unshare");
        assert!(ended.status.success(), "{command}: {}", String::from_utf8_lossy(&ended.stderr));
        assert_eq!(path.metadata().expect("the file").uid(), owner, "{command}");
        statistics_of(&path);
        fs::remove_file(&path).expect("the file");
        fs::remove_file(&sudoers).expect("the file");
    }
}

fn a_full_disk_leaves_no_empty_file(lab: &Lab) {
    // Symptom: a full disk leaves a file of 0 bytes.
    let container = lab.container(&[]);
    let folder = folder();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).expect("a folder");
    output(Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(&disk));
    let fill = Command::new("dd")
        .args(["if=/dev/zero", "bs=4k"])
        .arg(format!("of={}/fill", disk.display()))
        .output();
    assert!(!fill.expect("dd").status.success(), "the disk is full");
    let ended = capture(lab, &container, disk.join("out.pcapng")).output().expect("the program");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    let left = disk.join("out.pcapng").exists();
    output(Command::new("umount").arg(&disk));
    assert!(ended.status.code() == Some(1) && said.contains("No space left on device"), "{said}");
    assert!(!left, "an empty file is left");
}

fn an_overwritten_file_stays_until_something_is_written(lab: &Lab) {
    // Symptom: --overwrite without space left loses the old file and writes no new one.
    let container = lab.container(&[]);
    let folder = folder();
    let path = folder.path().join("out.pcapng");
    fs::write(&path, "old").expect("a file");
    let mut prlimit = lab.program_at(Path::new("prlimit"));
    prlimit.args([
        "--fsize=0",
        env!("CARGO_BIN_EXE_containerdump"),
        "capture",
        &container.name,
        "--overwrite",
    ]);
    let ended = end_of(start(prlimit.arg("-w").arg(&path)));
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.code() == Some(1) && said.contains("File too large"), "{said}");
    assert_eq!(fs::read(&path).expect("the old file"), b"old");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "no other file is left");
    // A file of another user that cannot be replaced is refused at once.
    for path in [folder.path(), &path] {
        std::os::unix::fs::chown(path, Some(65_534), None).expect("its owner");
    }
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777)).expect("its mode");
    let refused = capture(lab, &container, &path).arg("--overwrite").output().expect("the program");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains(&format!("cannot open {} for writing", path.display())), "{said}");
    assert_eq!(fs::read(&path).expect("the old file"), b"old");
}

fn a_fifo_of_another_user_is_refused(lab: &Lab) {
    // Its owner would read the packets.
    let container = lab.container(&[]);
    let folder = folder();
    let path = fifo(&folder);
    std::os::unix::fs::chown(&path, Some(65_534), None).expect("its owner");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("its mode");
    let reader = fs::OpenOptions::new().read(true).write(true).open(&path).expect("a reader");
    let ended = capture(lab, &container, &path).args(["-a", "duration:1"]).output().expect("the program");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.code() == Some(1) && said.contains("it belongs to another user"), "{said}");
    drop(reader);
}
