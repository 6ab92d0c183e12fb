//! Sections `[log]` and `[events]`: what Callward says of itself and of calls.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The log, on standard error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// A level (`error`, `warn`, `info`, `debug`, `trace`), or a filter as `info,callward::sip=debug`. Personal data stands in
    /// the log at `debug` and below only.
    pub level: String,
    /// Format.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Log { level: "info".to_string(), format: LogFormat::Text }
    }
}

/// Format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// JSON lines.
    Json,
}

/// The event stream: one JSON object a line, with what was said in the calls.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Events {
    /// Append events to this file.
    pub file: Option<PathBuf>,
    /// Write events to standard output.
    pub stdout: bool,
}
