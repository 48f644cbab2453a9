//! One question to an engine in plain JSON, for what bollard's strict types or whole-frame buffers do
//! not suit. Every path given here is made of our own words and of checked ids.

use std::fmt::Write as _;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use bollard::errors::Error;
use bollard::{BollardRequest, body_full, body_stream};
use futures_util::stream;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, UPGRADE};
use hyper::{Method, Request, Response};
use serde_json::Value;

use super::connection::{self, Wire};
use super::failure::Failure;
use crate::endpoint::Endpoint;

/// What is sent with a question.
pub(super) enum Sent {
    Nothing,
    Json(Value),
    /// A tar archive, in pieces.
    Archive(Vec<Bytes>),
}

/// Asks, and returns the answer as JSON; `null` where it has no body or more than one value.
///
/// Fails when there is no answer within `deadline`, or it is a refusal.
pub(super) async fn ask(
    endpoint: &Endpoint,
    method: Method,
    path: &str,
    sent: Sent,
    deadline: Duration,
) -> Result<Value, Failure> {
    let body = text(endpoint, method, path, sent, deadline).await?;
    Ok(serde_json::from_slice(&body).unwrap_or_default())
}

/// The same with the answer as it came, for one that consists of several values.
pub(super) async fn text(
    endpoint: &Endpoint,
    method: Method,
    path: &str,
    sent: Sent,
    deadline: Duration,
) -> Result<Vec<u8>, Failure> {
    let asked = async {
        let answer = connection::send(endpoint, request(method, path, sent)?).await?;
        accepted(answer).await
    };
    match tokio::time::timeout(deadline, asked).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Failure::Silence(deadline)),
    }
}

/// Asks for a connection that carries a container's standard streams, and takes it over.
///
/// Fails when the engine does not hand it over within `deadline`.
pub(super) async fn attach(
    endpoint: &Endpoint,
    path: &str,
    deadline: Duration,
) -> Result<(Wire, Bytes), Failure> {
    let asked = async {
        let mut request = request(Method::POST, path, Sent::Nothing)?;
        let headers = request.headers_mut();
        headers.insert(CONNECTION, hyper::header::HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, hyper::header::HeaderValue::from_static("tcp"));
        let answer = connection::send(endpoint, request).await?;
        if answer.status() != hyper::StatusCode::SWITCHING_PROTOCOLS {
            accepted(answer).await?;
            return Err(Failure::Other("it does not hand over the connection".to_owned()));
        }
        Ok(connection::taken_over(answer).await?)
    };
    match tokio::time::timeout(deadline, asked).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Failure::Silence(deadline)),
    }
}

/// Asks for an answer without end, and returns its body, however long the head is waited for.
///
/// Fails when the engine refuses, or the connection breaks.
pub(super) async fn stream(endpoint: &Endpoint, path: &str) -> Result<Incoming, Failure> {
    let answer = connection::send_for_stream(endpoint, request(Method::GET, path, Sent::Nothing)?).await?;
    if answer.status().is_success() {
        return Ok(answer.into_body());
    }
    Err(Failure::Refused(answer.status().as_u16(), String::new()))
}

fn request(method: Method, path: &str, sent: Sent) -> Result<BollardRequest, Error> {
    let request = Request::builder().method(method).uri(path);
    Ok(match sent {
        Sent::Nothing => request.body(body_full(Bytes::new())),
        Sent::Json(value) => {
            request.header(CONTENT_TYPE, "application/json").body(body_full(value.to_string().into()))
        }
        Sent::Archive(pieces) => {
            let length: usize = pieces.iter().map(Bytes::len).sum();
            let request = request.header(CONTENT_TYPE, "application/x-tar").header(CONTENT_LENGTH, length);
            request.body(body_stream(stream::iter(pieces)))
        }
    }?)
}

/// The body of an answer that is no refusal.
async fn accepted(answer: Response<Incoming>) -> Result<Vec<u8>, Failure> {
    let status = answer.status();
    let mut body = answer.into_body();
    let mut read = Vec::new();
    // Bounded by the connection.
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame.map_err(Error::from)?.into_data() {
            read.extend_from_slice(&data);
        }
    }
    // A redirection is none: engines send 304 for what is so already.
    if status.is_success() || status == hyper::StatusCode::NOT_MODIFIED {
        return Ok(read);
    }
    let told: Value = serde_json::from_slice(&read).unwrap_or_default();
    let message =
        told["message"].as_str().map_or_else(|| String::from_utf8_lossy(&read).into_owned(), str::to_owned);
    Err(Failure::Refused(status.as_u16(), message))
}

/// `text` as it may stand in the query of a path.
pub(super) fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut query, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            query.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(query, "%{byte:02X}");
        }
        query
    })
}

#[cfg(test)]
mod tests {
    use super::encoded;

    #[test]
    fn a_query_keeps_nothing_that_means_something_in_a_path() {
        assert_eq!(encoded("a/b:1 {\"x\"}&é"), "a%2Fb%3A1%20%7B%22x%22%7D%26%C3%A9");
    }
}
