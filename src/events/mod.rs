//! What Callward tells the world about a call, one JSON object a line: the same on `--json`, the live stream,
//! web hooks and the message bus. The field names are a contract; change them only by adding.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::reputation::Standing;
use crate::screening::{Level, Speaker, Stage, Verdict};

/// One event in the life of a call. Probabilities and risks lie in 0..=1, times are milliseconds since the call was
/// answered (its media clock).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum CallEvent {
    /// A call reached the line; sent before the phone rings.
    CallStarted {
        /// Callward's own name of the call; never a SIP Call-ID.
        call_id: String,
        /// When the INVITE arrived.
        at: DateTime<Utc>,
        /// The caller in E.164, `None` when withheld or not a number.
        from: Option<String>,
        /// The line that was called.
        to: String,
        /// STIR/SHAKEN attestation: `A`, `B`, `C` or `none`.
        attestation: String,
        /// What was known of the caller's number.
        reputation: Option<Standing>,
    },
    /// One side said something.
    Utterance {
        /// See [`CallEvent::CallStarted`].
        call_id: String,
        /// Who spoke: the leg it was heard on.
        speaker: Speaker,
        /// Start of the speech.
        start_ms: u64,
        /// End of the speech.
        end_ms: u64,
        /// What was recognised.
        text: String,
        /// Probability of each script stage in this utterance.
        stages: BTreeMap<Stage, f32>,
        /// Risk of the whole call after this utterance.
        risk: f32,
        /// The language (ISO 639-3) where it is one that cannot be judged; the utterance then counts as unheard.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        language: Option<String>,
    },
    /// The risk reached a level for the first time.
    Warning {
        /// See [`CallEvent::CallStarted`].
        call_id: String,
        /// Which level.
        level: Level,
        /// When it was decided.
        at_ms: u64,
        /// Risk at that moment.
        risk: f32,
        /// Stages that raised it, strongest first.
        stages: Vec<Stage>,
        /// The words that raised each of them: the utterance in which it was clearest.
        words: BTreeMap<Stage, String>,
        /// When the first sound of the warning left for the callee's phone; `None` when nothing is played.
        heard_at_ms: Option<u64>,
    },
    /// The call is over.
    CallEnded {
        /// See [`CallEvent::CallStarted`].
        call_id: String,
        /// The conclusion.
        verdict: Verdict,
        /// The highest risk of the call.
        risk: f32,
        /// From answer to end; 0 when never answered.
        duration_ms: u64,
        /// The language (ISO 639-3) that kept the call from being judged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        language: Option<String>,
    },
    /// `callward analyze` only: the conclusion over one input file.
    Summary {
        /// The file as named on the command line.
        file: String,
        /// The conclusion.
        verdict: Verdict,
        /// The highest risk of the call.
        risk: f32,
        /// The utterance, counted from 1 over all speakers, that raised the first alarm.
        warned_at_utterance: Option<usize>,
        /// Stages seen in any utterance, in script order.
        stages_seen: Vec<Stage>,
        /// As in [`CallEvent::CallEnded`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        language: Option<String>,
    },
}
