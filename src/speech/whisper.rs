//! Whisper through whisper.cpp.
//!
//! Short windows make it invent and repeat; what keeps it honest was measured: an audio context well above the window's
//! own 50 frames a second, tokens capped by the audio's length, no temperature fallback, and the check of
//! [`hypothesis`] on what comes out.

use std::path::Path;

use whisper_rs::{FullParams, SamplingStrategy, WhisperContext, WhisperContextParameters, WhisperState};

use super::hypothesis;
use super::{Recogniser, SAMPLE_RATE, SpeechError};

/// Encoder frames a second.
const FRAMES_A_SECOND: f32 = 50.0;
/// Least audio context, and how much beyond the window's own frames.
const CONTEXT: (i32, f32) = (512, 128.0);
/// All of it.
const FULL_CONTEXT: i32 = 1500;
/// Nobody speaks faster.
const TOKENS_A_SECOND: f32 = 7.0;
/// whisper.cpp refuses less than a second.
const SHORTEST: usize = SAMPLE_RATE as usize * 11 / 10;

/// The recogniser.
pub struct Whisper {
    state: WhisperState,
    name: String,
    threads: i32,
    multilingual: bool,
}

impl Whisper {
    /// Opens a ggml model.
    pub fn load(model: &Path, name: &str, threads: usize) -> Result<Whisper, SpeechError> {
        whisper_rs::install_logging_hooks();
        let failed = |reason: String| SpeechError::Model { name: name.to_string(), reason };
        if !model.is_file() {
            return Err(failed(format!("{} is not there", model.display())));
        }
        let context = WhisperContext::new_with_params(model, WhisperContextParameters::default())
            .map_err(|e| failed(e.to_string()))?;
        let multilingual = context.is_multilingual();
        let state = context.create_state().map_err(|e| failed(e.to_string()))?;
        Ok(Whisper { state, name: name.to_string(), threads: threads.clamp(1, 64) as i32, multilingual })
    }

    fn parameters(&self, seconds: f32) -> FullParams<'static, 'static> {
        let mut parameters = FullParams::new(SamplingStrategy::Greedy { best_of: 1 });
        parameters.set_n_threads(self.threads);
        let wanted = (seconds * FRAMES_A_SECOND + CONTEXT.1) as i32;
        parameters.set_audio_ctx(wanted.clamp(CONTEXT.0, FULL_CONTEXT));
        parameters.set_max_tokens((seconds * TOKENS_A_SECOND).ceil() as i32 + 2);
        parameters.set_language(Some("en"));
        parameters.set_translate(false);
        parameters.set_no_context(true);
        parameters.set_no_timestamps(true);
        parameters.set_single_segment(true);
        parameters.set_suppress_blank(true);
        parameters.set_suppress_nst(true);
        parameters.set_temperature_inc(0.0);
        parameters.set_print_special(false);
        parameters.set_print_progress(false);
        parameters.set_print_realtime(false);
        parameters.set_print_timestamps(false);
        parameters
    }
}

impl Recogniser for Whisper {
    fn transcribe(&mut self, audio: &[f32]) -> Result<String, SpeechError> {
        let seconds = audio.len() as f32 / SAMPLE_RATE as f32;
        let mut padded = audio.to_vec();
        padded.resize(audio.len().max(SHORTEST), 0.0);
        let parameters = self.parameters(seconds);
        let failed = |reason: String| SpeechError::Engine { name: self.name.clone(), reason };
        self.state.full(parameters, &padded).map_err(|e| failed(e.to_string()))?;
        let pieces = self.state.as_iter().filter_map(|segment| segment.to_str_lossy().ok().map(|t| t.into_owned()));
        let text: String = pieces.collect();
        Ok(hypothesis::plausible(&text, seconds))
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl std::fmt::Debug for Whisper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Whisper")
            .field("name", &self.name)
            .field("multilingual", &self.multilingual)
            .finish_non_exhaustive()
    }
}
