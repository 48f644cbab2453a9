//! One HTTP request on a connection of its own, with a limit on the response size.
//!
//! bollard reads a whole response without a limit; here the bytes are counted as they arrive.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bollard::BollardRequest;
use bollard::errors::Error as BollardError;
use hyper::Response;
use hyper::body::{Bytes, Incoming};
use hyper::header::{HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

use super::{ssh, tcp, tls};
use crate::container::endpoint::Endpoint;

/// Largest response. Ten thousand containers take about 12 MB.
const MAX_RESPONSE_LEN: usize = 16 * 1024 * 1024;

/// A connection to an engine.
pub(crate) enum EngineStream {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Ssh(UnixStream, ssh::SshTransport),
}

impl EngineStream {
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
                let (stream, transport) = ssh::connect(host, command).await?;
                Self::Ssh(stream, transport)
            }
            Endpoint::Kernel(_) => return Err(io::ErrorKind::Unsupported.into()),
        })
    }
}

/// Sends `request` to `endpoint` and returns the head of the response.
///
/// Fails when no connection can be made or the response is not HTTP.
pub(super) async fn send(
    endpoint: &Endpoint,
    request: BollardRequest,
) -> Result<Response<Incoming>, BollardError> {
    send_with_limit(endpoint, request, MAX_RESPONSE_LEN).await
}

/// The same without a limit, for endless responses: the reader of the body limits what it keeps.
pub(super) async fn send_unlimited(
    endpoint: &Endpoint,
    request: BollardRequest,
) -> Result<Response<Incoming>, BollardError> {
    send_with_limit(endpoint, request, usize::MAX).await
}

/// The same with a response of at most `limit` bytes.
pub(super) async fn send_with_limit(
    endpoint: &Endpoint,
    mut request: BollardRequest,
    limit: usize,
) -> Result<Response<Incoming>, BollardError> {
    let stream = EngineStream::connect(endpoint).await?;
    let transport =
        if let EngineStream::Ssh(_, transport) = &stream { Some(transport.clone()) } else { None };
    let limited = LimitedStream { stream, limit, remaining: limit };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(limited)).await?;
    tokio::spawn(connection.with_upgrades());
    request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
    match (sender.send_request(request).await, transport) {
        // An ssh process that failed has printed the reason.
        (Err(error), Some(transport)) => Err(transport.failure().await.unwrap_or_else(|| error.into())),
        (response, _) => Ok(response?),
    }
}

/// The upgraded connection of `response`, which no longer carries HTTP, and the bytes already read from it. It has
/// no size limit.
///
/// Fails when the engine did not upgrade it.
pub(super) async fn upgrade(response: Response<Incoming>) -> Result<(EngineStream, Bytes), BollardError> {
    let upgraded = hyper::upgrade::on(response).await?;
    let parts = upgraded
        .downcast::<TokioIo<LimitedStream<EngineStream>>>()
        .map_err(|_| io::Error::other("the connection is not one of ours"))?;
    Ok((parts.io.into_inner().stream, parts.read_buf))
}

/// A stream that fails once more than `remaining` bytes were read.
struct LimitedStream<S> {
    stream: S,
    limit: usize,
    remaining: usize,
}

impl AsyncRead for EngineStream {
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

impl AsyncWrite for EngineStream {
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
            // These have no buffer.
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

impl<S: AsyncRead + Unpin> AsyncRead for LimitedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let read = buffer.filled().len() - before;
        let Some(remaining) = self.remaining.checked_sub(read) else {
            let mib = self.limit / (1024 * 1024);
            return Poll::Ready(Err(io::Error::other(format!("the response exceeds {mib} MiB"))));
        };
        self.remaining = remaining;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for LimitedStream<S> {
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
