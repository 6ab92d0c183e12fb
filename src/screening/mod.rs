//! Pure: from what was said to what the callee is told.
//!
//! [`segmenter`] cuts speech into utterances, a classifier (see [`crate::classifier`]) labels each with the [`Stage`]s
//! of the script, [`risk`] accumulates them over the call and decides on a [`Level`]. Nothing here knows of packets,
//! sockets or clocks.

use serde::{Deserialize, Serialize};

pub mod stage;

pub use stage::{Stage, StageScores};

/// Who spoke: known from the leg, never guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    /// The party that placed the call.
    Caller,
    /// The subscriber.
    Callee,
    /// A transcript that does not say; scored as the caller.
    Unknown,
}

/// How serious a warning is, mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Worth knowing; nothing is played by default.
    Notice,
    /// Something is wrong: a short tone and a sentence.
    Caution,
    /// A demand of the scam script: the full spoken warning.
    Alarm,
}

/// The conclusion over one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// An alarm was raised.
    Scam,
    /// A caution, but no alarm.
    Suspicious,
    /// Listened to throughout, nothing found.
    Clean,
    /// Could not be listened to (codec, overload, language, fault).
    Unscreened,
}
