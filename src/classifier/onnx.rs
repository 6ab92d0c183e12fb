//! The trained stage classifier on ONNX Runtime: MiniLM-L6 with nine outputs, int8.
//!
//! Loads `model.onnx`, `tokenizer.json` and `classifier.toml` from one folder and checks that they belong together. It
//! must never decide what a label means for the callee, and never panic on any text. The runtime itself is opened elsewhere,
//! once for the whole process, and handed in as its [`Environment`].

use std::path::Path;

use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::Tensor;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokenizers::{EncodeInput, Encoding, Tokenizer, TruncationDirection, TruncationParams, TruncationStrategy};

use super::input::{Segments, Shape, compose};
use super::{Classifier, ClassifierError, Turn};
use crate::screening::{Judgement, Stage};

/// The rules of [`super::normalise`] this program implements; a model trained on others must not be loaded.
const NORMALISER_VERSION: u32 = 1;
/// Tokens of both segments together, the model's training length.
const MAX_TOKENS: usize = 208;
/// Windows of one utterance that are judged; more than a thousand words in one turn is no speech.
const MAX_WINDOWS: usize = 32;

/// Turns a logit into a probability: `sigmoid(slope * logit + offset)`.
#[derive(Debug, Clone, Deserialize)]
struct Scale {
    slope: f32,
    offset: f32,
}

impl Scale {
    fn probability(&self, logit: f32) -> Result<f32, String> {
        let probability = 1.0 / (1.0 + (-(self.slope * logit + self.offset)).exp());
        if probability.is_finite() { Ok(probability) } else { Err("the model's output is not a number".into()) }
    }
}

#[derive(Debug, Clone, Deserialize)]
struct Label {
    name: Stage,
    #[serde(flatten)]
    scale: Scale,
}

/// `classifier.toml`.
#[derive(Debug, Clone, Deserialize)]
struct Card {
    version: String,
    model_sha256: String,
    normaliser: u32,
    input: Shape,
    labels: Vec<Label>,
    /// The output after the labels.
    call: Scale,
}

/// The classifier that is shipped.
#[derive(Debug)]
pub struct OnnxClassifier {
    session: Session,
    tokenizer: Tokenizer,
    card: Card,
}

impl OnnxClassifier {
    /// Loads the model from a folder holding `model.onnx`, `tokenizer.json` and `classifier.toml`.
    pub fn load(dir: &Path, environment: &Environment) -> Result<Self, ClassifierError> {
        let open = || {
            let file = |name| read(&dir.join(name));
            Self::open(&file("classifier.toml")?, &file("model.onnx")?, &file("tokenizer.json")?, environment)
        };
        open().map_err(|reason| ClassifierError::Model { path: dir.display().to_string(), reason })
    }

    /// The model that is part of the program, from `models/classifier`.
    pub fn built_in(environment: &Environment) -> Result<Self, ClassifierError> {
        let card = include_bytes!("../../models/classifier/classifier.toml");
        let model = include_bytes!("../../models/classifier/model.onnx");
        let tokenizer = include_bytes!("../../models/classifier/tokenizer.json");
        Self::open(card, model, tokenizer, environment)
            .map_err(|reason| ClassifierError::Model { path: "built-in".into(), reason })
    }

    /// The model's version, for logs and figures.
    pub fn version(&self) -> &str {
        &self.card.version
    }

    fn open(card: &[u8], model: &[u8], tokenizer: &[u8], environment: &Environment) -> Result<Self, String> {
        let card = read_card(card)?;
        let digest: String = Sha256::digest(model).iter().map(|b| format!("{b:02x}")).collect();
        if digest != card.model_sha256 {
            return Err("model.onnx is not the one that classifier.toml describes".into());
        }
        let session = Session::builder(environment)
            .and_then(|builder| Ok(builder.with_optimization_level(GraphOptimizationLevel::Level3)?))
            .and_then(|builder| Ok(builder.with_intra_threads(1)?))
            .and_then(|mut builder| builder.commit_from_memory(model))
            .map_err(|error| format!("model.onnx: {error}"))?;
        Ok(Self { session, tokenizer: read_tokenizer(tokenizer)?, card })
    }

    fn judge(&mut self, segments: &Segments) -> Result<Judgement, String> {
        let input: EncodeInput<'_> = match segments.context.as_str() {
            "" => segments.target.as_str().into(),
            context => (segments.target.as_str(), context).into(),
        };
        let encoding = self.tokenizer.encode(input, true).map_err(|error| error.to_string())?;
        let logits = run(&mut self.session, &encoding).map_err(|error| error.to_string())?;
        let (labels, &[call]) = logits.split_at(self.card.labels.len().min(logits.len())) else {
            return Err(format!("the model has {} outputs where classifier.toml describes others", logits.len()));
        };
        let mut judgement = Judgement { call: self.card.call.probability(call)?, ..Judgement::default() };
        for (label, &logit) in self.card.labels.iter().zip(labels) {
            judgement.set(label.name, label.scale.probability(logit)?);
        }
        Ok(judgement)
    }
}

impl Classifier for OnnxClassifier {
    fn classify(&mut self, context: &[Turn], utterance: &Turn) -> Result<Judgement, ClassifierError> {
        let mut strongest = Judgement::default();
        for segments in compose(context, utterance, self.card.input).iter().take(MAX_WINDOWS) {
            let scores = self.judge(segments).map_err(ClassifierError::Inference)?;
            for stage in Stage::ALL {
                strongest.set(stage, strongest.get(stage).max(scores.get(stage)));
            }
            strongest.call = scores.call;
        }
        Ok(strongest)
    }
}

fn run(session: &mut Session, encoding: &Encoding) -> ort::Result<Vec<f32>> {
    let tensor = |values: &[u32]| {
        let values: Vec<i64> = values.iter().map(|&v| i64::from(v)).collect();
        Tensor::from_array(([1, values.len()], values))
    };
    let outputs = session.run(ort::inputs![
        "input_ids" => tensor(encoding.get_ids())?,
        "attention_mask" => tensor(encoding.get_attention_mask())?,
        "token_type_ids" => tensor(encoding.get_type_ids())?,
    ])?;
    let (_, logits) = outputs["logits"].try_extract_tensor::<f32>()?;
    Ok(logits.to_vec())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn read_card(bytes: &[u8]) -> Result<Card, String> {
    let card: Card = toml::from_slice(bytes).map_err(|error| format!("classifier.toml: {error}"))?;
    if card.normaliser != NORMALISER_VERSION {
        return Err(format!(
            "the model reads text normalised by rules version {}, this program has {NORMALISER_VERSION}",
            card.normaliser
        ));
    }
    if !card.labels.iter().map(|label| label.name).eq(Stage::ALL) {
        return Err("classifier.toml: the labels are not the nine stages in script order".into());
    }
    Ok(card)
}

fn read_tokenizer(bytes: &[u8]) -> Result<Tokenizer, String> {
    let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|error| format!("tokenizer.json: {error}"))?;
    let truncation = TruncationParams {
        max_length: MAX_TOKENS,
        strategy: TruncationStrategy::LongestFirst,
        direction: TruncationDirection::Right,
        stride: 0,
    };
    tokenizer.with_truncation(Some(truncation)).map_err(|error| error.to_string())?;
    tokenizer.with_padding(None);
    Ok(tokenizer)
}
