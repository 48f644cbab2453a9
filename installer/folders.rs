//! Wireshark's folders of extcap programs and profiles: as it reports them, or by version.

use std::fmt;
use std::path::{Path, PathBuf};

/// Name of the folder of profiles in a configuration folder.
const PROFILES: &str = "profiles";

/// Version of a Wireshark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WiresharkVersion(pub(crate) u32, pub(crate) u32, pub(crate) u32);

impl WiresharkVersion {
    /// Finds the version in the first line of `tshark --version`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        text.lines().next()?.split_whitespace().find_map(Self::of_word)
    }

    fn of_word(word: &str) -> Option<Self> {
        let mut numbers = word
            .trim_end_matches(['.', ','])
            .split('.')
            .map(|part| part.split(|character: char| !character.is_ascii_digit()).next().unwrap_or(""));
        let (major, minor) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
        let micro = numbers.next().and_then(|part| part.parse().ok()).unwrap_or(0);
        Some(Self(major, minor, micro))
    }
}

impl fmt::Display for WiresharkVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// The output of `tshark -G folders`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct WiresharkFolders {
    /// Global extcap folders.
    pub(crate) global: Vec<PathBuf>,
    /// Personal extcap folder of the current user.
    pub(crate) personal: Option<PathBuf>,
    /// Folder of dumpcap.
    pub(crate) program: Option<PathBuf>,
    /// Global folder of profiles.
    pub(crate) profiles: Option<PathBuf>,
    /// Personal folder of profiles.
    pub(crate) personal_profiles: Option<PathBuf>,
}

impl WiresharkFolders {
    /// Parses lines of `LABEL: PATH`.
    pub(crate) fn parse(text: &str) -> Self {
        let mut folders = Self::default();
        let mut configuration = None;
        for (label, path) in text.lines().filter_map(|line| line.split_once(':')) {
            let path = Path::new(path.trim());
            if !path.is_absolute() {
                continue;
            }
            match label.trim().to_ascii_lowercase().as_str() {
                // Before 4.2 only the global folder is printed, under this label.
                "extcap path" | "global extcap path" => folders.global.push(path.to_owned()),
                "personal extcap path" => folders.personal = Some(path.to_owned()),
                "personal configuration" => configuration = Some(path.to_owned()),
                "global configuration" => folders.profiles = Some(path.join(PROFILES)),
                "program" => folders.program = Some(path.to_owned()),
                _ => {}
            }
        }
        folders.personal_profiles = configuration.as_ref().map(|folder| folder.join(PROFILES));
        if folders.personal.is_none() && !folders.global.is_empty() {
            // Before 4.2 it is in the configuration folder.
            folders.personal = configuration.map(|folder| folder.join("extcap"));
        }
        folders
    }
}

/// The personal extcap folder, where Wireshark does not report it.
pub(crate) fn personal(version: Option<WiresharkVersion>, configuration: &Path, home: &Path) -> PathBuf {
    match version {
        Some(version) if version < WiresharkVersion(4, 2, 0) => configuration.join("wireshark/extcap"),
        _ => home.join(".local/lib/wireshark/extcap"),
    }
}

/// The personal folder of profiles, where Wireshark does not report it.
pub(crate) fn personal_profiles(configuration: &Path) -> PathBuf {
    configuration.join("wireshark").join(PROFILES)
}

/// The known global folders of profiles, where Wireshark does not report them.
pub(crate) fn profiles() -> Vec<PathBuf> {
    let folders = ["/usr/share/wireshark", "/usr/local/share/wireshark"].into_iter().map(Path::new);
    folders.filter(|folder| folder.is_dir()).map(|folder| folder.join(PROFILES)).collect()
}

/// The known global extcap folders, where Wireshark does not report them; the likeliest first.
pub(crate) fn global(version: Option<WiresharkVersion>) -> Vec<PathBuf> {
    let triplet = match std::env::consts::ARCH {
        "arm" => "arm-linux-gnueabihf".to_owned(),
        "x86" => "i386-linux-gnu".to_owned(),
        "powerpc64" => "powerpc64le-linux-gnu".to_owned(),
        other => format!("{other}-linux-gnu"),
    };
    let mut libraries = vec![
        format!("/usr/lib/{triplet}/wireshark/extcap"),
        "/usr/lib64/wireshark/extcap".to_owned(),
        "/usr/lib/wireshark/extcap".to_owned(),
        "/usr/local/lib/wireshark/extcap".to_owned(),
    ];
    let mut executables =
        vec!["/usr/libexec/wireshark/extcap".to_owned(), "/usr/local/libexec/wireshark/extcap".to_owned()];
    if version.is_some_and(|version| version >= WiresharkVersion(4, 6, 0)) {
        executables.append(&mut libraries);
    }
    libraries.append(&mut executables);
    libraries.into_iter().map(PathBuf::from).collect()
}
