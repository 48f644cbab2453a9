//! TLS to an engine, with the certificates that Docker's client would use.
//!
//! ```text
//! ca.pem               whom the engine's certificate has to be from; a context without it trusts the system's authorities
//! cert.pem, key.pem    what we show to it, where both are there
//! ```

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::context;
use super::failure::Why;
use crate::error::Error;

/// Most bytes read of a file of certificates; a system's whole collection has 220 KiB.
const MOST_BYTES: u64 = 1024 * 1024;

/// Has `stream`, which leads to `address` (`host:port`), speak TLS, with the certificates in `folder`.
///
/// Fails when these cannot be read, or one side does not accept the other's.
pub(super) async fn connect(
    stream: TcpStream,
    address: &str,
    folder: &Path,
) -> io::Result<TlsStream<TcpStream>> {
    let connected = async {
        let name = ServerName::try_from(host(address).to_owned())
            .map_err(|_| io::Error::new(ErrorKind::InvalidInput, "its name cannot be in a certificate"))?;
        TlsConnector::from(Arc::new(settings(folder)?)).connect(name, stream).await
    };
    connected.await.map_err(|error| {
        let folder = folder.display();
        let remedy =
            format!("see that ca.pem, cert.pem and key.pem in {folder} are for this engine: docker version");
        io::Error::other(Why(Error::new(format!("no TLS: {error}"), remedy)))
    })
}

/// `host` of `host:port` and `[host]:port`.
fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn settings(folder: &Path) -> io::Result<ClientConfig> {
    let trusted = authorities(folder)?;
    let settings = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(trusted);
    let (ours, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let ours = match certificates(&ours) {
        // Without one the engine may ask for none.
        Err(_) if !ours.exists() => return Ok(settings.with_no_client_auth()),
        ours => ours?,
    };
    let secret = PrivateKeyDer::from_pem_slice(&read(&key)?).map_err(|error| of_file(&key, &error))?;
    settings.with_client_auth_cert(ours, secret).map_err(|error| of_file(&key, &error))
}

/// The authorities that an engine's certificate may be from: those in `ca.pem`. Without it they are the system's, but only
/// for a context: as in Docker's client, `DOCKER_CERT_PATH` has to have one.
fn authorities(folder: &Path) -> io::Result<RootCertStore> {
    let mut trusted = RootCertStore::empty();
    let ca = folder.join("ca.pem");
    if !ca.exists() && context::is_certificate_folder(folder) {
        let system = rustls_native_certs::load_native_certs();
        // One of many that cannot be read does not matter.
        trusted.add_parsable_certificates(system.certs);
        if trusted.is_empty() {
            let why = system.errors.first().map_or_else(|| "there is none".to_owned(), ToString::to_string);
            return Err(io::Error::new(ErrorKind::InvalidData, format!("the system's authorities: {why}")));
        }
        return Ok(trusted);
    }
    for certificate in certificates(&ca)? {
        trusted.add(certificate).map_err(|error| of_file(&ca, &error))?;
    }
    if trusted.is_empty() {
        return Err(of_file(&ca, &"no certificate is in it"));
    }
    Ok(trusted)
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let bytes = read(path)?;
    CertificateDer::pem_slice_iter(&bytes).collect::<Result<_, _>>().map_err(|error| of_file(path, &error))
}

/// Reads a file that somebody may have replaced by a device, or a pipe that never ends.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let read = || {
        let not_blocking = nix::fcntl::OFlag::O_NONBLOCK.bits();
        let file = OpenOptions::new().read(true).custom_flags(not_blocking).open(path)?;
        let mut bytes = Vec::new();
        if !file.metadata()?.is_file()
            || file.take(MOST_BYTES + 1).read_to_end(&mut bytes)? as u64 > MOST_BYTES
        {
            return Err(io::Error::other("it is no file of less than 1 MiB"));
        }
        Ok(bytes)
    };
    read().map_err(|error| of_file(path, &error))
}

fn of_file(path: &Path, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::host;

    #[test]
    fn the_name_in_a_certificate_is_without_port() {
        for (address, name) in
            [("build1:2376", "build1"), ("[2001:db8::1]:2376", "2001:db8::1"), ("10.0.0.1:1", "10.0.0.1")]
        {
            assert_eq!(host(address), name);
        }
    }
}
