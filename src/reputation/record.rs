//! What is remembered of a call, and of what its callee said about it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Number;
use crate::screening::Verdict;

/// A call that is over.
#[derive(Debug, Clone, PartialEq)]
pub struct CallRecord {
    /// Callward's own name of the call.
    pub call_id: String,
    /// Who called.
    pub number: Number,
    /// STIR/SHAKEN attestation (RFC 8588): `A`, `B`, `C` or `none`. Only `A` says that the caller may use the number.
    pub attestation: String,
    /// The conclusion.
    pub verdict: Verdict,
    /// The highest risk, 0..=1.
    pub risk: f32,
    /// When the INVITE arrived.
    pub started_at: DateTime<Utc>,
    /// From answer to end in milliseconds; 0 when never answered.
    pub duration_ms: u64,
}

/// What somebody says of a caller.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The call it is about.
    pub call_id: String,
    /// Who called.
    pub number: Number,
    /// What is said.
    pub kind: ReportKind,
    /// Who says it.
    pub source: ReportSource,
    /// When.
    pub at: DateTime<Utc>,
}

impl Report {
    /// A report about a number at large rather than about one call. A subscriber counts once for a number and kind, so its
    /// call identifier follows from both.
    pub fn of_number(number: Number, kind: ReportKind, at: DateTime<Utc>) -> Report {
        let call_id = format!("number:{}", number.key().unwrap_or_default());
        Report { call_id, number, kind, source: ReportSource::Subscriber, at }
    }
}

/// What is said of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReportKind {
    /// It was a scam.
    Scam,
    /// It was none.
    Legitimate,
}

impl ReportKind {
    /// The name it is stored under.
    pub fn as_str(self) -> &'static str {
        match self {
            ReportKind::Scam => "scam",
            ReportKind::Legitimate => "legitimate",
        }
    }
}

/// Who says it. People count; what Callward's own classifier says is kept apart from what people say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReportSource {
    /// The person who took the call, on its keypad.
    Callee,
    /// The subscriber, afterwards.
    Subscriber,
    /// Callward itself.
    Classifier,
}

impl ReportSource {
    /// The name it is stored under.
    pub fn as_str(self) -> &'static str {
        match self {
            ReportSource::Callee => "callee",
            ReportSource::Subscriber => "subscriber",
            ReportSource::Classifier => "classifier",
        }
    }
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It is remembered now.
    New,
    /// It was remembered before; nothing changed.
    Already,
}

/// Everything a database remembers, in figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Calls.
    pub calls: u64,
    /// Different numbers among them and among the reports; withheld ones are nobody's.
    pub numbers: u64,
    /// Calls by verdict: scam.
    pub scam: u64,
    /// Calls by verdict: suspicious.
    pub suspicious: u64,
    /// Calls by verdict: clean.
    pub clean: u64,
    /// Calls by verdict: unscreened.
    pub unscreened: u64,
    /// People's reports of a scam.
    pub scam_reports: u64,
    /// People's reports that it was none.
    pub legitimate_reports: u64,
}
