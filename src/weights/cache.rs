//! The cache: a folder outside any repository, `<cache>/<model>/<file>`, shared by all checkouts of one user.
//!
//! A file that was once hashed is remembered by size and time of change, so that the next look costs nothing; `verify`
//! hashes all the same. It only ever holds whole files: work in progress lies in `.partial`, under a lock.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::Digest;

use super::manifest::{Model, ModelFile, Sha256};
use super::{Manifest, WeightsError};

/// Where weights lie on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    root: PathBuf,
}

/// How a file stands without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// There, and unchanged since it was checked.
    Ready,
    /// There with the right size, not checked yet.
    Unchecked,
    /// Something else is there.
    Wrong,
    /// Not there.
    Missing,
}

/// What `verify` found about one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its model.
    pub model: String,
    /// Its name.
    pub file: String,
    /// Where it is, or should be.
    pub path: PathBuf,
    /// [`State::Ready`], [`State::Wrong`] or [`State::Missing`].
    pub state: State,
    /// The manifest's digest.
    pub expected: Sha256,
    /// The digest of what is there.
    pub got: Option<Sha256>,
}

/// What is remembered of a checked file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Checked {
    size: u64,
    modified_ns: u128,
    sha256: String,
}

type Record = BTreeMap<String, Checked>;

const RECORD: &str = ".checked.json";
const PARTIAL: &str = ".partial";
const LOCK: &str = ".lock";
/// For a service without a home.
const SYSTEM_CACHE: &str = "/var/cache";

impl Cache {
    /// The configured folder, else `CALLWARD_MODELS__CACHE`, else `callward/models` in the user's cache folder.
    pub fn locate(configured: Option<&Path>) -> Cache {
        let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| !path.as_os_str().is_empty());
        let user = || {
            // XDG Base Directory Specification: a relative path there is to be ignored.
            let named = set("XDG_CACHE_HOME").filter(|path| path.is_absolute());
            let folder = named.or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
            folder.unwrap_or_else(|| SYSTEM_CACHE.into()).join("callward").join("models")
        };
        let chosen = configured.map(Path::to_path_buf).or_else(|| set("CALLWARD_MODELS__CACHE"));
        Cache::at(chosen.unwrap_or_else(user))
    }

    /// A cache in this folder, which need not exist yet.
    pub fn at(root: impl Into<PathBuf>) -> Cache {
        Cache { root: root.into() }
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A model's file, for use: it is there and has the manifest's digest. Unchanged since it was last hashed, it is not
    /// hashed again.
    pub fn path(&self, manifest: &Manifest, model: &str, file: &str) -> Result<PathBuf, WeightsError> {
        let names = [model.to_string()];
        let known = manifest.select(&names)?.into_iter().next();
        let found = known.and_then(|m| m.files(std::env::consts::ARCH).find(|f| f.name == file).map(|f| (m, f)));
        let path = self.place(model, file);
        let Some((known, known_file)) = found else {
            return Err(WeightsError::NotForThisMachine { model: model.into(), arch: std::env::consts::ARCH });
        };
        let state = match self.state(known, known_file) {
            State::Unchecked => self.check(known, known_file)?.state,
            state => state,
        };
        match state {
            State::Ready => Ok(path),
            State::Missing => Err(WeightsError::Missing { path, model: model.into() }),
            State::Wrong | State::Unchecked => Err(WeightsError::Damaged { path, model: model.into() }),
        }
    }

    /// Where a model's file belongs.
    pub(super) fn place(&self, model: &str, file: &str) -> PathBuf {
        self.root.join(model).join(file)
    }

    /// How a file stands, without reading it.
    pub fn state(&self, model: &Model, file: &ModelFile) -> State {
        match fs::metadata(self.place(&model.name, &file.name)) {
            Err(_) => State::Missing,
            Ok(metadata) if !metadata.is_file() || metadata.len() != file.size => State::Wrong,
            Ok(metadata) => {
                let now = checked(&metadata, file.sha256);
                let known = self.record(&model.name).remove(&file.name);
                if known.is_some() && known == now { State::Ready } else { State::Unchecked }
            }
        }
    }

    /// Hashes a file and remembers it if it is right.
    pub fn check(&self, model: &Model, file: &ModelFile) -> Result<Finding, WeightsError> {
        let path = self.place(&model.name, &file.name);
        let got = match File::open(&path) {
            Ok(opened) => Some(hash(opened).map_err(WeightsError::io("read", &path))?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(WeightsError::io("read", &path)(error)),
        };
        let state = match got {
            None => State::Missing,
            Some(digest) if digest == file.sha256 => State::Ready,
            Some(_) => State::Wrong,
        };
        if state == State::Ready {
            self.remember(&model.name, file);
        }
        Ok(Finding { model: model.name.clone(), file: file.name.clone(), path, state, expected: file.sha256, got })
    }

    /// Hashes every file of these models; where none is named, of the default ones and of those that are there.
    pub fn verify(&self, manifest: &Manifest, names: &[String]) -> Result<Vec<Finding>, WeightsError> {
        let named = manifest.select(names)?;
        let is_there = |model: &Model| names.is_empty() && self.root.join(&model.name).is_dir();
        let models = manifest.models().iter().filter(|model| named.contains(model) || is_there(model));
        let files = models.flat_map(|model| model.files(std::env::consts::ARCH).map(move |file| (model, file)));
        files.map(|(model, file)| self.check(model, file)).collect()
    }

    fn record(&self, model: &str) -> Record {
        // Lost or damaged, it only costs hashing again.
        let text = fs::read(self.place(model, RECORD)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Notes that a file is right. A cache that cannot be written still serves, so failing here is no error.
    pub(super) fn remember(&self, model: &str, file: &ModelFile) {
        let metadata = fs::metadata(self.place(model, &file.name)).ok();
        let Some(entry) = metadata.and_then(|metadata| checked(&metadata, file.sha256)) else { return };
        let mut record = self.record(model);
        if record.insert(file.name.clone(), entry.clone()) == Some(entry) {
            return;
        }
        let _ = self.replace(&self.place(model, RECORD), &record);
    }

    fn replace(&self, path: &Path, record: &Record) -> io::Result<()> {
        let folder = path.parent().unwrap_or(&self.root);
        // As readable as the weights themselves.
        let permissions = fs::Permissions::from_mode(0o644);
        let mut new = tempfile::Builder::new().permissions(permissions).tempfile_in(folder)?;
        serde_json::to_writer_pretty(&mut new, record)?;
        new.persist(path)?;
        Ok(())
    }

    /// Takes the cache for writing: at most one process fetches. `waiting` is called if another one does.
    pub(super) fn lock(&self, waiting: impl FnOnce()) -> Result<Lock, WeightsError> {
        let partial = self.root.join(PARTIAL);
        fs::create_dir_all(&partial).map_err(WeightsError::io("create", &partial))?;
        let path = self.root.join(LOCK);
        let file = File::options().create(true).append(true).open(&path).map_err(WeightsError::io("create", &path))?;
        let locked = match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                waiting();
                file.lock()
            }
            Err(TryLockError::Error(error)) => Err(error),
            Ok(()) => Ok(()),
        };
        match locked {
            // Some network file systems have no locks; there, as without this program, one fetch at a time is up to the owner.
            Err(error) if error.kind() != io::ErrorKind::Unsupported => Err(WeightsError::io("lock", &path)(error)),
            _ => Ok(Lock { partial, _file: file }),
        }
    }
}

/// The right to write into the cache, until it is dropped or the process dies.
pub(super) struct Lock {
    partial: PathBuf,
    _file: File,
}

impl Lock {
    /// A download in progress, kept between runs; named by its digest, so that it is never continued with other content.
    pub(super) fn partial(&self, sha256: Sha256) -> PathBuf {
        self.partial.join(format!("{sha256}.part"))
    }

    /// A folder for this run only. What a killed run left in its own is removed.
    pub(super) fn workplace(&self) -> Result<tempfile::TempDir, WeightsError> {
        let failed = |error| WeightsError::io("create a folder in", &self.partial)(error);
        for entry in fs::read_dir(&self.partial).map_err(failed)?.filter_map(Result::ok) {
            if entry.path().is_dir() {
                // The pip of a killed run may still be writing there; then the next run clears it.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        tempfile::Builder::new().prefix("work-").tempdir_in(&self.partial).map_err(failed)
    }
}

fn checked(metadata: &fs::Metadata, sha256: Sha256) -> Option<Checked> {
    let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Checked { size: metadata.len(), modified_ns: modified.as_nanos(), sha256: sha256.to_string() })
}

/// The digest of everything that a reader yields.
pub(super) fn hash(mut reader: impl Read) -> io::Result<Sha256> {
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(Sha256::reached_by(hasher)),
            Ok(read) => hasher.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
