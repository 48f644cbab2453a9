//! Addresses of engines, as Docker's and Podman's clients parse them.

use std::io;
use std::path::{Path, PathBuf};

use crate::container::EngineKind;
use crate::container::endpoint::Endpoint;
use crate::error::Error;
use crate::ssh::Host;

/// Docker's default socket.
pub(super) const DOCKER_SOCKET: &str = "/var/run/docker.sock";
/// Docker's port where an address has none, also with TLS (docker/cli, opts/hosts.go).
const DEFAULT_PORT: u16 = 2375;
/// Docker's port where TLS is configured and no address.
const DEFAULT_TLS_PORT: u16 = 2376;

/// A configured address of an engine.
pub(super) struct ConfiguredAddress<'a> {
    /// The setting that it comes from: `DOCKER_HOST`, `DOCKER_CONTEXT=desk, DOCKER_HOST`.
    pub(super) setting: &'a str,
    /// `unix:///path`, `tcp://host:port`, `ssh://user@host:port`.
    pub(super) address: &'a str,
    /// The folder of certificates, where TLS is configured.
    pub(super) certificates: Option<PathBuf>,
}

impl ConfiguredAddress<'_> {
    /// The endpoint, parsed as `engine`'s own client does.
    ///
    /// Fails when the address is invalid or unsupported.
    pub(super) fn endpoint(self, engine: EngineKind) -> Result<Endpoint, Error> {
        let Self { setting, address, certificates } = self;
        let address = address.trim();
        let invalid = |cause: &str, remedy: String| {
            Error::new(format!("cannot use {setting}={address}: {cause}"), remedy)
        };
        let tcp = |rest: &str, port| {
            let remedy = || format!("set {setting} to tcp://HOST:PORT");
            host_and_port(rest, port).map_err(|cause| invalid(cause, remedy()))
        };
        // Podman's client requires a port.
        let port = (engine != EngineKind::Podman).then_some(DEFAULT_PORT);
        match (split(address, engine), certificates) {
            (Some(("tcp" | "https", rest)), Some(certificates)) => {
                let port = if address.starts_with("https") { Some(DEFAULT_TLS_PORT) } else { port };
                Ok(Endpoint::Tls { address: tcp(rest, port)?, certificates })
            }
            (Some(("https", _)), None) => Err(invalid(
                "no TLS certificates are configured",
                "set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH".to_owned(),
            )),
            (Some(("tcp" | "http", rest)), None) => Ok(Endpoint::Tcp(tcp(rest, port)?)),
            (Some(("ssh", rest)), _) => {
                // The command that runs on the host finds its socket itself.
                let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
                if !is_default_socket(path.split(['?', '#']).next().unwrap_or_default()) {
                    return Err(invalid(
                        "an ssh:// address cannot have a socket path",
                        format!("omit the path: {setting}=ssh://{host}"),
                    ));
                }
                let parsed = host.parse::<Host>();
                parsed.map_err(|cause| {
                    invalid(&cause, format!("check the host name: {setting}=ssh://user@host"))
                })?;
                let command = match engine {
                    EngineKind::Docker | EngineKind::Kernel => "docker system dial-stdio",
                    EngineKind::Podman => "podman system dial-stdio",
                };
                Ok(Endpoint::Ssh { host: host.to_owned(), command })
            }
            (Some(("unix", rest)), _) => {
                let path = socket_path(rest, engine)
                    .map_err(|error| invalid(&error.to_string(), format!("set {setting} to unix:///PATH")))?;
                Ok(Endpoint::Unix(path))
            }
            _ => Err(invalid(
                "neither unix:///path, tcp://host:port nor ssh://host",
                format!("set {setting} to one of these, or unset it to use the default sockets"),
            )),
        }
    }
}

/// Docker's address where TLS is configured and no address.
pub(super) fn default_tls(certificates: PathBuf) -> Endpoint {
    Endpoint::Tls { address: format!("localhost:{DEFAULT_TLS_PORT}"), certificates }
}

/// The scheme of `address` and the rest. Docker's client reads an address without a scheme as `host:port`; Podman's also
/// accepts `unix:/path`.
fn split(address: &str, engine: EngineKind) -> Option<(&str, &str)> {
    if let Some(split) = address.split_once("://") {
        return Some(split);
    }
    match engine {
        EngineKind::Podman => address.split_once(':').filter(|(_, path)| path.starts_with('/')),
        _ if address.is_empty() => Some(("unix", "")),
        // A host name has no slash; a path was probably meant.
        _ => (!address.contains('/')).then_some(("tcp", address)),
    }
}

/// The path in a `unix://` address.
fn socket_path(rest: &str, engine: EngineKind) -> io::Result<PathBuf> {
    match engine {
        // Podman's client accepts a path without its leading slash, and ignores a query.
        EngineKind::Podman => {
            let path = rest.split(['?', '#']).next().unwrap_or_default().trim_start_matches('/');
            if path.is_empty() { Err(io::Error::other("no path")) } else { Ok(Path::new("/").join(path)) }
        }
        _ if rest.is_empty() => Ok(DOCKER_SOCKET.into()),
        // Docker's client resolves it against the working directory.
        _ => std::path::absolute(rest),
    }
}

/// `host:port` of the rest after `tcp://`, without user, query and fragment. The default host is `localhost`.
fn host_and_port(rest: &str, port: Option<u16>) -> Result<String, &'static str> {
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains('/') {
        return Err("a TCP address cannot have a path");
    }
    let rest = rest.rsplit('@').next().unwrap_or_default();
    let (host, given) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, after)) => (host, after.strip_prefix(':').unwrap_or(after)),
        // An IPv6 address without brackets cannot have a port.
        None if rest.matches(':').count() > 1 => (rest, ""),
        None => rest.split_once(':').unwrap_or((rest, "")),
    };
    let port = if given.is_empty() {
        port.ok_or("no port")?
    } else {
        given.parse().ok().filter(|port| *port != 0).ok_or("invalid port")?
    };
    let host = if host.is_empty() { "localhost" } else { host };
    Ok(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
}

/// Whether the path of an `ssh://` address is empty or a default socket, as in Podman's connections.
fn is_default_socket(path: &str) -> bool {
    let is_user_socket = || {
        let user = path.strip_prefix("run/user/")?.strip_suffix("/podman/podman.sock")?;
        Some(!user.is_empty() && user.bytes().all(|byte| byte.is_ascii_digit()))
    };
    matches!(path, "" | "var/run/docker.sock" | "run/docker.sock" | "run/podman/podman.sock")
        || is_user_socket().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(address: &str, certificates: Option<&str>) -> Result<Endpoint, Error> {
        let certificates = certificates.map(PathBuf::from);
        ConfiguredAddress { setting: "DOCKER_HOST", address, certificates }.endpoint(EngineKind::Docker)
    }

    #[test]
    fn addresses_are_parsed_as_by_dockers_client() {
        let tcp = |address: &str| Ok(Endpoint::Tcp(address.to_owned()));
        for (address, expected) in [
            ("unix:///run/d.sock", Ok(Endpoint::Unix("/run/d.sock".into()))),
            (" unix:///run/d.sock\n", Ok(Endpoint::Unix("/run/d.sock".into()))),
            ("unix:///run/d.sock?x", Ok(Endpoint::Unix("/run/d.sock?x".into()))),
            ("unix://", Ok(Endpoint::Unix(DOCKER_SOCKET.into()))),
            (" ", Ok(Endpoint::Unix(DOCKER_SOCKET.into()))),
            ("tcp://10.0.0.1:99", tcp("10.0.0.1:99")),
            ("tcp://10.0.0.1:99?x=1", tcp("10.0.0.1:99")),
            ("tcp://10.0.0.1:99#x", tcp("10.0.0.1:99")),
            ("tcp://ann@10.0.0.1:99/", tcp("10.0.0.1:99")),
            ("tcp://host", tcp("host:2375")),
            ("tcp://[::1]", tcp("[::1]:2375")),
            ("[::1]:99", tcp("[::1]:99")),
            ("::1", tcp("[::1]:2375")),
            ("tcp://:99", tcp("localhost:99")),
            (":99", tcp("localhost:99")),
            ("tcp://", tcp("localhost:2375")),
            ("127.0.0.1", tcp("127.0.0.1:2375")),
            ("127.0.0.1:", tcp("127.0.0.1:2375")),
            ("127.0.0.1:99", tcp("127.0.0.1:99")),
        ] {
            assert_eq!(parse(address, None), expected, "{address}");
        }
        let tls = |address: &str| Endpoint::Tls { address: address.to_owned(), certificates: "/c".into() };
        assert_eq!(parse("tcp://host/", Some("/c")), Ok(tls("host:2375")));
        assert_eq!(parse("host:99", Some("/c")), Ok(tls("host:99")));
        assert_eq!(parse("unix:///run/d.sock", Some("/c")), Ok(Endpoint::Unix("/run/d.sock".into())));
        let ssh = |host: &str| Endpoint::Ssh { host: host.to_owned(), command: "docker system dial-stdio" };
        assert_eq!(parse("ssh://ann@host:22", None), Ok(ssh("ann@host:22")));
        assert_eq!(parse("ssh://ann@host/run/user/1000/podman/podman.sock", None), Ok(ssh("ann@host")));
    }

    #[test]
    fn addresses_are_parsed_as_by_podmans_client() {
        let parse = |address| {
            let setting = "CONTAINER_HOST";
            ConfiguredAddress { setting, address, certificates: None }.endpoint(EngineKind::Podman)
        };
        for (address, expected) in [
            ("unix:/p", Endpoint::Unix("/p".into())),
            ("unix://p/q", Endpoint::Unix("/p/q".into())),
            ("unix:///p?secure=True", Endpoint::Unix("/p".into())),
            ("tcp://:8080", Endpoint::Tcp("localhost:8080".to_owned())),
            ("tcp://localhost:8080/?secure=True", Endpoint::Tcp("localhost:8080".to_owned())),
        ] {
            assert_eq!(parse(address), Ok(expected), "{address}");
        }
        for (address, cause) in [("tcp://host", "no port"), ("unix://", "no path"), ("host:80", "neither")] {
            let error = parse(address).expect_err(address).to_string();
            assert!(error.contains(cause), "{error}");
        }
    }

    #[test]
    fn unsupported_addresses_are_rejected_with_the_supported_forms() {
        for (address, cause) in [
            ("npipe:////./pipe/docker_engine", "neither unix:///path, tcp://host:port nor ssh://host"),
            ("/run/docker.sock", "neither unix:///path, tcp://host:port nor ssh://host"),
            ("tcp://host:99/path", "a TCP address cannot have a path"),
            ("tcp://host:99999", "invalid port"),
            ("ssh://-oProxyCommand=x", "invalid host"),
            ("ssh://host/tmp/own.sock", "omit the path: DOCKER_HOST=ssh://host"),
            ("https://host", "DOCKER_TLS_VERIFY"),
        ] {
            let error = parse(address, None).expect_err(address).to_string();
            assert!(error.contains(cause), "{error}");
        }
    }
}
