//! The image of tap containers: only our static program, imported into the engine.
//!
//! An existing image of that name is used only if it consists of exactly the layer that would be imported.

use std::time::Duration;

use hyper::Method;
use hyper::body::Bytes;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::container::endpoint::Endpoint;
use crate::engine::client::error::RequestError;
use crate::engine::client::request::{RequestBody, percent_encoded, request_bytes, request_json};
use crate::engine::labels;
use crate::safe_text::SafeText;
use crate::static_program::StaticProgram;

/// Repository of the image. With `localhost`, no engine asks a registry.
pub(super) const REPOSITORY: &str = "localhost/containerdump-tap";
/// The program in the image.
pub(super) const PROGRAM_PATH: &str = "/containerdump";
/// For inspecting the image.
const IMAGE_INSPECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For the import, for which the engine writes some megabytes.
const IMPORT_TIMEOUT: Duration = Duration::from_mins(2);
/// Block size of a tar archive (POSIX, pax: ustar interchange format).
const TAR_BLOCK_LEN: usize = 512;

/// The image in an engine.
#[derive(Debug)]
pub(super) struct TapImage {
    /// `localhost/containerdump-tap:0.1.0-0123456789ab`.
    pub(super) name: String,
    /// Its id in the engine.
    pub(super) id: String,
}

impl TapImage {
    /// The image of `program`. Imports it where it does not exist, and calls `on_import` before that.
    ///
    /// Fails when the engine does not answer or refuses the import, or has a different image afterwards.
    pub(super) async fn ensure(
        endpoint: &Endpoint,
        program: &StaticProgram,
        on_import: impl FnOnce(&str),
    ) -> Result<Self, RequestError> {
        let name = name(program);
        let archive = archive(Bytes::from_owner(program.clone()));
        let mut digest = Sha256::new();
        for piece in &archive {
            digest.update(piece);
        }
        let layer = format!("sha256:{:x}", digest.finalize());
        if let Some(image) = find(endpoint, &name, &layer, program).await? {
            return Ok(image);
        }
        on_import(&name);
        import(endpoint, &name, archive, program).await?;
        // Another process may have imported the same image in the meantime.
        find(endpoint, &name, &layer, program)
            .await?
            .ok_or_else(|| RequestError::Other(format!("image {name} differs from the imported one")))
    }
}

fn name(program: &StaticProgram) -> String {
    format!("{REPOSITORY}:{}-{}", env!("CARGO_PKG_VERSION"), &program.digest()[..12])
}

async fn find(
    endpoint: &Endpoint,
    name: &str,
    layer: &str,
    program: &StaticProgram,
) -> Result<Option<TapImage>, RequestError> {
    let path = format!("/images/{name}/json");
    let inspected =
        match request_json(endpoint, Method::GET, &path, RequestBody::Empty, IMAGE_INSPECT_TIMEOUT).await {
            Ok(inspected) => inspected,
            Err(RequestError::Status(404, _)) => return Ok(None),
            Err(error) => return Err(error),
        };
    Ok(image_id(&inspected, layer, program).map(|id| TapImage { name: name.to_owned(), id }))
}

/// The id of an inspected image; `None` unless it has exactly our layer, our labels, and no other configuration.
fn image_id(inspected: &Value, layer: &str, program: &StaticProgram) -> Option<String> {
    let config = &inspected["Config"];
    let is_empty = |field: &str| match &config[field] {
        Value::Null => true,
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    };
    let is_ours = inspected["RootFS"]["Layers"].as_array().is_some_and(|layers| *layers == [layer])
        && config["Labels"][labels::PROGRAM_DIGEST] == program.digest()
        && config["Labels"][labels::PROGRAM_VERSION] == env!("CARGO_PKG_VERSION")
        && ["Cmd", "Entrypoint", "Volumes", "OnBuild", "User", "Healthcheck"].into_iter().all(is_empty);
    if !is_ours {
        return None;
    }
    bare_id(inspected["Id"].as_str()?)
}

/// An image id without the prefix `sha256:`, which not every engine writes.
pub(super) fn bare_id(id: &str) -> Option<String> {
    let bare = id.strip_prefix("sha256:").unwrap_or(id);
    let is_id = bare.len() == 64 && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| bare.to_owned())
}

async fn import(
    endpoint: &Endpoint,
    name: &str,
    archive: [Bytes; 3],
    program: &StaticProgram,
) -> Result<(), RequestError> {
    let change = |label: &str, value: &str| percent_encoded(&format!("LABEL {label}={value}"));
    let path = format!(
        "/images/create?fromSrc=-&repo={}&changes={}&changes={}",
        percent_encoded(name),
        change(labels::PROGRAM_VERSION, env!("CARGO_PKG_VERSION")),
        change(labels::PROGRAM_DIGEST, program.digest()),
    );
    let body = RequestBody::Tar(archive.into());
    let response = request_bytes(endpoint, Method::POST, &path, body, IMPORT_TIMEOUT).await?;
    // A sequence of JSON values; an error is one of them, with status 200.
    let values = serde_json::Deserializer::from_slice(&response).into_iter::<Value>();
    match values.map_while(Result::ok).find_map(|value| value["error"].as_str().map(SafeText::new)) {
        Some(error) => Err(RequestError::Status(500, error.to_string())),
        None => Ok(()),
    }
}

/// A reproducible tar archive of the program, in pieces, so that the program is not copied.
fn archive(program: Bytes) -> [Bytes; 3] {
    let size = program.len();
    // An archive ends with two empty blocks.
    let end = vec![0; size.div_ceil(TAR_BLOCK_LEN) * TAR_BLOCK_LEN - size + 2 * TAR_BLOCK_LEN];
    [Bytes::copy_from_slice(&header(size)), program, end.into()]
}

/// The header of a file in the ustar format: name, mode, user, group, size, time, checksum, kind, magic.
fn header(size: usize) -> [u8; TAR_BLOCK_LEN] {
    let mut header = [0; TAR_BLOCK_LEN];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, &PROGRAM_PATH[1..]);
    put(100, "0000755\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{size:011o}\0"));
    put(136, "00000000000\0");
    // The checksum is computed with blanks in its place.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::archive;

    #[test]
    fn the_archive_is_valid_for_tar() {
        let mut tar = Command::new("tar")
            .args(["--list", "--verbose", "--numeric-owner", "--full-time", "--utc"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("tar");
        tar.stdin
            .take()
            .expect("its stdin")
            .write_all(&archive([7; 1000].to_vec().into()).concat())
            .expect("it reads");
        let output = tar.wait_with_output().expect("its output");
        assert!(output.status.success());
        let listed = String::from_utf8_lossy(&output.stdout);
        let fields: Vec<&str> = listed.split_whitespace().collect();
        assert_eq!(fields, ["-rwxr-xr-x", "0/0", "1000", "1970-01-01", "00:00:00", "containerdump"]);
    }
}
