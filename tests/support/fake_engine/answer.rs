//! Responses of the fake engine.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::Described;

/// How long a hanging engine hangs, far beyond every timeout of the program.
const HANGING: Duration = Duration::from_mins(1);
/// The length of an endless response.
const ENDLESS: usize = 1024 * 1024 * 1024;

#[derive(Clone)]
pub(crate) enum Answer {
    /// Status 200 with this body.
    Body(Vec<u8>),
    /// Another status, with a message in Docker's format.
    Status(u16, String),
    /// Raw bytes instead of HTTP.
    Bytes(Vec<u8>),
    /// No response; the connection stays open.
    Silence,
    /// No response; the connection is closed.
    Farewell,
    /// A valid response, one byte a second.
    Dripping,
    /// A body of a gigabyte.
    EndlessBody,
    /// A gigabyte of headers.
    EndlessHead,
    /// The beginning of an endless body, then silence.
    Begun(Vec<u8>),
    /// An endless body that repeats these bytes.
    Flood(Vec<u8>),
    /// A body shorter than its announced length; the connection stays open.
    ShortBody,
}

impl Answer {
    pub(crate) fn json(value: &serde_json::Value) -> Self {
        Self::Body(value.to_string().into_bytes())
    }

    pub(crate) fn containers(containers: impl IntoIterator<Item = Described>) -> Self {
        let bodies: Vec<Vec<u8>> = containers.into_iter().map(Described::into_json).collect();
        Self::Body([b"[".as_slice(), &bodies.join(b",".as_slice()), b"]"].concat())
    }

    /// The same with Podman's header.
    pub(crate) fn of_podman(containers: impl IntoIterator<Item = Described>) -> Self {
        let Self::Body(body) = Self::containers(containers) else { unreachable!("a list has a body") };
        let head = format!(
            "HTTP/1.1 200 OK\r\nLibpod-Api-Version: 4.3.1\r\nServer: Libpod/4.3.1 (linux)\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        Self::Bytes([head.as_bytes(), &body].concat())
    }

    /// Writes the response. Fails if the client has closed.
    pub(super) fn give(&self, mut stream: &UnixStream, sent: &AtomicUsize) -> io::Result<()> {
        let mut put = |bytes: &[u8]| {
            sent.fetch_add(stream.write(bytes)?, Ordering::Relaxed);
            io::Result::Ok(())
        };
        match self {
            Self::Body(body) => stream.write_all(&response(200, body)),
            Self::Status(status, message) => {
                let body = serde_json::json!({ "message": message }).to_string();
                stream.write_all(&response(*status, body.as_bytes()))
            }
            Self::Bytes(bytes) => stream.write_all(bytes),
            Self::Silence => wait_until_left(stream),
            Self::Farewell => Ok(()),
            Self::Dripping => {
                let long = b" ".repeat(100);
                response(200, &long).iter().try_for_each(|byte| {
                    thread::sleep(Duration::from_secs(1));
                    put(&[*byte])
                })
            }
            Self::EndlessBody => {
                put(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[")?;
                let blanks = b" ".repeat(1024 * 1024);
                (0..ENDLESS / blanks.len()).try_for_each(|_| put(&blanks))
            }
            Self::EndlessHead => {
                put(b"HTTP/1.1 200 OK\r\n")?;
                let headers = b"X-More: of the same\r\n".repeat(50_000);
                (0..ENDLESS / headers.len()).try_for_each(|_| put(&headers))
            }
            Self::Begun(bytes) => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")?;
                stream.write_all(bytes)?;
                wait_until_left(stream)
            }
            Self::Flood(bytes) => {
                put(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")?;
                loop {
                    put(bytes)?;
                }
            }
            Self::ShortBody => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551000\r\n\r\n[")?;
                wait_until_left(stream)
            }
        }
    }
}

fn response(status: u16, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status} So\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Waits until the client closes, but not forever.
fn wait_until_left(mut stream: &UnixStream) -> io::Result<()> {
    stream.set_read_timeout(Some(HANGING))?;
    stream.read(&mut [0]).map(|_| ())
}
