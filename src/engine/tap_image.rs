//! The image of tap containers: our own static program and nothing else, imported into the engine.
//!
//! What an engine has under our name is used only where it consists of exactly the layer that we
//! would import.

use std::time::Duration;

use hyper::Method;
use hyper::body::Bytes;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::ask::{Sent, ask, encoded, text};
use super::failure::Failure;
use super::labels;
use crate::endpoint::Endpoint;
use crate::safe_text::SafeText;
use crate::static_program::StaticProgram;

/// Name of all versions of the image. `localhost` keeps every engine from looking in a registry.
pub(super) const NAME: &str = "localhost/containerdump-tap";
/// The program in the image.
pub(super) const PROGRAM: &str = "/containerdump";
/// For a look at what is there.
const LOOK_DEADLINE: Duration = Duration::from_secs(10);
/// For the import, which writes some megabytes on the engine's side.
const IMPORT_DEADLINE: Duration = Duration::from_mins(2);
/// Size of everything in a tar archive is a multiple of this (POSIX, pax: ustar interchange format).
const BLOCK: usize = 512;

/// An image as an engine has it.
#[derive(Debug)]
pub(super) struct TapImage {
    /// `localhost/containerdump-tap:0.1.0-0123456789ab`.
    pub(super) name: String,
    /// Its id in the engine.
    pub(super) id: String,
}

impl TapImage {
    /// The image of `program`, imported where it is not there yet; `importing` is called before that.
    ///
    /// Fails when the engine cannot be asked or refuses the import, or what it has afterwards is not
    /// what was imported.
    pub(super) async fn ready(
        endpoint: &Endpoint,
        program: &StaticProgram,
        importing: impl FnOnce(&str),
    ) -> Result<Self, Failure> {
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
        importing(&name);
        import(endpoint, &name, archive, program).await?;
        // Somebody else may have imported the same meanwhile: whose is called so does not matter.
        find(endpoint, &name, &layer, program)
            .await?
            .ok_or_else(|| Failure::Other(format!("what it keeps as {name} is not what was imported")))
    }
}

fn name(program: &StaticProgram) -> String {
    format!("{NAME}:{}-{}", env!("CARGO_PKG_VERSION"), &program.digest()[..12])
}

async fn find(
    endpoint: &Endpoint,
    name: &str,
    layer: &str,
    program: &StaticProgram,
) -> Result<Option<TapImage>, Failure> {
    let path = format!("/images/{name}/json");
    let told = match ask(endpoint, Method::GET, &path, Sent::Nothing, LOOK_DEADLINE).await {
        Ok(told) => told,
        Err(Failure::Refused(404, _)) => return Ok(None),
        Err(failure) => return Err(failure),
    };
    Ok(image_id(&told, layer, program).map(|id| TapImage { name: name.to_owned(), id }))
}

/// The id of the image that an engine tells of; `None` where it is not exactly what we import: one
/// layer, our labels, and nothing that the engine would do by itself.
fn image_id(told: &Value, layer: &str, program: &StaticProgram) -> Option<String> {
    let config = &told["Config"];
    let is_empty = |field: &str| match &config[field] {
        Value::Null => true,
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    };
    let is_ours = told["RootFS"]["Layers"].as_array().is_some_and(|layers| *layers == [layer])
        && config["Labels"][labels::DIGEST] == program.digest()
        && config["Labels"][labels::VERSION] == env!("CARGO_PKG_VERSION")
        && ["Cmd", "Entrypoint", "Volumes", "OnBuild", "User", "Healthcheck"].into_iter().all(is_empty);
    if !is_ours {
        return None;
    }
    bare_id(told["Id"].as_str()?)
}

/// An image's id without the name of the digest, which not every engine writes.
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
) -> Result<(), Failure> {
    let change = |label: &str, value: &str| encoded(&format!("LABEL {label}={value}"));
    let path = format!(
        "/images/create?fromSrc=-&repo={}&changes={}&changes={}",
        encoded(name),
        change(labels::VERSION, env!("CARGO_PKG_VERSION")),
        change(labels::DIGEST, program.digest()),
    );
    let said = text(endpoint, Method::POST, &path, Sent::Archive(archive.into()), IMPORT_DEADLINE).await?;
    // One JSON value after another; a failure comes as one of them, with status 200.
    let values = serde_json::Deserializer::from_slice(&said).into_iter::<Value>();
    match values.map_while(Result::ok).find_map(|value| value["error"].as_str().map(SafeText::new)) {
        Some(error) => Err(Failure::Refused(500, error.to_string())),
        None => Ok(()),
    }
}

/// A tar archive that holds the program alone, the same each time, in pieces: the program is not copied.
fn archive(program: Bytes) -> [Bytes; 3] {
    let size = program.len();
    // Two empty blocks end an archive.
    let end = vec![0; size.div_ceil(BLOCK) * BLOCK - size + 2 * BLOCK];
    [Bytes::copy_from_slice(&header(size)), program, end.into()]
}

/// The header of a file in the ustar format: name, mode, user, group, size, time, checksum, kind, magic.
fn header(size: usize) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, &PROGRAM[1..]);
    put(100, "0000755\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{size:011o}\0"));
    put(136, "00000000000\0");
    // The checksum is made as if it were blanks.
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
    fn tar_reads_the_archive() {
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
