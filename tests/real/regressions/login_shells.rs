//! Hosts reached by ssh: shells, settings, messages, names.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, eventually, output};
use crate::support::recording::{Recording, fields_so_far, named_fields_of, requests_so_far};
use crate::support::ssh_host::{SshHost, allow_sudo};

pub(crate) const TESTS: &[Test] = tests![
    names_of_one_remote_host_have_no_host_prefix,
    names_of_several_remote_hosts_end_with_the_host_without_port,
    output_of_a_login_shell_does_not_disturb_list_capture_and_clean,
    sudo_runs_containerdump_outside_secure_path,
    ssh_works_with_one_session_per_connection,
    sudo_skips_a_home_that_root_cannot_read,
    a_jump_host_is_named_and_does_not_prompt_at_the_terminal,
    the_dialog_selects_the_reason_why_containers_cannot_be_loaded,
];

fn names_of_one_remote_host_have_no_host_prefix(lab: &Lab) {
    // `127.0.0.1:2222/…` filled the Source, Destination and Container columns of a capture over ssh.
    let there = SshHost::start(lab);
    let (web, other) = (there.host.lab.container(&[]), there.host.lab.container(&[]));
    let address = there.host.address(&web, "bridge");
    let host = format!("root@{}:2222", there.address);
    let recording = Recording::begin_by(there.program(), &[&web], &["--host", &host, "-f", "tcp port 80"]);
    eventually("a request is captured", || {
        there.host.fetch(&other, &address);
        !fields_so_far(&recording.path, "http.request", &["frame.number"]).is_empty()
    });
    let recorded = recording.stop();
    let fields = ["frame.interface_name", "ip.src_host", "ip.dst_host"];
    let request = named_fields_of(&recorded.path, "http.request", &fields).concat();
    assert_eq!(request[..3], [format!("{}:eth0", web.name), other.name.clone(), web.name.clone()]);
    let description = recorded.fields("http.request", &["frame.interface_description"]).concat();
    assert!(description[0].starts_with(&format!("on {}: docker", there.address)), "{description:?}");
    let list = |options: &[&str]| output(there.program().args(["list", "--host", &host]).args(options));
    assert!(list(&[]).starts_with("NAME "), "{}", list(&[]));
    assert!(!list(&["-v"]).contains(&there.address), "{}", list(&["-v"]));
}

fn names_of_several_remote_hosts_end_with_the_host_without_port(lab: &Lab) {
    // `127.0.0.1:2222/…` filled the Source, Destination and Container columns of a capture over ssh.
    let there = SshHost::start(lab);
    let (web, other) = (there.host.lab.container(&[]), there.host.lab.container(&[]));
    let address = there.host.address(&web, "bridge");
    let program = || {
        let mut program = there.program();
        program.env("XDG_CONFIG_HOME", there.path("settings"));
        program
    };
    output(program().args(["host", "add", "shop", &format!("root@{}:2222", there.address)]));
    let hosts = ["--host", "shop", "--host", "root@build1:2222"];
    let options = [&hosts[..], &["-f", "tcp port 80"]].concat();
    let recording = Recording::begin_by(program(), &[&web], &options);
    let interfaces = || {
        let names = fields_so_far(&recording.path, "tcp.port == 80", &["frame.interface_name"]).concat();
        names.into_iter().collect::<BTreeSet<_>>()
    };
    // The second copy of a packet is a retransmission to Wireshark, and no request.
    eventually("packets are captured on both", || {
        there.host.fetch(&other, &address);
        interfaces().len() == 2
    });
    let expected = ["build1", "shop"].map(|host| format!("{}@{host}:eth0", web.name));
    assert_eq!(interfaces(), BTreeSet::from(expected));
    let recorded = recording.stop();
    let ends = named_fields_of(&recorded.path, "tcp.dstport == 80", &["ip.dst_host"]).concat();
    assert_eq!(ends.last(), Some(&format!("{0}@shop or {0}@build1", web.name)), "{ends:?}");
    let list = |options: &[&str]| output(program().arg("list").args(hosts).args(options));
    let table = list(&[]);
    let rows: Vec<&str> = table.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!((rows[0], rows.len()), ("HOST", 5), "{table}");
    assert!(rows[1..].iter().all(|host| ["shop", "build1"].contains(host)), "{table}");
    let taps = list(&["-v"]);
    assert!(taps.contains(&format!("{}@shop (docker-{0}, ", web.name)), "{taps}");
    assert!(taps.contains(&format!("{}@build1 (docker-{0}, ", web.name)), "{taps}");
}

fn output_of_a_login_shell_does_not_disturb_list_capture_and_clean(lab: &Lab) {
    // warp#6179, ansible#2268: a start-up file prints a window title or a word, with or without a line end.
    let there = SshHost::bare(lab);
    let (web, other) = (there.host.lab.container(&[]), there.host.lab.container(&[]));
    let address = there.host.address(&web, "bridge");
    for (shell, file, line) in [
        ("/bin/bash", ".bashrc", r"printf '\033]0;build1\007'"),
        ("/bin/bsd-csh", ".cshrc", "echo -n 'Welcome '"),
        ("/bin/tcsh", ".tcshrc", "echo -n 'Welcome '"),
        ("/usr/bin/fish", ".config/fish/config.fish", "echo -n 'Welcome '"),
        ("/bin/bash", ".bashrc", "echo Welcome to build1"),
    ] {
        fs::write(there.path("line"), format!("{line}\n")).expect("a start-up file");
        there.inside(&format!(
            "mount -t tmpfs -o mode=700 home /root; mkdir -p /root/.config/fish; cp {} /root/{file}; \
             sed 's|^root:.*|root:x:0:0:root:/root:{shell}|' /etc/passwd >/run/passwd; cat /run/passwd >/etc/passwd",
            there.path("line").display(),
        ));
        let printed =
            Command::new(there.path("bin/ssh")).args(["build1", "true"]).output().expect("ssh").stdout;
        assert!(!printed.is_empty(), "{shell} prints nothing");
        for options in [&[][..], &["--no-upload"]] {
            let options = [&["--host", "build1", "-f", "tcp port 80"], options].concat();
            let recording = Recording::begin_by(there.program(), &[&web], &options);
            eventually("a request is captured", || {
                there.host.fetch(&other, &address);
                requests_so_far(&recording.path) > 0
            });
            recording.stop();
        }
        let list = output(there.program().args(["list", "--host", "build1"]));
        assert!(list.contains(&web.name), "{shell}: {list}");
        let removed = output(there.program().args(["host", "clean", "build1"]));
        assert_eq!(removed, "build1: removed 1 file from /root/.cache/containerdump", "{shell}");
    }
}

fn sudo_runs_containerdump_outside_secure_path(lab: &Lab) {
    // netbird#156, heroku/cli#1173: the secure_path of sudo has no /usr/local/bin.
    let there = SshHost::start(lab);
    let web = there.host.lab.container(&[]);
    allow_sudo(&there);
    there.inside("echo 'Defaults secure_path=\"/usr/sbin:/usr/bin:/sbin:/bin\"' >>/run/sudoers");
    let options = ["--no-upload", "--sudo", "--host", "containerdump-lab@build1"];
    let list = output(there.program().arg("list").args(options));
    assert!(list.contains(&web.name), "{list}");
}

fn ssh_works_with_one_session_per_connection(lab: &Lab) {
    // docker/compose#11677: sshd_config has MaxSessions 1.
    let there = SshHost::bare(lab);
    there.inside("mount -t tmpfs -o mode=700 home /root");
    there.serve_with("MaxSessions 1");
    let (web, other) = (there.host.lab.container(&[]), there.host.lab.container(&[]));
    let address = there.host.address(&web, "bridge");
    for options in [&["--host", "build1"][..], &["--host", "build1", "--no-upload"]] {
        let recording = Recording::begin_by(there.program(), &[&web], options);
        eventually("a request is captured", || {
            there.host.fetch(&other, &address);
            requests_so_far(&recording.path) > 0
        });
        recording.stop();
        // The next one has the program already: it must not be the one that works.
        output(there.program().args(["host", "clean", "build1"]));
    }
}

fn sudo_skips_a_home_that_root_cannot_read(lab: &Lab) {
    // `--sudo` where the home is a FUSE or NFS file system that root may not read.
    let there = SshHost::bare(lab);
    let web = there.host.lab.container(&[]);
    allow_sudo(&there);
    there.inside(
        "mount -t tmpfs -o mode=1777 tmp /var/tmp; home=/run/containerdump-lab; mkdir -p /run/behind $home/.cache; \
         chown 4242:4242 /run/behind $home/.cache; chmod 666 /dev/fuse; \
         setpriv --reuid 4242 --regid 4242 --clear-groups bindfs --no-allow-other /run/behind $home/.cache; \
         if ls $home/.cache 2>/dev/null; then exit 1; fi",
    );
    let mut program = there.program();
    let listed =
        program.args(["list", "--sudo", "--host", "containerdump-lab@build1"]).output().expect("the program");
    let said = String::from_utf8_lossy(&listed.stderr);
    assert!(String::from_utf8_lossy(&listed.stdout).contains(&web.name), "{said}");
    assert!(
        said.contains("not used: /run/containerdump-lab/.cache/containerdump cannot be read by root"),
        "{said}"
    );
}

/// What *Load containers* prints for `host`, in a terminal that it must leave alone.
fn loaded_in_a_terminal(there: &SshHost, host: &str) -> String {
    let program = there.program();
    let line = format!(
        "{} --extcap-config --extcap-interface containerdump-ssh --extcap-reload-option remote-container \
         --remote-host {host} --remote-container docker-web",
        program.get_program().display()
    );
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env_remove("DISPLAY");
    script.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    output(script.env_remove("SSH_ASKPASS").stdin(std::process::Stdio::null()))
}

fn a_jump_host_is_named_and_does_not_prompt_at_the_terminal(lab: &Lab) {
    // A ProxyJump of ssh_config: the jump host asked on the terminal of Wireshark, and its refusal was not named.
    let there = SshHost::start(lab);
    let (address, folder) = (&there.address, there.path(""));
    let jump = |name: &str, key: &str, known: &str| {
        format!(
            "Host {name}\n Hostname {address}\n Port 2222\n IdentityFile {0}/{key}\n IdentitiesOnly yes\n \
             UserKnownHostsFile {known}\n HostKeyAlias build\n GlobalKnownHostsFile none\n\
             Host behind-{name}\n Hostname {address}\n Port 2222\n ProxyJump {name}\n",
            folder.display()
        )
    };
    let known = there.path("known_hosts").display().to_string();
    there.configure(&(jump("stranger", "key", "/dev/null") + &jump("refuses", "other", &known)));
    for (jump, why) in
        [("stranger", "its host key is not known"), ("refuses", "login refused (no key was accepted)")]
    {
        let shown = loaded_in_a_terminal(&there, &format!("behind-{jump}"));
        let expected = format!("cannot connect to behind-{jump} through jump host {jump}: {why}");
        assert_eq!(
            shown,
            format!("value {{arg=5}}{{value=docker-web}}{{display={expected}}}{{default=true}}")
        );
    }
}

fn the_dialog_selects_the_reason_why_containers_cannot_be_loaded(lab: &Lab) {
    // A failed Load was the second entry of a closed list, and a missing key file was "it does not let you in".
    let there = SshHost::start(lab);
    let load = |options: &[&str]| {
        let mut program = there.program();
        program.args([
            "--extcap-config",
            "--extcap-interface",
            "containerdump-ssh",
            "--extcap-reload-option",
        ]);
        output(
            program.args(["remote-container", "--remote-host", "build2"]).args(options).env_remove("DISPLAY"),
        )
    };
    there.configure("Host build2\n IdentityAgent none\n");
    fs::write(there.path("key"), "").expect("a key that is none");
    assert_eq!(
        load(&["--sshkey", "/nosuch"]),
        "value {arg=5}{value=all}{display=cannot connect to build2: key file /nosuch not found}{default=true}"
    );
    assert_eq!(
        load(&["--remote-container", "docker-web"]),
        "value {arg=5}{value=docker-web}{display=cannot connect to build2: login refused (no key was accepted)}\
         {default=true}"
    );
}
