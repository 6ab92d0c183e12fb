//! A whole recording through the same voice activity, segmenter and recogniser as a live call.

use super::{Recogniser, SpeechError, VAD_FRAME, VoiceActivity};
use crate::screening::segmenter::{Segment, Segmenter};

/// What was said when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Beginning, from the recording's start.
    pub start_ms: u64,
    /// End.
    pub end_ms: u64,
    /// The words.
    pub text: String,
}

/// Transcribes samples at 16 kHz.
pub fn transcribe(
    samples: &[f32],
    activity: &mut dyn VoiceActivity,
    recogniser: &mut dyn Recogniser,
) -> Result<Vec<Said>, SpeechError> {
    let mut segmenter = Segmenter::default();
    let mut said = Vec::new();
    activity.reset();
    for (number, frame) in samples.chunks(VAD_FRAME).enumerate() {
        let mut whole = frame.to_vec();
        whole.resize(VAD_FRAME, 0.0);
        let probability = activity.probability(&whole)?;
        let start_ms = (number * VAD_FRAME) as u64 * 1000 / u64::from(super::SAMPLE_RATE);
        if let Some(segment) = segmenter.push(&whole, probability, start_ms) {
            said.extend(read(&segment, recogniser)?);
        }
    }
    if let Some(segment) = segmenter.flush() {
        said.extend(read(&segment, recogniser)?);
    }
    Ok(said)
}

fn read(segment: &Segment, recogniser: &mut dyn Recogniser) -> Result<Option<Said>, SpeechError> {
    let text = recogniser.transcribe(&segment.samples)?;
    let Segment { start_ms, end_ms, .. } = *segment;
    Ok((!text.is_empty()).then_some(Said { start_ms, end_ms, text }))
}
