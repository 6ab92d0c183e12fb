//! Pure: from what was said to what the callee is told.
//!
//! [`segmenter`] cuts speech into utterances, a classifier (see [`crate::classifier`]) labels each with the [`Stage`]s
//! of the script, [`risk`] accumulates them over the call, [`policy`] decides on a [`Level`] and [`prompt`] on what is said.
//! [`conversation`] is the four in one, for live calls and for analysis alike. Nothing here knows of packets, sockets or
//! clocks.
//!
//! ```
//! use callward::screening::conversation::Conversation;
//! use callward::screening::policy::Policy;
//! use callward::screening::{Level, Speaker, Stage, Judgement};
//!
//! let mut call = Conversation::new("c1", Policy::default());
//! let problem = Judgement::of(&[(Stage::ProblemClaim, 0.95)]);
//! let claim = call.hear(Speaker::Caller, 0, 4_000, "Your line sends out spam.", problem);
//! assert!(claim.raised.is_none(), "a claim is no demand");
//!
//! let remote = Judgement::of(&[(Stage::RemoteAccess, 0.99)]);
//! let demand = call.hear(Speaker::Caller, 9_000, 14_000, "Install this, and read me the number.", remote);
//! assert_eq!(demand.raised.map(|raised| raised.level), Some(Level::Alarm));
//! ```

use serde::{Deserialize, Serialize};

pub mod conversation;
pub mod keys;
pub mod language;
pub mod policy;
pub mod prompt;
pub mod risk;
pub mod segmenter;
pub mod stage;
pub mod transcript;

pub use stage::{Judgement, Stage};

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
