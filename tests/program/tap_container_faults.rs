//! Tap containers with engines that refuse, hang or send invalid data.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;

use containerdump::container::endpoint::Endpoint;
use containerdump::container::{Container, ContainerId, EngineKind};
use containerdump::engine::{self, TapContainer};
use containerdump::error::Error;
use containerdump::safe_text::SafeText;
use containerdump::static_program::{Architecture, StaticProgram};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::fake_engine::{Answer, FakeEngine, id};

const UPGRADED: &str = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

fn fake() -> FakeEngine {
    FakeEngine::running([])
}

fn target(fake: &FakeEngine) -> Container {
    let id = ContainerId::parse(&id("web")).expect("an id");
    Container::new(EngineKind::Docker, Endpoint::Unix(fake.socket()), id, SafeText::new("web"))
}

/// A file with the header and version mark of the static program.
fn program() -> StaticProgram {
    let mut bytes = vec![0; 64];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    (bytes[18], bytes[32], bytes[54], bytes[56]) = (62, 64, 56, 1);
    bytes.extend([1, 0, 0, 0].into_iter().chain([0; 52]));
    bytes.extend(concat!("\ncontainerdump ", env!("CARGO_PKG_VERSION"), "\n").as_bytes());
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("program");
    fs::write(&path, bytes).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
    StaticProgram::open(&path, Architecture::X86_64).expect("a program")
}

fn start(fake: &FakeEngine) -> Result<TapContainer, Error> {
    TapContainer::start(&target(fake), &program(), &["tap".to_owned()], |_| ())
}

fn refusal(fake: &FakeEngine) -> Error {
    start(fake).expect_err("the engine does not let us")
}

/// The imported image; its layer is the archive sent to the engine.
fn imported() -> Value {
    let fake = fake().also("POST /images/create", Answer::json(&json!({ "status": "sha256:1" })));
    refusal(&fake);
    let layer = format!("{:x}", Sha256::digest(fake.received()));
    let program = program();
    json!({
        "Id": format!("sha256:{}", id("image")),
        "RootFS": { "Type": "layers", "Layers": [format!("sha256:{layer}")] },
        "Config": { "Labels": {
            "org.containerdump.digest": program.digest(),
            "org.containerdump.version": env!("CARGO_PKG_VERSION"),
        } },
    })
}

/// An engine with the image that creates containers.
fn willing() -> FakeEngine {
    fake()
        .also("GET /images/localhost/", Answer::json(&imported()))
        .also("POST /containers/create", Answer::json(&json!({ "Id": id("tap"), "Warnings": [] })))
        .inspecting(Answer::json(&json!({ "Image": format!("sha256:{}", id("image")) })))
        .also(&format!("DELETE /containers/{}", id("tap")), Answer::Status(204, String::new()))
}

fn was_removed(fake: &FakeEngine) -> bool {
    fake.asked().contains(&format!("DELETE /containers/{}?force=1", id("tap")))
}

fn architecture(answer: Answer) -> Result<Architecture, Error> {
    engine::engine_architecture(&target(&fake().also("GET /version", answer)))
}

#[test]
fn the_image_has_the_architecture_of_the_engine() {
    let told = |os: &str, arch: &str, api: &str| {
        architecture(Answer::json(&json!({ "Os": os, "Arch": arch, "ApiVersion": api })))
    };
    assert_eq!(told("linux", "arm64", "1.41"), Ok(Architecture::Aarch64));
    assert_eq!(told("linux", "amd64", "1.53"), Ok(Architecture::X86_64));
    let trouble = told("windows", "amd64", "1.41").expect_err("no program");
    assert!(trouble.message().as_str().contains("unsupported platform windows amd64"), "{trouble}");
    let trouble = told("linux", "s390x", "1.41").expect_err("no program");
    assert!(trouble.remedy().as_str().contains("x86_64 or aarch64"), "{trouble}");
    let trouble = told("linux", "amd64", "1.24").expect_err("too old");
    assert!(trouble.message().as_str().contains("API version 1.24 is older than 1.25"), "{trouble}");
}

#[test]
fn a_hanging_engine_times_out() {
    let trouble = architecture(Answer::Silence).expect_err("silence");
    assert!(trouble.message().as_str().ends_with("no response within 5.0 s"), "{trouble}");
}

#[test]
fn an_answer_of_more_than_a_mebibyte_of_any_json_is_rejected() {
    let long = format!("[{}7]", "7,".repeat(1024 * 1024));
    let trouble = architecture(Answer::Body(long.into_bytes())).expect_err("too long");
    assert!(trouble.message().as_str().ends_with("the response exceeds 1 MiB"), "{trouble}");
}

#[test]
fn an_import_without_disk_space_is_reported() {
    let error = json!({ "error": "write /containerdump: no space left on device", "errorDetail": {} });
    let trouble = refusal(&fake().also("POST /images/create", Answer::json(&error)));
    assert!(trouble.message().as_str().contains("no space left on device"), "{trouble}");
    assert!(trouble.remedy().as_str().contains("docker system df"), "{trouble}");
}

#[test]
fn a_forbidden_image_import_is_reported_with_a_workaround() {
    let trouble = refusal(&fake().also("POST /images/create", Answer::Status(403, "policy".to_owned())));
    assert!(trouble.remedy().as_str().contains("ask the engine's administrator"), "{trouble}");
}

#[test]
fn a_foreign_image_is_never_run() {
    let good = imported();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut image = good.clone();
        change(&mut image);
        image
    };
    for image in [
        changed(&|image| image["RootFS"]["Layers"][0] = json!(format!("sha256:{}", id("other")))),
        changed(&|image| image["RootFS"]["Layers"] = json!([image["RootFS"]["Layers"][0], id("other")])),
        changed(&|image| image["Config"]["Labels"]["org.containerdump.digest"] = json!("0")),
        changed(&|image| image["Config"]["Entrypoint"] = json!(["/bin/sh"])),
        changed(&|image| image["Config"]["OnBuild"] = json!(["RUN x"])),
        changed(&|image| image["Id"] = json!("../containers/x")),
    ] {
        let fake = fake()
            .also("GET /images/localhost/", Answer::json(&image))
            .also("POST /images/create", Answer::json(&json!({ "status": "sha256:1" })));
        let trouble = refusal(&fake);
        assert!(trouble.message().as_str().ends_with("differs from the imported one"), "{trouble}");
        assert!(!fake.asked().iter().any(|line| line.contains("/containers/create")), "{:?}", fake.asked());
    }
}

#[test]
fn an_invalid_id_is_not_used_in_a_path() {
    let fake = fake()
        .also("GET /images/localhost/", Answer::json(&imported()))
        .also("POST /containers/create", Answer::json(&json!({ "Id": "../images/x?force=1" })));
    refusal(&fake);
    assert!(!fake.asked().iter().any(|line| line.contains("../")), "{:?}", fake.asked());
}

#[test]
fn a_container_of_another_image_is_removed_before_it_starts() {
    let fake = willing().inspecting(Answer::json(&json!({ "Image": id("other") })));
    assert!(refusal(&fake).message().as_str().contains("it was not created from image"));
    assert!(was_removed(&fake) && !fake.asked().iter().any(|line| line.ends_with("/start")));
}

#[test]
fn a_refused_attach_leaves_no_container() {
    let fake =
        willing().also(&format!("POST /containers/{}/attach", id("tap")), Answer::Body(b"{}".to_vec()));
    assert!(refusal(&fake).message().as_str().ends_with("it does not upgrade the connection"));
    assert!(was_removed(&fake));
}

#[test]
fn invalid_streams_end_and_the_container_is_removed() {
    let nonsense = [UPGRADED.as_bytes(), &[9; 64]].concat();
    let fake = willing()
        .also(&format!("POST /containers/{}/attach", id("tap")), Answer::Bytes(nonsense))
        .also(&format!("POST /containers/{}/start", id("tap")), Answer::Status(204, String::new()));
    let tap = start(&fake).expect("it starts");
    let mut all = Vec::new();
    tap.stream().expect("its stream").read_to_end(&mut all).expect("its end");
    let end = tap.end();
    assert!(all.is_empty() && end.status.is_none() && was_removed(&fake), "{end:?} {:?}", fake.asked());
}
