//! The engines the configuration asks for, from the model cache.

use std::path::PathBuf;
use std::sync::Arc;

use super::pool::Factory;
use super::{Recogniser, SpeechError, VoiceActivity};
#[cfg(feature = "onnx")]
use crate::classifier::onnx::OnnxClassifier;
use crate::classifier::{Classifier, ClassifierError};
use crate::config::{Engine, Models, Screening, Speech};
use crate::weights::{Cache, Manifest};

/// Where speech engines come from.
#[derive(Clone)]
pub struct Engines {
    speech: Speech,
    cache: Cache,
    manifest: Arc<Manifest>,
    #[cfg(feature = "onnx")]
    runtime: super::onnx_runtime::OnnxRuntime,
}

impl Engines {
    /// Loads the runtime; models are loaded when they are asked for.
    pub fn load(speech: &Speech, models: &Models) -> Result<Engines, SpeechError> {
        let cache = Cache::locate(models.cache.as_deref());
        let manifest = Arc::new(Manifest::load(models.manifest.as_deref())?);
        #[cfg(feature = "onnx")]
        let runtime = {
            let library = cache.path(&manifest, "onnxruntime", "libonnxruntime.so")?;
            super::onnx_runtime::OnnxRuntime::load(&library)?
        };
        Ok(Engines {
            speech: speech.clone(),
            cache,
            manifest,
            #[cfg(feature = "onnx")]
            runtime,
        })
    }

    #[cfg_attr(not(any(feature = "onnx", feature = "whisper")), allow(dead_code))]
    fn file(&self, model: &str, file: &str) -> Result<PathBuf, SpeechError> {
        Ok(self.cache.path(&self.manifest, model, file)?)
    }

    /// The configuration they were made from.
    pub fn settings(&self) -> &Speech {
        &self.speech
    }

    /// The scam classifier: the configured one, else the one that is part of the program.
    #[cfg(feature = "onnx")]
    pub fn classifier(&self, screening: &Screening) -> Result<Box<dyn Classifier>, ClassifierError> {
        let environment = self.runtime.environment();
        let classifier = match &screening.classifier {
            Some(folder) => OnnxClassifier::load(folder, environment)?,
            None => OnnxClassifier::built_in(environment)?,
        };
        Ok(Box::new(classifier))
    }

    /// The scam classifier.
    #[cfg(not(feature = "onnx"))]
    pub fn classifier(&self, _: &Screening) -> Result<Box<dyn Classifier>, ClassifierError> {
        let (path, reason) = ("built-in".to_string(), "this program was built without the feature `onnx`".to_string());
        Err(ClassifierError::Model { path, reason })
    }

    /// Voice activity for one stream.
    #[cfg(feature = "onnx")]
    pub fn voice_activity(&self) -> Result<Box<dyn VoiceActivity>, SpeechError> {
        let model = self.file("silero-vad", "silero_vad.onnx")?;
        Ok(Box::new(super::silero::Silero::load(&self.runtime, &model)?))
    }

    /// Voice activity for one stream.
    #[cfg(not(feature = "onnx"))]
    pub fn voice_activity(&self) -> Result<Box<dyn VoiceActivity>, SpeechError> {
        Err(SpeechError::NotBuilt { name: "silero-vad", feature: "onnx" })
    }

    /// The configured recogniser.
    pub fn recogniser(&self) -> Result<Box<dyn Recogniser>, SpeechError> {
        match self.speech.engine {
            Engine::Moonshine => self.moonshine(),
            Engine::Whisper => self.whisper(),
        }
    }

    /// Recognisers for the pool's workers.
    pub fn factory(&self) -> Factory {
        let engines = self.clone();
        Arc::new(move || engines.recogniser())
    }

    #[cfg(feature = "onnx")]
    fn moonshine(&self) -> Result<Box<dyn Recogniser>, SpeechError> {
        let part = |name| self.file("moonshine-tiny-en", name);
        let (encoder, decoder) = (part("encoder_model.ort")?, part("decoder_model_merged.ort")?);
        let tokenizer = part("tokenizer.bin")?;
        Ok(Box::new(super::moonshine::Moonshine::load(&self.runtime, &encoder, &decoder, &tokenizer)?))
    }

    #[cfg(not(feature = "onnx"))]
    fn moonshine(&self) -> Result<Box<dyn Recogniser>, SpeechError> {
        Err(SpeechError::NotBuilt { name: "moonshine", feature: "onnx" })
    }

    #[cfg(feature = "whisper")]
    fn whisper(&self) -> Result<Box<dyn Recogniser>, SpeechError> {
        let name = &self.speech.whisper_model;
        let model = self.file(name, &format!("ggml-{}.bin", name.trim_start_matches("whisper-")))?;
        Ok(Box::new(super::whisper::Whisper::load(&model, name, self.speech.threads)?))
    }

    #[cfg(not(feature = "whisper"))]
    fn whisper(&self) -> Result<Box<dyn Recogniser>, SpeechError> {
        Err(SpeechError::NotBuilt { name: "whisper", feature: "whisper" })
    }
}
