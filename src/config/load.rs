//! From a file and the environment to a [`Config`], and from an error back to the place it was written.
//!
//! The `toml` crate reads the file because it knows where each value stands; figment lays the environment over it.

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::error::Kind;
use figment::providers::Serialized;
use figment::value::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::check::{Problem, check};
use super::wording::explain;
use super::{Config, ConfigError, Finding, Origin};

const PREFIX: &str = "CALLWARD_";
const SEPARATOR: &str = "__";

/// A configuration file that was read.
pub(super) struct Source {
    pub path: PathBuf,
    pub text: String,
}

/// A variable of the environment that sets a key.
struct Variable {
    name: String,
    key: String,
    value: String,
}

impl Config {
    /// Loads a file (none means the defaults) and lays the environment over it.
    pub fn load(path: Option<&Path>) -> Result<Config, ConfigError> {
        let read = |path: &Path| match std::fs::read_to_string(path) {
            Ok(text) => Ok(Source { path: path.to_path_buf(), text }),
            Err(reason) => Err(ConfigError::Unreadable { path: path.to_path_buf(), reason }),
        };
        let source = path.map(read).transpose()?;
        // Variables that are not text are none of ours.
        let environment = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        Config::assemble(source.as_ref(), environment)
    }

    pub(super) fn assemble(
        source: Option<&Source>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Config, ConfigError> {
        let text = source.map_or("", |source| source.text.as_str());
        let (document, errors) = DeTable::parse_recoverable(text);
        if let (Some(source), false) = (source, errors.is_empty()) {
            let findings = errors.iter().map(|error| text_finding(source, error, "this is not TOML"));
            return Err(ConfigError::Invalid(findings.collect()));
        }
        let table: toml::Table = toml::from_str(text).map_err(|error| {
            let finding = source.map(|source| text_finding(source, &error, "this value cannot be read"));
            ConfigError::Invalid(finding.into_iter().collect())
        })?;
        let variables = variables(environment)?;
        let places = Places { source, document: &document, variables: &variables };
        let mut figment = Figment::from(Serialized::defaults(table));
        for Variable { key, value, .. } in &variables {
            figment = figment.merge(Serialized::default(key, parsed(value)));
        }
        let config: Config = figment.extract().map_err(|errors| {
            ConfigError::Invalid(errors.into_iter().map(|error| places.finding_of(&error)).collect())
        })?;
        let config = config.complete();
        let problems = check(&config);
        match problems.is_empty() {
            true => Ok(config),
            false => Err(ConfigError::Invalid(problems.into_iter().map(|problem| places.finding(problem)).collect())),
        }
    }
}

/// What a variable's text stands for: a list in brackets, a number, `true`, or just text.
fn parsed(text: &str) -> Value {
    text.parse().unwrap_or_else(|_| Value::from(text))
}

/// The variables that set keys. A prefix alone makes none of ours: container platforms set `CALLWARD_PORT` and the like for
/// a service of our name, and that must not keep calls from going through. But what looks like a key with one `_` too few
/// is a mistake worth refusing.
fn variables(environment: impl Iterator<Item = (String, String)>) -> Result<Vec<Variable>, ConfigError> {
    let (mut variables, mut mistakes) = (Vec::new(), Vec::new());
    for (name, value) in environment {
        let Some(rest) = name.strip_prefix(PREFIX).map(str::to_ascii_lowercase) else { continue };
        let nested = rest.contains(SEPARATOR);
        let key = rest.replace(SEPARATOR, ".");
        if nested || is_key(&key) {
            variables.push(Variable { name, key, value });
        } else if let Some((section, key)) = rest.split_once('_')
            && is_key(&format!("{section}.{key}"))
        {
            let right = format!("{PREFIX}{section}{SEPARATOR}{key}").to_ascii_uppercase();
            let message = format!("sets nothing; two underscores stand between section and key: {right}");
            mistakes.push(Finding { origin: Origin::Variable { variable: name }, key: String::new(), message });
        }
    }
    // The shorter key first, so that CALLWARD_SIP__LISTEN stands over CALLWARD_SIP whatever the order of the environment.
    variables.sort_by(|a, b| a.key.cmp(&b.key));
    if mistakes.is_empty() { Ok(variables) } else { Err(ConfigError::Invalid(mistakes)) }
}

/// Whether the configuration has a key of this name, whatever its type.
fn is_key(key: &str) -> bool {
    let probe = Figment::from(Serialized::default(key, ""));
    !matches!(probe.extract::<Config>(), Err(error) if unknown_at(&error, key))
}

fn unknown_at(error: &figment::Error, key: &str) -> bool {
    // A key below a value that is no section fails with the type of that value, at a shorter path.
    matches!(error.kind, Kind::UnknownField(..)) || error.path.join(".") != key
}

fn text_finding(source: &Source, error: &toml::de::Error, what: &str) -> Finding {
    let offset = error.span().map_or(0, |span| span.start);
    let message = format!("{what}: {}; https://toml.io shows how it is written", error.message());
    Finding { origin: in_file(source, offset), key: String::new(), message }
}

fn in_file(source: &Source, offset: usize) -> Origin {
    let before = source.text.get(..offset).unwrap_or(&source.text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Origin::File { file: source.path.clone(), line, column }
}

/// Where everything was written.
struct Places<'a> {
    source: Option<&'a Source>,
    document: &'a Spanned<DeTable<'a>>,
    variables: &'a [Variable],
}

impl Places<'_> {
    fn finding_of(&self, error: &figment::Error) -> Finding {
        self.finding(Problem { path: error.path.clone(), message: explain(&error.kind) })
    }

    fn finding(&self, Problem { path, message }: Problem) -> Finding {
        Finding { origin: self.origin(&path), key: written(&path), message }
    }

    fn origin(&self, path: &[String]) -> Origin {
        let key = path.join(".");
        let sets = |v: &&Variable| key == v.key || key.strip_prefix(&v.key).is_some_and(|rest| rest.starts_with('.'));
        if let Some(variable) = self.variables.iter().rev().find(sets) {
            return Origin::Variable { variable: variable.name.clone() };
        }
        if let (Some(source), Some(offset)) = (self.source, self.offset(path)) {
            return in_file(source, offset);
        }
        // A section that only a variable names, and that does not exist.
        let below = |v: &&Variable| v.key.strip_prefix(&key).is_some_and(|rest| rest.starts_with('.'));
        let variable = self.variables.iter().find(below);
        variable.map_or(Origin::Default, |variable| Origin::Variable { variable: variable.name.clone() })
    }

    /// The byte at which a key stands, or the innermost of its parents that the file has.
    fn offset(&self, path: &[String]) -> Option<usize> {
        let (first, rest) = path.split_first()?;
        let (key, mut value) = self.document.get_ref().get_key_value(first.as_str())?;
        let mut offset = key.span().start;
        for segment in rest {
            match value.get_ref() {
                DeValue::Table(table) => match table.get_key_value(segment.as_str()) {
                    Some((key, inner)) => (offset, value) = (key.span().start, inner),
                    None => break,
                },
                DeValue::Array(items) => match segment.parse().ok().and_then(|index: usize| items.get(index)) {
                    Some(item) => (offset, value) = (item.span().start, item),
                    None => break,
                },
                _ => break,
            }
        }
        Some(offset)
    }
}

/// A path as people write it: `lines[0].contacts`.
fn written(path: &[String]) -> String {
    path.iter().enumerate().fold(String::new(), |text, (position, segment)| match segment.parse::<usize>() {
        Ok(index) => format!("{text}[{index}]"),
        Err(_) if position == 0 => segment.clone(),
        Err(_) => format!("{text}.{segment}"),
    })
}
