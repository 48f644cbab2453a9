//! Addresses of engines, as Docker's and Podman's clients take them.

use std::path::PathBuf;

use crate::container::EngineKind;
use crate::endpoint::Endpoint;
use crate::ssh::Host;
use crate::trouble::Trouble;

/// Where TLS is spoken, and where it is not.
const TLS_PORT: u16 = 2376;
const PORT: u16 = 2375;

/// Somebody's word for where an engine is.
pub(super) struct Named<'a> {
    /// Who says it: `DOCKER_HOST`, `Docker context desk`.
    pub(super) by: &'a str,
    /// `unix:///path`, `tcp://host:port` or `ssh://user@host:port`.
    pub(super) address: &'a str,
    /// The folder of certificates, where TLS is to be spoken.
    pub(super) certificates: Option<PathBuf>,
}

impl Named<'_> {
    /// The address.
    ///
    /// Fails when it is of no kind that is known here.
    pub(super) fn endpoint(self, engine: EngineKind) -> Result<Endpoint, Trouble> {
        let Self { by, address, certificates } = self;
        let cannot =
            |why: &str, remedy: String| Trouble::new(format!("cannot use {by}={address}: {why}"), remedy);
        match (address.split_once("://"), certificates) {
            (Some(("tcp" | "https", address)), Some(certificates)) => {
                Ok(Endpoint::Tls { address: with_port(address, TLS_PORT), certificates })
            }
            (Some(("https", _)), None) => Err(cannot(
                "it says nothing of certificates",
                "set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH".to_owned(),
            )),
            (Some(("tcp" | "http", address)), _) => Ok(Endpoint::Tcp(with_port(address, PORT))),
            (Some(("ssh", rest)), _) => {
                // Docker's command knows its socket there, and Podman's, too.
                let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
                if !is_usual(path) {
                    return Err(cannot(
                        "it names a socket of its own, and the engine there is asked by its command",
                        format!("leave out the path: {by}=ssh://{host}"),
                    ));
                }
                let is_host = host.parse::<Host>();
                is_host.map_err(|why| cannot(&why, format!("see the name: {by}=ssh://user@host")))?;
                let command = match engine {
                    EngineKind::Docker | EngineKind::Kernel => "docker system dial-stdio",
                    EngineKind::Podman => "podman system dial-stdio",
                };
                Ok(Endpoint::Ssh { host: host.to_owned(), command })
            }
            _ => socket(address).ok_or_else(|| {
                cannot(
                    "neither unix:///path, tcp://host:port nor ssh://host",
                    format!("set {by} to one of these, or unset it to use the sockets of this host"),
                )
            }),
        }
    }
}

/// Whether a path behind `ssh://host/` is none, or what Podman's connections name: the socket of whoever logs in.
fn is_usual(path: &str) -> bool {
    let of_user = || {
        let user = path.strip_prefix("run/user/")?.strip_suffix("/podman/podman.sock")?;
        Some(!user.is_empty() && user.bytes().all(|byte| byte.is_ascii_digit()))
    };
    matches!(path, "" | "var/run/docker.sock" | "run/docker.sock" | "run/podman/podman.sock")
        || of_user().unwrap_or_default()
}

fn socket(address: &str) -> Option<Endpoint> {
    let path = address.strip_prefix("unix://")?;
    path.starts_with('/').then(|| Endpoint::Unix(path.into()))
}

fn with_port(address: &str, port: u16) -> String {
    let address = address.trim_end_matches('/');
    let after_host = address.rsplit(']').next().unwrap_or(address);
    if after_host.contains(':') { address.to_owned() } else { format!("{address}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(address: &str, certificates: Option<&str>) -> Result<Endpoint, Trouble> {
        let certificates = certificates.map(PathBuf::from);
        Named { by: "DOCKER_HOST", address, certificates }.endpoint(EngineKind::Docker)
    }

    #[test]
    fn addresses_of_all_kinds_are_understood() {
        assert_eq!(parse("unix:///run/d.sock", None), Ok(Endpoint::Unix("/run/d.sock".into())));
        assert_eq!(parse("tcp://10.0.0.1:99", None), Ok(Endpoint::Tcp("10.0.0.1:99".into())));
        assert_eq!(parse("tcp://host", None), Ok(Endpoint::Tcp("host:2375".into())));
        assert_eq!(parse("tcp://[::1]", None), Ok(Endpoint::Tcp("[::1]:2375".into())));
        let tls = |address: &str| Endpoint::Tls { address: address.to_owned(), certificates: "/c".into() };
        assert_eq!(parse("tcp://host/", Some("/c")), Ok(tls("host:2376")));
        assert_eq!(parse("unix:///run/d.sock", Some("/c")), Ok(Endpoint::Unix("/run/d.sock".into())));
        let ssh = |host: &str| Endpoint::Ssh { host: host.to_owned(), command: "docker system dial-stdio" };
        assert_eq!(parse("ssh://ann@host:22", None), Ok(ssh("ann@host:22")));
        assert_eq!(parse("ssh://ann@host/run/user/1000/podman/podman.sock", None), Ok(ssh("ann@host")));
    }

    #[test]
    fn other_ways_are_refused_with_the_ways_there_are() {
        for (address, why) in [
            ("npipe:////./pipe/docker_engine", "neither unix:///path, tcp://host:port nor ssh://host"),
            ("ssh://-oProxyCommand=x", "no host such as"),
            ("ssh://host/tmp/own.sock", "leave out the path: DOCKER_HOST=ssh://host"),
            ("https://host", "DOCKER_TLS_VERIFY"),
        ] {
            let trouble = parse(address, None).expect_err(address).to_string();
            assert!(trouble.contains(why), "{trouble}");
        }
    }
}
