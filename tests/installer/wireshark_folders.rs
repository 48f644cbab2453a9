//! Folders and versions in the output of Wireshark.

use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use super::fixtures::trial;

#[path = "../../installer/folders.rs"]
mod folders;

use folders::{WiresharkFolders, WiresharkVersion};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial!(wireshark_4_0_has_a_global_and_a_configuration_folder, &[]),
        trial!(wireshark_4_2_and_later_name_their_folders, &[]),
        trial!(noise_and_relative_paths_are_ignored, &[]),
        trial!(versions_are_read_from_the_first_line, &[]),
        trial!(without_a_reply_the_folder_depends_on_the_version, &[]),
    ]
}

const FOLDERS_4_0: &str = "\
Temp:                \t/tmp
Personal configuration:\t/home/ada/.config/wireshark
Global configuration:\t/usr/share/wireshark
System:              \t/etc
Program:             \t/usr/bin
Personal Plugins:    \t/home/ada/.local/lib/wireshark/plugins/4.0
Global Plugins:      \t/usr/lib/x86_64-linux-gnu/wireshark/plugins/4.0
Personal Lua Plugins:\t/home/ada/.local/lib/wireshark/plugins
Global Lua Plugins:  \t/usr/lib/x86_64-linux-gnu/wireshark/plugins
Extcap path:         \t/usr/lib/x86_64-linux-gnu/wireshark/extcap
MaxMind database path:\t/usr/share/GeoIP
";

fn wireshark_4_0_has_a_global_and_a_configuration_folder() {
    assert_eq!(
        WiresharkFolders::parse(FOLDERS_4_0),
        WiresharkFolders {
            global: vec![PathBuf::from("/usr/lib/x86_64-linux-gnu/wireshark/extcap")],
            personal: Some(PathBuf::from("/home/ada/.config/wireshark/extcap")),
            program: Some(PathBuf::from("/usr/bin")),
            profiles: Some(PathBuf::from("/usr/share/wireshark/profiles")),
            personal_profiles: Some(PathBuf::from("/home/ada/.config/wireshark/profiles")),
        }
    );
}

fn wireshark_4_2_and_later_name_their_folders() {
    for (version, global) in [
        ("4.2", "/usr/lib/x86_64-linux-gnu/wireshark/extcap"),
        ("4.4", "/usr/lib64/wireshark/extcap"),
        ("4.6", "/usr/libexec/wireshark/extcap"),
    ] {
        let text = format!(
            "Temp:                \t/tmp\n\
             Personal configuration:\t/home/ada/.config/wireshark\n\
             Global configuration:\t/usr/share/wireshark\n\
             Program:             \t/usr/bin\n\
             Personal Plugins:    \t/home/ada/.local/lib/wireshark/plugins/{version}\n\
             Personal Extcap path:\t/home/ada/.local/lib/wireshark/extcap\n\
             Global Extcap path:  \t{global}\n\
             MaxMind database path:\t/usr/share/GeoIP\n"
        );
        assert_eq!(
            WiresharkFolders::parse(&text),
            WiresharkFolders {
                global: vec![PathBuf::from(global)],
                personal: Some(PathBuf::from("/home/ada/.local/lib/wireshark/extcap")),
                program: Some(PathBuf::from("/usr/bin")),
                profiles: Some(PathBuf::from("/usr/share/wireshark/profiles")),
                personal_profiles: Some(PathBuf::from("/home/ada/.config/wireshark/profiles")),
            },
            "of {version}"
        );
    }
}

fn noise_and_relative_paths_are_ignored() {
    let text = "Running as user \"root\" and group \"root\". This could be dangerous.\r\n\
                Extcap path:\textcap\nGlobal Extcap path:\t\nSomething: else\n\n";
    assert_eq!(WiresharkFolders::parse(text), WiresharkFolders::default());
}

fn versions_are_read_from_the_first_line() {
    for (text, version) in [
        (
            "TShark (Wireshark) 4.0.17 (Git v4.0.17 packaged as 4.0.17-0+deb12u3).\n\nCopyright",
            WiresharkVersion(4, 0, 17),
        ),
        ("TShark (Wireshark) 4.4.0.\n", WiresharkVersion(4, 4, 0)),
        ("Dumpcap (Wireshark) 4.6.9 (v4.6.9-0-gabcdef)\n", WiresharkVersion(4, 6, 9)),
        ("TShark (Wireshark) 4.7.0rc1-12-g0123 (Git)\n", WiresharkVersion(4, 7, 0)),
    ] {
        assert_eq!(WiresharkVersion::parse(text), Some(version), "of {text:?}");
    }
    assert_eq!(WiresharkVersion::parse("no number here"), None);
    assert_eq!(WiresharkVersion::parse(""), None);
}

fn without_a_reply_the_folder_depends_on_the_version() {
    let (configuration, home) = (Path::new("/home/ada/.config"), Path::new("/home/ada"));
    let personal = |version| folders::personal(version, configuration, home);
    assert_eq!(personal(Some(WiresharkVersion(4, 0, 17))), Path::new("/home/ada/.config/wireshark/extcap"));
    assert_eq!(personal(Some(WiresharkVersion(4, 2, 0))), Path::new("/home/ada/.local/lib/wireshark/extcap"));
    assert_eq!(
        folders::global(Some(WiresharkVersion(4, 6, 0)))[0],
        Path::new("/usr/libexec/wireshark/extcap")
    );
    assert!(folders::global(Some(WiresharkVersion(4, 4, 0)))[0].starts_with("/usr/lib"));
    assert_eq!(folders::personal_profiles(configuration), Path::new("/home/ada/.config/wireshark/profiles"));
    assert!(folders::profiles().iter().all(|folder| folder.ends_with("share/wireshark/profiles")));
}
