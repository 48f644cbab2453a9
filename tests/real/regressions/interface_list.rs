//! The interface list and the profile.

use std::fs::{self, File};
use std::io::Read as _;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::real::wireshark::window::WindowTest;
use crate::support::desktop::{Desktop, WiresharkVersion};
use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, end_of, eventually, fifo, folder, output, signal, start};

pub(crate) const TESTS: &[Test] = tests![
    a_container_that_ended_since_listing_is_reported_for_the_window,
    an_impossible_tap_is_reported_in_terms_of_the_dialog,
    long_image_references_show_name_and_tag,
    the_table_fits_the_terminal,
    names_filter_the_list,
    the_help_page_explains_every_option,
    an_empty_interface_list_has_one_explaining_entry,
];

/// How long to wait for the effect of a click before it is repeated.
const UNTIL_HEARD: Duration = Duration::from_secs(5);

/// Background of a selected row in Qt's default style.
const SELECTED: &str = "#308CC6";

/// The name of a Compose project that is before all other entries.
const FIRST: &str = "com.docker.compose.project=0first";

fn the_profile_lists_containers_first_and_selects_one(lab: &Lab, version: WiresharkVersion) {
    // At the first start, 22 interfaces of the host (veth…, br-…) stood before the first container.
    let _container = lab.container(&["--label", FIRST]);
    let desk = Desktop::with(lab, version);
    let folder = desk.path("config/wireshark/profiles/Containers");
    fs::create_dir_all(&folder).expect("a folder");
    let ours = include_str!("../../../installer/profile/preferences");
    let quiet = "\ngui.update.enabled: FALSE\ngui.ask_unsaved: FALSE\n";
    fs::write(folder.join("preferences"), [ours, quiet].concat()).expect("preferences");
    let window = start(desk.wireshark().args(["-C", "Containers"]));
    let asked = |question: &str| desk.lines("asked").into_iter().find(|line| line.starts_with(question));
    let picture = desk.path("picture.png");
    let selected = || {
        output(desk.runs("import").args(["-window", "root", "-depth", "8"]).arg(&picture));
        let mut convert = Command::new("convert");
        convert.arg(&picture).args([
            "-fill",
            "black",
            "+opaque",
            SELECTED,
            "-trim",
            "-format",
            "%X %Y %w %h",
            "info:",
        ]);
        let numbers: Vec<i32> = output(&mut convert).split(' ').filter_map(|one| one.parse().ok()).collect();
        // The list is as wide as the window.
        (numbers.len() == 4 && numbers[2] > 400).then(|| (numbers[0] + 200, numbers[1] + numbers[3] / 2))
    };
    eventually("a row of the list is selected", || selected().is_some());
    // Wireshark selects the first interface that it shows.
    let (x, y) = selected().expect("a row");
    eventually("the first entry is captured", || {
        let click =
            ["mousemove", &x.to_string(), &y.to_string(), "click", "--repeat", "2", "--delay", "50", "1"];
        end_of(start(desk.runs("xdotool").args(click)));
        let clicked = Instant::now();
        while asked("--capture ").is_none() && clicked.elapsed() < UNTIL_HEARD {
            std::thread::sleep(Duration::from_millis(20));
        }
        asked("--capture ").is_some()
    });
    let captured = asked("--capture ").expect("a capture");
    assert!(captured.contains(" compose-0first "), "{captured}");
    signal(&window, "TERM");
    end_of(window);
}

/// Those that run in the window of each version of Wireshark.
pub(crate) const WINDOW_TESTS: &[WindowTest] = tests![the_profile_lists_containers_first_and_selects_one];

/// What a capture that Wireshark starts writes to standard error, which Wireshark shows in a dialog.
fn reported(lab: &Lab, interface: &str, options: &[&str]) -> String {
    reported_by(lab.program(), interface, options)
}

fn reported_by(mut capture: Command, interface: &str, options: &[&str]) -> String {
    let folder = folder();
    let fifo = fifo(&folder);
    capture.args(["--capture", "--extcap-interface", interface]).args(options).arg("--fifo").arg(&fifo);
    let capture = start(&mut capture);
    let mut packets = Vec::new();
    File::open(&fifo).and_then(|mut fifo| fifo.read_to_end(&mut packets)).expect("the FIFO can be read");
    String::from_utf8(end_of(capture).stderr).expect("text")
}

fn a_container_that_ended_since_listing_is_reported_for_the_window(lab: &Lab) {
    // The window showed the remedy of the command line: `containerdump list`.
    let container = lab.container(&[]);
    lab.docker(&["rm", "--force", &container.name]);
    let expected =
        format!("container {} no longer runs.\nRemedy: press F5 and choose again.\n", container.name);
    assert_eq!(reported(lab, &container.interface(), &[]), expected);
    let expected =
        "no container of Compose project nosuch is running any more.\nRemedy: press F5 and choose again.\n";
    assert_eq!(reported(lab, "compose-nosuch", &[]), expected);
    let on_command_line = end_of(start(lab.program().args(["capture", &container.name, "-w", "-"])));
    let said = String::from_utf8_lossy(&on_command_line.stderr);
    let expected = format!("containerdump: no running container is called \"{}\".\nRemedy: ", container.name);
    assert!(said.starts_with(&expected) && said.contains("containerdump list"), "{said}");
}

fn an_impossible_tap_is_reported_in_terms_of_the_dialog(lab: &Lab) {
    // The window's remedy named an option of the command line: `leave --tap out`.
    let container = lab.container(&["--network", "none"]);
    let dialog =
        output(lab.program().args(["--extcap-config", "--extcap-interface", &container.interface()]));
    let said = reported(lab, &container.interface(), &["--tap", "host"]);
    assert!(said.contains("at the host veth: this tap does not exist for it"), "{said}");
    for label in ["Automatic", "Where to capture"] {
        assert!(said.contains(label) && dialog.contains(&format!("{{display={label}}}")), "{said}\n{dialog}");
    }
    assert!(!said.contains("--"), "{said}");
}

/// Where a registry and its groups take most of the room.
const LONG_IMAGE: &str =
    "registry.example.org/platform/team-payments/production/europe/checkout-service:2024.11.29";

/// The same engine with containers of that image.
fn with_long_image(lab: &Lab) -> Lab {
    lab.docker(&["tag", &lab.image, LONG_IMAGE]);
    Lab { image: LONG_IMAGE.to_owned(), ..lab.clone() }
}

fn long_image_references_show_name_and_tag(lab: &Lab) {
    // The list showed `registry.example.org/platform/team-pay…`.
    let container = with_long_image(lab).container(&[]);
    let entries = output(lab.program().arg("--extcap-interfaces"));
    let entry = format!("{{display={} · …/", container.name);
    let shown = entries.lines().find(|line| line.contains(&entry)).expect("the container");
    assert!(shown.ends_with("/checkout-service:2024.11.29}"), "{shown}");
    let json = output(lab.program().args(["list", "--json", &container.name]));
    assert!(json.contains(&format!("\"image\":\"{LONG_IMAGE}\"")), "{json}");
}

/// What `list` prints on a terminal of so many columns.
fn listed_on_terminal(lab: &Lab, columns: usize, options: &str) -> Vec<String> {
    let program = lab.program();
    let list = format!("stty cols {columns}; {} list {options}", program.get_program().to_string_lossy());
    let mut terminal = Command::new("script");
    terminal.args(["--quiet", "--return", "--command", &list, "/dev/null"]);
    terminal.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let printed = String::from_utf8(end_of(start(&mut terminal)).stdout).expect("text");
    printed.lines().map(|line| line.trim_end().to_owned()).collect()
}

fn the_table_fits_the_terminal(lab: &Lab) {
    // `containerdump list` wrapped at 120 columns.
    let network = lab.network();
    let container = with_long_image(lab).container(&[]);
    lab.docker(&["network", "connect", &network.name, &container.name]);
    let row = |lines: &[String]| {
        lines.iter().find(|line| line.starts_with(&container.name)).expect("a row").to_owned()
    };
    for columns in [80, 100, 120] {
        let lines = listed_on_terminal(lab, columns, &container.name);
        assert!(lines.iter().all(|line| line.chars().count() <= columns), "{columns}: {lines:#?}");
        assert!(row(&lines).contains(":2024.11.29") && lines.concat().contains("--wide"), "{lines:#?}");
    }
    let whole = output(lab.program().args(["list", &container.name]));
    let whole: Vec<String> = whole.lines().map(str::to_owned).collect();
    assert!(row(&whole).contains(LONG_IMAGE), "{whole:#?}");
    assert_eq!(listed_on_terminal(lab, 80, &format!("--wide {}", container.name)), whole);
}

fn names_filter_the_list(lab: &Lab) {
    // `containerdump list web` was refused: `unexpected argument 'web'`.
    let (one, _other) = (lab.container(&[]), lab.container(&[]));
    let names = |options: &[&str]| {
        let printed = output(lab.program().arg("list").args(options));
        let lines: Vec<String> = printed.lines().map(str::to_owned).collect();
        lines
    };
    for name in [&one.name, &one.interface(), &one.id[..12].to_owned()] {
        let lines = names(&[name]);
        assert!(lines.len() == 2 && lines[1].starts_with(&one.name), "{name}: {lines:#?}");
        assert_eq!(names(&["--json", name]).len(), 1, "{name}");
    }
    let ended = end_of(start(lab.program().args(["list", "nosuch"])));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success() && said.contains("no running container is called \"nosuch\""), "{said}");
}

fn an_empty_interface_list_has_one_explaining_entry(lab: &Lab) {
    // With no engine running, nothing at all appeared in Wireshark's list.
    let without = || {
        // Where root's Podman runs, its socket is hidden.
        let hidden = "[ ! -d /run/podman ] || mount -t tmpfs none /run/podman; exec \"$0\" \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-euc", hidden]).arg(lab.program().get_program());
        command.env("CONTAINERDUMP_ENGINES", "podman").env("XDG_CONFIG_HOME", "/nonexistent");
        command.env_remove("CONTAINER_HOST").env("XDG_RUNTIME_DIR", "/nonexistent");
        command
    };
    let entries = output(without().arg("--extcap-interfaces"));
    let entry =
        "interface {value=containerdump-none}{display=No container engine is running, double-click for help}";
    assert_eq!(
        entries.lines().filter(|line| line.starts_with("interface {value=containerdump-none}")).count(),
        1
    );
    assert!(entries.lines().any(|line| line == entry), "{entries}");
    let said = reported_by(without(), "containerdump-none", &[]);
    assert!(said.starts_with("no container engine runs here: ") && said.contains("podman.socket"), "{said}");
    let _container = lab.container(&[]);
    let said = reported(lab, "containerdump-none", &[]);
    let expected = "containers have started since the interface list was loaded.\n\
                    Remedy: press F5 to refresh the interface list, and select a container.\n";
    assert_eq!(said, expected);
}

fn the_help_page_explains_every_option(lab: &Lab) {
    // The Help button of the dialogs opened a page of Wireshark's that knows nothing of containers.
    let page = include_str!("../../../docs/wireshark.html");
    let prefix = folder();
    let (program, installed) =
        ("libexec/containerdump/containerdump", "share/doc/containerdump/wireshark.html");
    for path in [program, installed] {
        fs::create_dir_all(prefix.path().join(path).parent().expect("a folder")).expect("folders");
    }
    let program = prefix.path().join(program);
    fs::copy(env!("CARGO_BIN_EXE_containerdump"), &program).expect("a copy");
    let said = |options: &[&str]| output(lab.program_at(&program).args(options));
    assert!(!said(&["--extcap-interfaces"]).contains("{help="), "there is no page yet");
    fs::write(prefix.path().join(installed), page).expect("the page");
    let list = said(&["--extcap-interfaces"]);
    let help = format!("{{help=file://{}}}", prefix.path().join(installed).display());
    assert!(list.lines().next().is_some_and(|line| line.contains(&help)), "{list}");
    let dialogs = ["docker-web", "docker-all", "containerdump-ssh"]
        .map(|interface| said(&["--extcap-config", "--extcap-interface", interface]));
    let labels: Vec<&str> = [list.as_str()]
        .into_iter()
        .chain(dialogs.iter().map(String::as_str))
        .flat_map(str::lines)
        .filter(|line| line.starts_with("arg ") || line.starts_with("control "))
        .map(|line| {
            line.split_once("{display=").and_then(|(_, rest)| rest.split_once('}')).expect("a label").0
        })
        .collect();
    assert!(labels.len() > 30, "{labels:?}");
    for label in labels {
        assert!(page.contains(&format!("<dt>{label}</dt>")), "{label} is not explained");
    }
}
