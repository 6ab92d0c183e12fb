//! Pure: what is known of a number, and the store trait that remembers it.
//!
//! [`number`] says what a caller's identity is; [`record`] holds what is remembered of a call. Nothing here may reach a
//! database, a clock or a task: [`crate::store`] implements [`ReputationStore`]. A number alone is never proof of who
//! called (RFC 8224 exists because of it), so every call is remembered with its attestation, and a later score can keep
//! what was signed apart from what was not.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub mod number;
pub mod record;

pub use number::Number;
pub use record::{CallRecord, Recorded, Report, ReportKind, ReportSource, Totals};

/// What the database says of a number.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Standing {
    /// Calls seen from it.
    pub calls: u32,
    /// Calls that ended with the verdict scam.
    pub scam_verdicts: u32,
    /// Times the callee reported it as a scam.
    pub scam_reports: u32,
    /// Times the callee said it was no scam.
    pub legitimate_reports: u32,
}

/// Remembers calls and reports. Writes are idempotent, so a writer that does not know whether it succeeded may repeat them.
#[async_trait]
pub trait ReputationStore: Send + Sync {
    /// What is known of a number; `None` when nothing is, or when it names nobody ([`Number::key`]).
    async fn standing(&self, number: &Number) -> Result<Option<Standing>, StoreError>;

    /// Remembers a call that is over; idempotent by call.
    async fn record_call(&self, call: &CallRecord) -> Result<Recorded, StoreError>;

    /// Remembers a report; idempotent by call, source and kind.
    async fn record_report(&self, report: &Report) -> Result<Recorded, StoreError>;

    /// Everything remembered, in figures.
    async fn totals(&self) -> Result<Totals, StoreError>;
}

/// Why the store could not be used, and what its owner should do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The URL names no database that Callward can use.
    #[error("`database.url` {url:?} is not usable: {reason}; write for example sqlite:///var/lib/callward/callward.db")]
    Url {
        /// As configured.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file or its folder cannot be created, read or written.
    #[error(
        "the database {path} cannot be opened: {reason}; let the user that runs callward write to its folder, or set \
         `database.url` to another place"
    )]
    Unavailable {
        /// The file.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// The file is no database, or a damaged one.
    #[error(
        "{path} is not a readable database ({reason}); move it away, for example `mv {path} {path}.damaged`, and start \
         again: a new one is made"
    )]
    Corrupt {
        /// The file.
        path: String,
        /// What SQLite said.
        reason: String,
    },
    /// The database was written by a later version, or its history does not match ours.
    #[error("the database {path} does not fit this version of callward ({reason}); install the version that wrote it")]
    Version {
        /// The file.
        path: String,
        /// Which migration.
        reason: String,
    },
    /// It is there, but this operation failed; it may succeed when repeated.
    #[error("the database did not answer: {0}")]
    Failed(String),
}

impl StoreError {
    /// Whether the same operation may succeed a little later.
    pub fn is_transient(&self) -> bool {
        matches!(self, StoreError::Failed(_) | StoreError::Unavailable { .. })
    }
}
