//! ONNX Runtime, loaded once from its shared library; sessions of one thread each, because the pool decides how many
//! cores speech may use.

use std::path::Path;

use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;

use super::SpeechError;

/// The loaded runtime.
#[derive(Clone)]
pub struct OnnxRuntime {
    environment: std::sync::Arc<Environment>,
}

impl OnnxRuntime {
    /// Loads `libonnxruntime.so`. A second call in one process yields the same library, whatever its path.
    pub fn load(library: &Path) -> Result<OnnxRuntime, SpeechError> {
        let failed = |reason: String| SpeechError::Model { name: "onnxruntime".to_string(), reason };
        let builder = ort::init_from(library).map_err(|e| failed(e.to_string()))?;
        let environment = builder.with_name("callward").build().map_err(|e| failed(e.to_string()))?;
        Ok(OnnxRuntime { environment: std::sync::Arc::new(environment) })
    }

    /// The environment, for other models.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Opens a model file.
    pub fn session(&self, name: &str, model: &Path) -> Result<Session, SpeechError> {
        let failed = |reason: String| SpeechError::Model { name: name.to_string(), reason };
        Session::builder(&self.environment)
            .and_then(|builder| Ok(builder.with_optimization_level(GraphOptimizationLevel::Level3)?))
            .and_then(|builder| Ok(builder.with_intra_threads(1)?))
            .and_then(|builder| Ok(builder.with_inter_threads(1)?))
            .and_then(|mut builder| builder.commit_from_file(model))
            .map_err(|error| failed(error.to_string()))
    }
}

/// An engine's failure on some input.
pub(super) fn engine_error(name: &str, error: &ort::Error) -> SpeechError {
    SpeechError::Engine { name: name.to_string(), reason: error.to_string() }
}
