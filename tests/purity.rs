//! The pure part stays pure: no socket, no clock, no task, no lock, no randomness in the modules that decide.
#![allow(clippy::expect_used)]

use std::path::{Path, PathBuf};

/// Modules that decide. Each takes bytes or events and the time as arguments.
const PURE: [&str; 7] =
    ["src/sip", "src/media", "src/call", "src/screening", "src/events", "src/reputation", "src/dialplan"];
/// What a pure module may not name outside its tests.
const FORBIDDEN: [&str; 12] = [
    "tokio::",
    "Instant::now(",
    "SystemTime::now(",
    "Utc::now(",
    "std::thread",
    "std::net::UdpSocket",
    "std::net::Tcp",
    "std::fs::",
    "rand::",
    "Mutex<",
    "println!",
    "crate::server",
];

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => rust_files(&path),
            false if path.extension().is_some_and(|e| e == "rs") => vec![path],
            false => Vec::new(),
        })
        .collect()
}

/// The code before a file's test module, without comments.
fn decisions(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[test]
fn pure_modules_name_no_socket_clock_or_task() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut files = 0;
    for module in PURE {
        for path in rust_files(&root.join(module)).into_iter().filter(|p| !p.to_string_lossy().ends_with("tests.rs")) {
            files += 1;
            let text = std::fs::read_to_string(&path).expect("source is readable");
            for (number, line) in decisions(&text) {
                for word in FORBIDDEN.iter().filter(|word| line.contains(**word)) {
                    found.push(format!("{}:{}: {word}", path.display(), number + 1));
                }
            }
        }
    }
    assert!(files > 20, "the list of pure modules is out of date");
    assert!(found.is_empty(), "pure modules reach outside:\n{}", found.join("\n"));
}

#[test]
fn files_can_be_held_in_mind() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let long: Vec<_> = rust_files(&root.join("src"))
        .into_iter()
        .filter(|path| std::fs::read_to_string(path).is_ok_and(|text| text.lines().count() > 600))
        .collect();
    assert!(long.is_empty(), "longer than 600 lines: {long:?}");
}
