//! What is remembered of calls and numbers, and the store that does. Stores implement the trait elsewhere.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Number, Standing};
use crate::screening::Verdict;

/// One call and its verdict.
#[derive(Debug, Clone, PartialEq)]
pub struct CallRecord {
    /// Callward's name of the call; a record is kept once for each.
    pub call_id: String,
    /// Who called.
    pub number: Number,
    /// STIR/SHAKEN attestation: `A`, `B`, `C` or `none`.
    pub attestation: String,
    /// The verdict.
    pub verdict: Verdict,
    /// The highest risk, 0..=1.
    pub risk: f32,
    /// When it came.
    pub started_at: DateTime<Utc>,
    /// From answer to end.
    pub duration_ms: u64,
}

/// What a report says of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ReportKind {
    /// It is used for scams.
    Scam,
    /// It is no scam.
    Legitimate,
}

/// Who reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReportSource {
    /// The person who was called, by key.
    Callee,
    /// The owner, at the command line.
    Owner,
}

/// A report of a number.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The call it is about, or a name of its own; one report of a kind is kept for each.
    pub call_id: String,
    /// The number.
    pub number: Number,
    /// What is said of it.
    pub kind: ReportKind,
    /// Who says so.
    pub source: ReportSource,
    /// When.
    pub at: DateTime<Utc>,
}

/// Why a store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be opened or made.
    #[error("the database {url} cannot be opened: {reason}; check that its folder exists and is writable, or restore it from a backup")]
    Open {
        /// Where it is.
        url: String,
        /// What the database said.
        reason: String,
    },
    /// A query failed.
    #[error("the database failed: {0}")]
    Query(String),
}

/// Remembers calls and reports.
#[async_trait]
pub trait ReputationStore: Send + Sync {
    /// What is known of a number; `None` if nothing is.
    async fn standing(&self, number: &Number) -> Result<Option<Standing>, StoreError>;
    /// Keeps a call; keeping it again changes nothing.
    async fn record_call(&self, call: &CallRecord) -> Result<(), StoreError>;
    /// Keeps a report; keeping it again changes nothing.
    async fn record_report(&self, report: &Report) -> Result<(), StoreError>;
    /// How many numbers, calls and reports are kept.
    async fn totals(&self) -> Result<Totals, StoreError>;
}

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Totals {
    /// Numbers with a call or a report.
    pub numbers: u64,
    /// Calls.
    pub calls: u64,
    /// Reports.
    pub reports: u64,
}
