//! Addresses of engines, as Docker's and Podman's clients take them.

use std::io;
use std::path::{Path, PathBuf};

use crate::container::EngineKind;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::ssh::Host;

/// Docker's socket where nothing else is configured.
pub(super) const DOCKER_SOCKET: &str = "/var/run/docker.sock";
/// Docker's port where an address has none (docker/cli, opts/hosts.go), also with TLS.
const PORT: u16 = 2375;
/// Docker's port where TLS is configured and no address.
const TLS_PORT: u16 = 2376;

/// An address of an engine, as it is configured.
pub(super) struct Named<'a> {
    /// Where it is configured: `DOCKER_HOST`, `DOCKER_CONTEXT=desk, DOCKER_HOST`.
    pub(super) by: &'a str,
    /// What the engine's own client accepts there: `unix:///path`, `tcp://host:port`, `ssh://user@host:port`.
    pub(super) address: &'a str,
    /// The folder of certificates, where TLS is configured.
    pub(super) certificates: Option<PathBuf>,
}

impl Named<'_> {
    /// The address as `engine`'s own client reads it.
    ///
    /// Fails when it has another form.
    pub(super) fn endpoint(self, engine: EngineKind) -> Result<Endpoint, Error> {
        let Self { by, address, certificates } = self;
        let address = address.trim();
        let cannot =
            |why: &str, remedy: String| Error::new(format!("cannot use {by}={address}: {why}"), remedy);
        let tcp = |rest: &str, port| {
            let remedy = || format!("set {by} to tcp://HOST:PORT");
            host_and_port(rest, port).map_err(|why| cannot(why, remedy()))
        };
        // Podman's client requires a port.
        let port = (engine != EngineKind::Podman).then_some(PORT);
        match (split(address, engine), certificates) {
            (Some(("tcp" | "https", rest)), Some(certificates)) => {
                let port = if address.starts_with("https") { Some(TLS_PORT) } else { port };
                Ok(Endpoint::Tls { address: tcp(rest, port)?, certificates })
            }
            (Some(("https", _)), None) => Err(cannot(
                "no TLS certificates are configured",
                "set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH".to_owned(),
            )),
            (Some(("tcp" | "http", rest)), None) => Ok(Endpoint::Tcp(tcp(rest, port)?)),
            (Some(("ssh", rest)), _) => {
                // The engine's command on that host knows its socket there.
                let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
                if !is_usual(path.split(['?', '#']).next().unwrap_or_default()) {
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
            (Some(("unix", rest)), _) => {
                let path = socket(rest, engine)
                    .map_err(|error| cannot(&error.to_string(), format!("set {by} to unix:///PATH")))?;
                Ok(Endpoint::Unix(path))
            }
            _ => Err(cannot(
                "neither unix:///path, tcp://host:port nor ssh://host",
                format!("set {by} to one of these, or unset it to use the sockets of this host"),
            )),
        }
    }
}

/// Where Docker listens when no address is configured, but `certificates` for TLS are.
pub(super) fn usual_with_tls(certificates: PathBuf) -> Endpoint {
    Endpoint::Tls { address: format!("localhost:{TLS_PORT}"), certificates }
}

/// The scheme of `address` and what follows it. Docker's client takes what has none for `host:port`; Podman's
/// takes `unix:/path`, too.
fn split(address: &str, engine: EngineKind) -> Option<(&str, &str)> {
    if let Some(split) = address.split_once("://") {
        return Some(split);
    }
    match engine {
        EngineKind::Podman => address.split_once(':').filter(|(_, path)| path.starts_with('/')),
        _ if address.is_empty() => Some(("unix", "")),
        // What was meant as a path is no host.
        _ => (!address.contains('/')).then_some(("tcp", address)),
    }
}

/// The path of the socket behind `unix://`.
fn socket(rest: &str, engine: EngineKind) -> io::Result<PathBuf> {
    match engine {
        // Podman's client takes a path without its first slash, and drops a query.
        EngineKind::Podman => {
            let path = rest.split(['?', '#']).next().unwrap_or_default().trim_start_matches('/');
            if path.is_empty() { Err(io::Error::other("no path")) } else { Ok(Path::new("/").join(path)) }
        }
        _ if rest.is_empty() => Ok(DOCKER_SOCKET.into()),
        // Docker's client takes it from the current folder on.
        _ => std::path::absolute(rest),
    }
}

/// `host:port` of what follows `tcp://`: without a user, a query and a fragment; without a host it is this one.
fn host_and_port(rest: &str, port: Option<u16>) -> Result<String, &'static str> {
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains('/') {
        return Err("an address has no path");
    }
    let rest = rest.rsplit('@').next().unwrap_or_default();
    let (host, given) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, after)) => (host, after.strip_prefix(':').unwrap_or(after)),
        // An IPv6 address without brackets has no port.
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

/// Whether a path behind `ssh://host/` is none, or what Podman's connections name: the socket of whoever logs in.
fn is_usual(path: &str) -> bool {
    let of_user = || {
        let user = path.strip_prefix("run/user/")?.strip_suffix("/podman/podman.sock")?;
        Some(!user.is_empty() && user.bytes().all(|byte| byte.is_ascii_digit()))
    };
    matches!(path, "" | "var/run/docker.sock" | "run/docker.sock" | "run/podman/podman.sock")
        || of_user().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(address: &str, certificates: Option<&str>) -> Result<Endpoint, Error> {
        let certificates = certificates.map(PathBuf::from);
        Named { by: "DOCKER_HOST", address, certificates }.endpoint(EngineKind::Docker)
    }

    #[test]
    fn addresses_are_read_as_dockers_client_reads_them() {
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
    fn addresses_are_read_as_podmans_client_reads_them() {
        let parse = |address| {
            Named { by: "CONTAINER_HOST", address, certificates: None }.endpoint(EngineKind::Podman)
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
        for (address, why) in [("tcp://host", "no port"), ("unix://", "no path"), ("host:80", "neither")] {
            let trouble = parse(address).expect_err(address).to_string();
            assert!(trouble.contains(why), "{trouble}");
        }
    }

    #[test]
    fn addresses_of_another_form_are_refused_with_the_forms_there_are() {
        for (address, why) in [
            ("npipe:////./pipe/docker_engine", "neither unix:///path, tcp://host:port nor ssh://host"),
            ("/run/docker.sock", "neither unix:///path, tcp://host:port nor ssh://host"),
            ("tcp://host:99/path", "an address has no path"),
            ("tcp://host:99999", "invalid port"),
            ("ssh://-oProxyCommand=x", "invalid host"),
            ("ssh://host/tmp/own.sock", "leave out the path: DOCKER_HOST=ssh://host"),
            ("https://host", "DOCKER_TLS_VERIFY"),
        ] {
            let trouble = parse(address, None).expect_err(address).to_string();
            assert!(trouble.contains(why), "{trouble}");
        }
    }
}
