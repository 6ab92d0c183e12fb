//! The classifier: labels one utterance, in the light of what came before, with the stages of the scam script.
//!
//! [`normalise`] and [`input`] are pure and put an utterance into the words the model was trained on; `onnx` runs it;
//! [`analysis`] puts a whole transcript through the same screening as a live call. What the labels mean for the callee
//! is not decided here but in [`crate::screening`].

use crate::screening::{Judgement, Speaker};

pub mod analysis;
pub mod input;
pub mod normalise;
#[cfg(feature = "onnx")]
pub mod onnx;

/// One utterance as the classifier sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// Who said it.
    pub speaker: Speaker,
    /// What was said.
    pub text: String,
}

/// Labels utterances.
pub trait Classifier: Send {
    /// Stage probabilities of `utterance`, given the turns before it (oldest first, at most the last few are used).
    fn classify(&mut self, context: &[Turn], utterance: &Turn) -> Result<Judgement, ClassifierError>;
}

/// Why an utterance could not be labelled.
#[derive(Debug, thiserror::Error)]
pub enum ClassifierError {
    /// The model is missing or damaged.
    #[error(
        "the scam classifier cannot be loaded from {path}: {reason}; restore `models/classifier` or set `screening.classifier`"
    )]
    Model {
        /// Where it was looked for.
        path: String,
        /// What the engine said.
        reason: String,
    },
    /// The model failed on this text.
    #[error("the scam classifier failed: {0}")]
    Inference(String),
}
