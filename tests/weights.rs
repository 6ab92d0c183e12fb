//! `callward models` as its user meets it: exit status, what is printed where, and what stays in the cache.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

fn models(cache: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_callward"));
    command.arg("models").args(arguments).env("CALLWARD_MODELS__CACHE", cache);
    // A fetch that these tests did not mean to start fails at once.
    command.env("PIP_NO_INDEX", "1").env_remove("PIP_FIND_LINKS");
    command.output().unwrap()
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_list_shows_what_is_missing() {
    let cache = tempfile::tempdir().unwrap();
    let listed = models(cache.path(), &["list", "--json"]);
    assert!(listed.status.success());
    let list = json(&listed);
    assert_eq!(list["cache"], serde_json::json!(cache.path()));
    let names: Vec<&str> = list["models"].as_array().unwrap().iter().filter_map(|m| m["name"].as_str()).collect();
    assert_eq!(names, ["moonshine-tiny-en", "whisper-tiny.en", "whisper-base", "silero-vad", "onnxruntime"]);
    assert!(
        list["models"].as_array().unwrap().iter().all(|model| model["state"] == "missing" && model["licence"] == "MIT")
    );
    assert!(String::from_utf8(models(cache.path(), &["list"]).stdout).unwrap().contains("silero-vad"));
}

#[test]
fn verify_fails_while_something_is_missing_or_wrong() {
    let cache = tempfile::tempdir().unwrap();
    std::fs::create_dir(cache.path().join("silero-vad")).unwrap();
    std::fs::write(cache.path().join("silero-vad/silero_vad.onnx"), b"not a model").unwrap();
    let verified = models(cache.path(), &["verify", "silero-vad", "--json"]);
    assert_eq!(verified.status.code(), Some(1));
    let found = json(&verified);
    assert_eq!((&found["ok"], &found["files"][0]["state"]), (&false.into(), &"wrong".into()));
    let text = String::from_utf8(models(cache.path(), &["verify"]).stdout).unwrap();
    assert!(text.contains("WRONG ") && text.contains("run `callward models fetch silero-vad`"), "{text}");
    assert!(text.contains("MISSING "), "{text}");
}

#[test]
fn an_unknown_model_is_wrong_use() {
    let cache = tempfile::tempdir().unwrap();
    for command in ["fetch", "verify"] {
        let output = models(cache.path(), &[command, "whisper-enormous"]);
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("whisper-enormous") && said.contains("whisper-base"), "{said}");
    }
    assert_eq!(models(cache.path(), &["fecth"]).status.code(), Some(2));
}

#[test]
fn a_fetch_without_a_registry_fails_with_the_remedy_and_leaves_nothing() {
    let cache = tempfile::tempdir().unwrap();
    let output = models(cache.path(), &["fetch", "silero-vad"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("package silero-vad 6.2.3 could not be brought") && said.contains("check the network"),
        "{said}"
    );
    assert!(!cache.path().join("silero-vad/silero_vad.onnx").exists());
}

#[test]
fn a_manifest_of_ones_own_is_read_and_its_mistakes_located() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("mine.toml");
    std::fs::write(&manifest, "format = 1\n[[model]]\nname = \"x\"\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_callward"));
    let output = command.args(["models", "list"]).env("CALLWARD_MODELS__MANIFEST", &manifest).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("mine.toml:2: missing field `about`"), "{said}");
}
