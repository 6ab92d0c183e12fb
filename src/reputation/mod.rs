//! Pure: what is known of a number, and the store trait that remembers it.

use serde::{Deserialize, Serialize};

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

mod number;
mod record;

pub use number::Number;
pub use record::{CallRecord, Report, ReportKind, ReportSource, ReputationStore, StoreError, Totals};
