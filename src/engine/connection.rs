//! One request to an engine over a connection that cannot flood us.
//!
//! bollard reads an answer whole before it looks at it and has no bound of its own; here the
//! bytes are counted on their way in.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bollard::BollardRequest;
use bollard::errors::Error;
use hyper::Response;
use hyper::body::{Bytes, Incoming};
use hyper::header::{HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

use super::{dial, tcp, tls};
use crate::endpoint::Endpoint;

/// Most bytes taken from an engine on one connection. Ten thousand containers make about 12 MB.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// A connection to an engine.
pub(super) enum Wire {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Ssh(UnixStream, dial::Held),
}

impl Wire {
    async fn connect(endpoint: &Endpoint) -> io::Result<Self> {
        Ok(match endpoint {
            Endpoint::Unix(path) => Self::Unix(UnixStream::connect(path).await?),
            Endpoint::Tcp(address) => {
                let stream = tcp::connect(address).await?;
                stream.set_nodelay(true)?;
                Self::Tcp(stream)
            }
            Endpoint::Tls { address, certificates } => {
                let stream = tcp::connect(address).await?;
                stream.set_nodelay(true)?;
                Self::Tls(Box::new(tls::connect(stream, address, certificates).await?))
            }
            Endpoint::Ssh { host, command } => {
                let (stream, held) = dial::connect(host, command).await?;
                Self::Ssh(stream, held)
            }
            Endpoint::Kernel(_) => return Err(io::ErrorKind::Unsupported.into()),
        })
    }
}

/// Sends `request` to `endpoint` on a connection of its own and returns the answer's head.
///
/// Fails when nothing listens there, access is refused, or what answers is not HTTP.
pub(super) async fn send(endpoint: &Endpoint, request: BollardRequest) -> Result<Response<Incoming>, Error> {
    send_for(endpoint, request, MOST_BYTES).await
}

/// The same for an answer that has no end: the bound is on what the reader of its body keeps.
pub(super) async fn send_for_stream(
    endpoint: &Endpoint,
    request: BollardRequest,
) -> Result<Response<Incoming>, Error> {
    send_for(endpoint, request, usize::MAX).await
}

async fn send_for(
    endpoint: &Endpoint,
    mut request: BollardRequest,
    most: usize,
) -> Result<Response<Incoming>, Error> {
    let wire = Wire::connect(endpoint).await?;
    let held = if let Wire::Ssh(_, held) = &wire { Some(held.clone()) } else { None };
    let bounded = Bounded { stream: wire, left: most };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(bounded)).await?;
    tokio::spawn(connection.with_upgrades());
    // An engine refuses an API version newer than its own; without one it answers in its own.
    let path = request.uri().path_and_query().map_or("/", hyper::http::uri::PathAndQuery::as_str);
    *request.uri_mut() = without_version(path).parse().map_err(hyper::http::Error::from)?;
    request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
    match (sender.send_request(request).await, held) {
        // What ended before it answered may have said why.
        (Err(error), Some(held)) => Err(held.why().await.unwrap_or_else(|| error.into())),
        (answer, _) => Ok(answer?),
    }
}

/// The connection that `answer` came on, now that it carries something else than HTTP; and what of
/// that was read already. No bound holds any more.
///
/// Fails when the engine keeps speaking HTTP.
pub(super) async fn taken_over(answer: Response<Incoming>) -> Result<(Wire, Bytes), Error> {
    let upgraded = hyper::upgrade::on(answer).await?;
    let parts = upgraded
        .downcast::<TokioIo<Bounded<Wire>>>()
        .map_err(|_| io::Error::other("the connection is not one of ours"))?;
    Ok((parts.io.into_inner().stream, parts.read_buf))
}

/// `/v1.53/containers/json` without its version.
fn without_version(path: &str) -> &str {
    let Some((version, _)) = path.strip_prefix("/v").and_then(|rest| rest.split_once('/')) else {
        return path;
    };
    let is_version = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_version { &path["/v".len() + version.len()..] } else { path }
}

/// A stream that ends in an error once more than `left` bytes were read from it.
struct Bounded<S> {
    stream: S,
    left: usize,
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) | Self::Ssh(stream, _) => Pin::new(stream).poll_read(context, buffer),
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) | Self::Ssh(stream, _) => Pin::new(stream).poll_write(context, bytes),
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
            // Nothing is kept back.
            Self::Unix(_) | Self::Tcp(_) | Self::Ssh(..) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) | Self::Ssh(stream, _) => Pin::new(stream).poll_shutdown(context),
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let read = buffer.filled().len() - before;
        match self.left.checked_sub(read) {
            Some(left) => self.left = left,
            None => return Poll::Ready(Err(io::Error::other("the answer is larger than 16 MiB"))),
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::without_version;

    #[test]
    fn only_a_version_is_taken_off_a_path() {
        assert_eq!(without_version("/v1.53/containers/json"), "/containers/json");
        assert_eq!(without_version("/containers/json?all=true"), "/containers/json?all=true");
        assert_eq!(without_version("/volumes/v1"), "/volumes/v1");
    }
}
