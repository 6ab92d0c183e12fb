//! What is wrong with a configuration, where, and what to write instead.

use std::path::PathBuf;

use serde::Serialize;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there or not readable.
    #[error("{path}: cannot be read: {reason}; name an existing file with --config, or none for the defaults", path = path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// It is not what a configuration may hold: everything that was found, a line each.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Invalid(Vec<Finding>),
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Where it was written.
    #[serde(flatten)]
    pub origin: Origin,
    /// The key, as `sip.listen[0]`; empty when the text is not TOML at all.
    pub key: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.origin {
            Origin::File { file, line, column } => write!(f, "{}:{line}:{column}: ", file.display())?,
            Origin::Variable { variable } => write!(f, "{variable}: ")?,
            Origin::Default => {}
        }
        if !self.key.is_empty() {
            write!(f, "`{}` ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Origin {
    /// In a file; line and column count from 1.
    File {
        /// Which file.
        file: PathBuf,
        /// Line.
        line: usize,
        /// Column, in characters.
        column: usize,
    },
    /// In the environment.
    Variable {
        /// Which variable.
        variable: String,
    },
    /// Nowhere: it follows from the defaults.
    Default,
}

/// Why a text is no value of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; {remedy}")]
pub struct ValueError {
    /// What is wrong with it, as in "is upside down".
    pub problem: String,
    /// What to write instead.
    pub remedy: String,
}

impl ValueError {
    pub(super) fn new(problem: impl Into<String>, remedy: impl Into<String>) -> ValueError {
        ValueError { problem: problem.into(), remedy: remedy.into() }
    }
}
