//! Speech: the [`Recogniser`] and [`VoiceActivity`] traits, their native engines, and the pool that schedules them.

pub mod engines;
pub mod hypothesis;
#[cfg(feature = "onnx")]
pub mod moonshine;
pub mod offline;
#[cfg(feature = "onnx")]
pub mod onnx_runtime;
pub mod pool;
#[cfg(feature = "onnx")]
pub mod silero;
#[cfg(feature = "whisper")]
pub mod whisper;

/// Samples a second of everything that listens.
pub const SAMPLE_RATE: u32 = 16_000;
/// Samples of one voice-activity frame: 32 ms at 16 kHz.
pub const VAD_FRAME: usize = 512;

/// Turns one segment of speech into text.
pub trait Recogniser: Send {
    /// Transcribes mono samples at 16 kHz in -1..=1. An empty text means nothing intelligible was said.
    fn transcribe(&mut self, audio: &[f32]) -> Result<String, SpeechError>;
    /// The engine and model, for logs and figures.
    fn name(&self) -> &str;
}

/// Tells speech from everything else, frame by frame; keeps state between frames of one stream.
pub trait VoiceActivity: Send {
    /// Probability that the frame ([`VAD_FRAME`] samples at 16 kHz) holds speech.
    fn probability(&mut self, frame: &[f32]) -> Result<f32, SpeechError>;
    /// Forgets the stream.
    fn reset(&mut self);
}

/// Why speech could not be processed.
#[derive(Debug, thiserror::Error)]
pub enum SpeechError {
    /// A model file is missing or damaged.
    #[error(
        "speech model {name} cannot be loaded: {reason}; run `callward models fetch`, then `callward models verify`"
    )]
    Model {
        /// Which model.
        name: String,
        /// What the engine said.
        reason: String,
    },
    /// Its weights are not there as they should be.
    #[error(transparent)]
    Weights(#[from] crate::weights::WeightsError),
    /// This program was built without the engine.
    #[error(
        "speech engine {name} is not part of this program; build it with the feature `{feature}` or set `speech.engine`"
    )]
    NotBuilt {
        /// Which engine.
        name: &'static str,
        /// The cargo feature it needs.
        feature: &'static str,
    },
    /// The system refused a thread.
    #[error("speech cannot start: {0}; the limit of threads may be too low")]
    System(String),
    /// The engine failed on this audio.
    #[error("speech engine {name} failed: {reason}")]
    Engine {
        /// Which engine.
        name: String,
        /// What it said.
        reason: String,
    },
}
