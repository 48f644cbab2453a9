//! Names of addresses: repeated, kept, shared by several containers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::following::Following;
use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, end_of, eventually, folder, output, signal, start};
use crate::support::recording::named_fields_of;
use crate::support::traffic::flood;
use crate::support::wireshark::WiresharkUser;

pub(crate) const TESTS: &[Test] = tests![
    names_are_repeated_in_files_split_by_tshark,
    each_ring_buffer_file_has_names,
    an_address_reused_by_another_container_has_both_names,
    names_are_written_to_a_hosts_file,
    the_section_header_describes_the_machine,
];

/// Fields of the packets that pass a display filter, with names, read twice as Wireshark's window does.
fn read_twice(path: &Path, filter: &str, field: &str) -> Vec<String> {
    let mut tshark = Command::new("tshark");
    tshark.args(["-2", "-N", "n", "-T", "fields", "-E", "occurrence=f", "-R", filter, "-e", field, "-r"]);
    output(tshark.arg(path)).lines().map(str::to_owned).collect()
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).expect("a folder").flatten().map(|one| one.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "pcapng"));
    files.sort();
    files
}

fn names_are_repeated_in_files_split_by_tshark(lab: &Lab) {
    // wireshark f300676, #15033: dumpcap begins its files with section header and interface blocks alone.
    let container = lab.container(&[]);
    let user = WiresharkUser::new(lab);
    let path = user.home.path().join("out.pcapng");
    let mut tshark = user.runs("tshark");
    tshark.args(["-q", "-i", &container.interface(), "-f", "udp port 9"]);
    let child = start(tshark.args(["-b", "packets:400", "-b", "files:3", "-w"]).arg(&path));
    let files = || files_in(user.home.path());
    eventually("the capture begins", || {
        files().iter().any(|path| path.metadata().is_ok_and(|about| about.len() > 300))
    });
    let number = |path: &PathBuf| path.to_str().and_then(|path| path.rsplit('_').nth(1)?.parse::<u32>().ok());
    eventually("the first files are gone", || {
        flood(&container, 60);
        files().first().and_then(number) >= Some(3)
    });
    signal(&child, "INT");
    assert!(end_of(child).status.success());
    let files = files();
    // The last is not full yet.
    for path in &files[..files.len() - 1] {
        let names = read_twice(path, "udp", "ip.src_host");
        assert_eq!(names, vec![container.name.clone(); 400], "{}", path.display());
    }
}

fn each_ring_buffer_file_has_names(lab: &Lab) {
    // The same where our own program begins the files.
    let container = lab.container(&[]);
    let folder = folder();
    let mut capture = lab.program();
    capture.args([
        "capture",
        &container.name,
        "-f",
        "udp port 9",
        "-b",
        "packets:20",
        "-a",
        "packets:100",
        "-w",
    ]);
    let child = start(capture.arg(folder.path().join("web.pcapng")));
    eventually("the capture begins", || {
        files_in(folder.path()).iter().any(|path| path.metadata().is_ok_and(|about| about.len() > 300))
    });
    flood(&container, 100);
    assert!(end_of(child).status.success());
    let files = files_in(folder.path());
    assert_eq!(files.len(), 5);
    for path in files {
        assert_eq!(named_fields_of(&path, "udp", &["ip.src_host"]), vec![vec![container.name.clone()]; 20]);
    }
}

fn an_address_reused_by_another_container_has_both_names(lab: &Lab) {
    // wireshark#11470: of three jobs that ran one after the other with one address, all packets were job3's.
    let network = lab.network_with(&["--subnet", "198.51.99.0/24"]);
    let label = format!("passes={}", std::process::id());
    let capture = Following::begin(lab.program(), &["--wait", "--label", &label]);
    let mut names = Vec::new();
    for _ in 0..3 {
        let options = ["--network", &network.name, "--ip", "198.51.99.7", "--label", &label];
        let job = lab.container(&options);
        capture.wait_for(&format!("{}:eth0", job.name), 1);
        job.fetch(1);
        names.push(job.name.clone());
        drop(job);
        eventually("it has left", || {
            capture.said().contains(&format!("{} has ended", names[names.len() - 1]))
        });
    }
    let (path, _folder) = capture.stop();
    let all = names.join(" or ");
    assert_eq!(read_twice(&path, "http.request", "ip.dst_host"), vec![all.clone(); 3]);
    // A reader that reads once knows no more of the first than its name.
    let once = named_fields_of(&path, "http.request", &["ip.dst_host"]).concat();
    assert_eq!(once, [names[0].clone(), names[..2].join(" or "), all]);
}

fn names_are_written_to_a_hosts_file(lab: &Lab) {
    // wireshark#15033: editcap, mergecap and tshark -w leave the names out; README shows how to keep them.
    let container = lab.container(&[]);
    let folder = folder();
    let path = folder.path().join("a.pcapng");
    let mut capture = lab.program();
    capture.args(["capture", &container.name, "-f", "udp port 9", "-c", "3", "-w"]);
    let child = start(capture.arg(&path));
    eventually("the capture begins", || path.metadata().is_ok_and(|about| about.len() > 300));
    flood(&container, 3);
    assert!(end_of(child).status.success());
    let script = "tshark -r a.pcapng -N n -q -z hosts >hosts && editcap -c 2 a.pcapng part.pcapng && \
        tshark -H hosts -N n -r part_00001_* -T fields -e ip.src_host";
    let mut shell = Command::new("sh");
    let shown = output(shell.args(["-c", script]).current_dir(folder.path()));
    assert_eq!(shown, container.name);
}

fn the_section_header_describes_the_machine(lab: &Lab) {
    // Capture File Properties said "Unknown" of hardware and operating system.
    let container = lab.container(&[]);
    let folder = folder();
    let path = folder.path().join("a.pcapng");
    let mut capture = lab.program();
    assert!(
        end_of(start(capture.args(["capture", &container.name, "-a", "duration:0.1", "-w"]).arg(&path)))
            .status
            .success()
    );
    let all = output(Command::new("capinfos").arg(&path));
    let release = output(Command::new("uname").args(["-sr"]));
    assert!(all.contains(&format!("Capture oper-sys:    {release}\n")), "{all}");
    assert!(
        all.contains("Capture hardware:    ") && all.contains("Capture application: containerdump "),
        "{all}"
    );
}
