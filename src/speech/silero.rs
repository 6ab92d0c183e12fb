//! Silero VAD: a small recurrent network over 32 ms frames.

use std::path::Path;

use ort::session::Session;
use ort::value::Tensor;

use super::onnx_runtime::{OnnxRuntime, engine_error};
use super::{SAMPLE_RATE, SpeechError, VAD_FRAME, VoiceActivity};

const NAME: &str = "silero-vad";
/// Samples of the frame before that the network sees again.
const CONTEXT: usize = 64;
/// Values of its recurrent state.
const STATE: usize = 2 * 128;

/// One stream's voice activity.
pub struct Silero {
    session: Session,
    state: Vec<f32>,
    context: Vec<f32>,
}

impl Silero {
    /// Opens `silero_vad.onnx`.
    pub fn load(runtime: &OnnxRuntime, model: &Path) -> Result<Silero, SpeechError> {
        let session = runtime.session(NAME, model)?;
        Ok(Silero { session, state: vec![0.0; STATE], context: vec![0.0; CONTEXT] })
    }

    fn run(&mut self, frame: &[f32]) -> ort::Result<f32> {
        let mut input = std::mem::take(&mut self.context);
        input.extend_from_slice(frame);
        self.context = input[input.len() - CONTEXT..].to_vec();
        let outputs = self.session.run(ort::inputs![
            "input" => Tensor::from_array(([1, input.len()], input))?,
            "state" => Tensor::from_array(([2, 1, 128], std::mem::take(&mut self.state)))?,
            "sr" => Tensor::from_array(([1usize; 0], vec![i64::from(SAMPLE_RATE)]))?,
        ])?;
        let (_, state) = outputs["stateN"].try_extract_tensor::<f32>()?;
        self.state = state.to_vec();
        let (_, probability) = outputs["output"].try_extract_tensor::<f32>()?;
        Ok(probability.first().copied().unwrap_or_default())
    }
}

impl VoiceActivity for Silero {
    fn probability(&mut self, frame: &[f32]) -> Result<f32, SpeechError> {
        if frame.len() != VAD_FRAME {
            let reason = format!("a frame has {VAD_FRAME} samples, not {}", frame.len());
            return Err(SpeechError::Engine { name: NAME.to_string(), reason });
        }
        self.run(frame).map_err(|error| {
            self.reset();
            engine_error(NAME, &error)
        })
    }

    fn reset(&mut self) {
        self.state = vec![0.0; STATE];
        self.context = vec![0.0; CONTEXT];
    }
}
