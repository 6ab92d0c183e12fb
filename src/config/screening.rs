//! Sections `[speech]` and `[screening]`: how calls are listened to, and when the callee is warned.

use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::screening::Level;
use crate::screening::policy::Policy;

/// A speech recogniser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Moonshine tiny, English: fast.
    Moonshine,
    /// Whisper: slower, more languages.
    Whisper,
}

/// Speech recognition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Speech {
    /// Which recogniser.
    pub engine: Engine,
    /// Which Whisper model, by its name in `callward models list`.
    pub whisper_model: String,
    /// Recognisers that work at the same time.
    pub workers: usize,
    /// Threads of each.
    pub threads: usize,
    /// Segments of speech that may wait; beyond it the least urgent are given up and the call ends `unscreened`.
    pub queue: usize,
    /// Whether the callee is listened to as well as the caller.
    pub both_sides: bool,
}

impl Default for Speech {
    fn default() -> Self {
        Speech {
            engine: Engine::Moonshine,
            whisper_model: "whisper-tiny.en".to_string(),
            workers: 1,
            threads: 1,
            queue: 64,
            both_sides: true,
        }
    }
}

/// Scam screening.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Screening {
    /// Whether calls are listened to at all.
    pub enabled: bool,
    /// Folder of the classifier; without it the one that comes with Callward.
    pub classifier: Option<PathBuf>,
    /// The risk, 0..=1, at which each level is reached.
    #[schemars(schema_with = "thresholds_schema")]
    pub thresholds: Policy,
    /// Folder of more prompts: `LANGUAGE/NAME.wav`.
    pub prompts: Option<PathBuf>,
    /// How much quieter the caller becomes under a warning, in dB.
    pub duck_db: f32,
    /// Language of the warnings, as `en`.
    pub language: String,
    /// The mildest level that is spoken.
    #[schemars(schema_with = "level_schema")]
    pub warn_level: Level,
}

impl Default for Screening {
    fn default() -> Self {
        Screening {
            enabled: true,
            classifier: None,
            thresholds: Policy::default(),
            prompts: None,
            duck_db: 24.0,
            language: "en".to_string(),
            warn_level: Level::Caution,
        }
    }
}

impl Screening {
    /// The thresholds.
    pub fn policy(&self) -> Policy {
        self.thresholds
    }
}

fn thresholds_schema(_: &mut SchemaGenerator) -> Schema {
    let share = json_schema!({ "type": "number", "minimum": 0, "maximum": 1 });
    let keys = ["notice", "caution", "alarm", "max_unheard"];
    let properties: serde_json::Map<_, _> =
        keys.map(|key| (key.to_string(), share.clone().into())).into_iter().collect();
    json_schema!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn level_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "enum": ["notice", "caution", "alarm"] })
}
