//! TLS connections to engines, with the certificates that Docker's client would use.
//!
//! ```text
//! ca.pem               trusted certificate authorities; a context without it trusts the system's
//! cert.pem, key.pem    client certificate, optional
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

use super::error::ConnectError;
use crate::engine::discovery;
use crate::error::Error;

/// Largest certificate file; a system's whole collection has 220 KiB.
const MAX_CERTIFICATE_FILE_LEN: u64 = 1024 * 1024;

/// Starts TLS on `stream` to `address` (`host:port`), with the certificates in `folder`.
///
/// Fails when these cannot be read, or either side rejects the other's.
pub(super) async fn connect(
    stream: TcpStream,
    address: &str,
    folder: &Path,
) -> io::Result<TlsStream<TcpStream>> {
    let connected = async {
        let name = ServerName::try_from(host(address).to_owned())
            .map_err(|_| io::Error::new(ErrorKind::InvalidInput, "invalid host name for a certificate"))?;
        TlsConnector::from(Arc::new(client_config(folder)?)).connect(name, stream).await
    };
    connected.await.map_err(|error| {
        let folder = folder.display();
        let remedy = format!(
            "check that ca.pem, cert.pem and key.pem in {folder} are for this engine: docker version"
        );
        io::Error::other(ConnectError(Error::new(format!("TLS connection failed: {error}"), remedy)))
    })
}

/// The host of `host:port` or `[host]:port`.
fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn client_config(folder: &Path) -> io::Result<ClientConfig> {
    let trusted = authorities(folder)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(trusted);
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let chain = match certificates(&cert) {
        // The engine may not require one.
        Err(_) if !cert.exists() => return Ok(config.with_no_client_auth()),
        chain => chain?,
    };
    let private_key =
        PrivateKeyDer::from_pem_slice(&read(&key)?).map_err(|error| file_error(&key, &error))?;
    config.with_client_auth_cert(chain, private_key).map_err(|error| file_error(&key, &error))
}

/// The trusted authorities: those in `ca.pem`. For a context without one, the system's; as in Docker's client,
/// `DOCKER_CERT_PATH` must have one.
fn authorities(folder: &Path) -> io::Result<RootCertStore> {
    let mut trusted = RootCertStore::empty();
    let ca = folder.join("ca.pem");
    if !ca.exists() && discovery::is_context_certificate_folder(folder) {
        let system = rustls_native_certs::load_native_certs();
        // Unreadable certificates among many are ignored.
        trusted.add_parsable_certificates(system.certs);
        if trusted.is_empty() {
            let cause = system.errors.first().map_or_else(|| "none found".to_owned(), ToString::to_string);
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                format!("the system's certificate authorities: {cause}"),
            ));
        }
        return Ok(trusted);
    }
    for certificate in certificates(&ca)? {
        trusted.add(certificate).map_err(|error| file_error(&ca, &error))?;
    }
    if trusted.is_empty() {
        return Err(file_error(&ca, &"no certificate found"));
    }
    Ok(trusted)
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let bytes = read(path)?;
    CertificateDer::pem_slice_iter(&bytes).collect::<Result<_, _>>().map_err(|error| file_error(path, &error))
}

/// Reads a regular file. The path may lead to a device or an endless pipe.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let read = || {
        let nonblocking = nix::fcntl::OFlag::O_NONBLOCK.bits();
        let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
        let mut bytes = Vec::new();
        if !file.metadata()?.is_file()
            || file.take(MAX_CERTIFICATE_FILE_LEN + 1).read_to_end(&mut bytes)? as u64
                > MAX_CERTIFICATE_FILE_LEN
        {
            return Err(io::Error::other("not a regular file of at most 1 MiB"));
        }
        Ok(bytes)
    };
    read().map_err(|error| file_error(path, &error))
}

fn file_error(path: &Path, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::host;

    #[test]
    fn the_server_name_has_no_port() {
        for (address, name) in
            [("build1:2376", "build1"), ("[2001:db8::1]:2376", "2001:db8::1"), ("10.0.0.1:1", "10.0.0.1")]
        {
            assert_eq!(host(address), name);
        }
    }
}
