//! Single requests in plain JSON, since bollard's strict types and whole-frame buffers do not fit. Paths consist of
//! literals of this program and validated ids, and have no version: an engine then uses its own.

use std::fmt::Write as _;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use bollard::errors::Error as BollardError;
use bollard::{BollardRequest, body_full, body_stream};
use futures_util::stream;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, UPGRADE};
use hyper::{Method, Request, Response};
use serde::Deserialize;
use serde_json::Value;

use super::connection::{self, EngineStream};
use super::error::RequestError;
use super::lenient::{JsonText, lenient};
use crate::container::endpoint::Endpoint;

/// Largest response that is read as any JSON, which may take twenty times as much memory: a few kilobytes are common.
const MAX_JSON_LEN: usize = 1024 * 1024;

/// The body of a request.
pub(crate) enum RequestBody {
    Empty,
    Json(Value),
    /// A tar archive, in pieces.
    Tar(Vec<Bytes>),
}

/// Requests `path` and returns the head of the response.
///
/// Fails when no connection can be made or the response is not HTTP.
pub(super) async fn get(endpoint: &Endpoint, path: &str) -> Result<Response<Incoming>, RequestError> {
    Ok(connection::send(endpoint, build(Method::GET, path, RequestBody::Empty)?).await?)
}

/// Sends a request and returns the response as JSON; `null` where it is empty or has more than one value.
///
/// Fails when there is no response within `timeout`, or its status is an error.
pub(crate) async fn request_json(
    endpoint: &Endpoint,
    method: Method,
    path: &str,
    body: RequestBody,
    timeout: Duration,
) -> Result<Value, RequestError> {
    let response = request_bytes(endpoint, method, path, body, timeout).await?;
    Ok(serde_json::from_slice(&response).unwrap_or_default())
}

/// The same with the response as it came, for one that consists of several values.
pub(crate) async fn request_bytes(
    endpoint: &Endpoint,
    method: Method,
    path: &str,
    body: RequestBody,
    timeout: Duration,
) -> Result<Vec<u8>, RequestError> {
    let response = async {
        let request = build(method, path, body)?;
        let response = connection::send_with_limit(endpoint, request, MAX_JSON_LEN).await?;
        successful_body(response).await
    };
    match tokio::time::timeout(timeout, response).await {
        Ok(result) => result,
        Err(_) => Err(RequestError::Timeout(timeout)),
    }
}

/// Attaches to a container's standard streams and returns the connection, with the bytes already read from it.
///
/// Fails when the engine does not upgrade the connection within `timeout`.
pub(crate) async fn attach(
    endpoint: &Endpoint,
    path: &str,
    timeout: Duration,
) -> Result<(EngineStream, Bytes), RequestError> {
    let upgraded = async {
        let mut request = build(Method::POST, path, RequestBody::Empty)?;
        let headers = request.headers_mut();
        headers.insert(CONNECTION, hyper::header::HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, hyper::header::HeaderValue::from_static("tcp"));
        let response = connection::send(endpoint, request).await?;
        if response.status() != hyper::StatusCode::SWITCHING_PROTOCOLS {
            successful_body(response).await?;
            return Err(RequestError::Other("it does not upgrade the connection".to_owned()));
        }
        Ok(connection::upgrade(response).await?)
    };
    match tokio::time::timeout(timeout, upgraded).await {
        Ok(result) => result,
        Err(_) => Err(RequestError::Timeout(timeout)),
    }
}

/// Requests an endless response and returns its body. Waits for the response head without a timeout.
///
/// Fails when the engine refuses, or the connection breaks.
pub(crate) async fn open_stream(endpoint: &Endpoint, path: &str) -> Result<Incoming, RequestError> {
    let request = build(Method::GET, path, RequestBody::Empty)?;
    let response = connection::send_unlimited(endpoint, request).await?;
    if response.status().is_success() {
        return Ok(response.into_body());
    }
    Err(RequestError::Status(response.status().as_u16(), String::new()))
}

fn build(method: Method, path: &str, body: RequestBody) -> Result<BollardRequest, BollardError> {
    let request = Request::builder().method(method).uri(path);
    Ok(match body {
        RequestBody::Empty => request.body(body_full(Bytes::new())),
        RequestBody::Json(value) => {
            request.header(CONTENT_TYPE, "application/json").body(body_full(value.to_string().into()))
        }
        RequestBody::Tar(pieces) => {
            let length: usize = pieces.iter().map(Bytes::len).sum();
            let request = request.header(CONTENT_TYPE, "application/x-tar").header(CONTENT_LENGTH, length);
            request.body(body_stream(stream::iter(pieces)))
        }
    }?)
}

/// An engine's answer to a request that fails.
#[derive(Deserialize)]
struct ErrorJson {
    #[serde(deserialize_with = "lenient")]
    message: JsonText<4096>,
}

/// The body of a successful response. Its size is limited by the connection.
///
/// Fails when its status is an error, and when the connection breaks.
pub(super) async fn successful_body(response: Response<Incoming>) -> Result<Vec<u8>, RequestError> {
    let status = response.status();
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame.map_err(BollardError::from)?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    // Engines send 304 where nothing had to be done.
    if status.is_success() || status == hyper::StatusCode::NOT_MODIFIED {
        return Ok(bytes);
    }
    let message = match serde_json::from_slice(&bytes) {
        Ok(ErrorJson { message: JsonText(message) }) => message,
        Err(_) => String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]).into_owned(),
    };
    Err(RequestError::Status(status.as_u16(), message))
}

/// Percent-encodes `text` for the query of a path.
pub(crate) fn percent_encoded(text: &str) -> String {
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
    use super::percent_encoded;

    #[test]
    fn reserved_characters_are_percent_encoded() {
        assert_eq!(percent_encoded("a/b:1 {\"x\"}&é"), "a%2Fb%3A1%20%7B%22x%22%7D%26%C3%A9");
    }
}
