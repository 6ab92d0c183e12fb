//! Moonshine tiny-en (int8) on ONNX Runtime: an encoder over raw samples and a decoder with caches, decoded greedily.

use std::path::Path;

use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Tensor};

use super::hypothesis;
use super::onnx_runtime::{OnnxRuntime, engine_error};
use super::{Recogniser, SAMPLE_RATE, SpeechError};

const NAME: &str = "moonshine-tiny-en";
const LAYERS: usize = 6;
const HEADS: usize = 8;
const HEAD_SIZE: usize = 36;
const START: i64 = 1;
const END: i64 = 2;
/// Nobody speaks faster; what decodes to more is a loop.
const TOKENS_A_SECOND: f32 = 6.5;
/// Shortest input the encoder's strides allow, and a good deal more.
const SHORTEST: usize = SAMPLE_RATE as usize / 5;

/// The recogniser.
pub struct Moonshine {
    encoder: Session,
    decoder: Session,
    vocabulary: Vocabulary,
}

impl Moonshine {
    /// Opens the three files of the model.
    pub fn load(
        runtime: &OnnxRuntime,
        encoder: &Path,
        decoder: &Path,
        tokenizer: &Path,
    ) -> Result<Moonshine, SpeechError> {
        let failed = |reason: String| SpeechError::Model { name: NAME.to_string(), reason };
        let bytes = std::fs::read(tokenizer).map_err(|e| failed(format!("{}: {e}", tokenizer.display())))?;
        let vocabulary = Vocabulary::parse(&bytes).ok_or_else(|| failed("tokenizer.bin is damaged".to_string()))?;
        Ok(Moonshine { encoder: runtime.session(NAME, encoder)?, decoder: runtime.session(NAME, decoder)?, vocabulary })
    }

    fn decode(&mut self, audio: &[f32]) -> ort::Result<Vec<i64>> {
        let (samples, mask) = (audio.to_vec(), vec![1i64; audio.len()]);
        let mut encoded = self.encoder.run(ort::inputs![
            "input_values" => Tensor::from_array(([1, samples.len()], samples))?,
            "attention_mask" => Tensor::from_array(([1, mask.len()], mask))?,
        ])?;
        let hidden = encoded.remove("last_hidden_state");
        drop(encoded);
        let Some(hidden) = hidden else { return Ok(Vec::new()) };
        let frames = hidden.shape().get(1).copied().unwrap_or_default() as usize;
        let most = (audio.len() as f32 / SAMPLE_RATE as f32 * TOKENS_A_SECOND).ceil() as usize;
        let mask: DynValue = Tensor::from_array(([1, frames], vec![1i64; frames]))?.into_dyn();
        let mut caches = empty_caches()?;
        let (mut tokens, mut last) = (Vec::new(), START);
        while tokens.len() < most {
            let token = self.step(&hidden, &mask, &mut caches, last, !tokens.is_empty())?;
            if token == END {
                break;
            }
            tokens.push(token);
            last = token;
        }
        Ok(tokens)
    }

    /// One token. The caches of the cross-attention come from the first step and stay.
    fn step(
        &mut self,
        hidden: &DynValue,
        mask: &DynValue,
        caches: &mut [(String, DynValue)],
        last: i64,
        cached: bool,
    ) -> ort::Result<i64> {
        let mut inputs: Vec<(String, SessionInputValue<'_>)> = vec![
            ("input_ids".into(), Tensor::from_array(([1, 1], vec![last]))?.into()),
            ("encoder_hidden_states".into(), hidden.into()),
            ("encoder_attention_mask".into(), mask.into()),
            ("use_cache_branch".into(), Tensor::from_array(([1], vec![cached]))?.into()),
        ];
        for (name, cache) in caches.iter() {
            inputs.push((format!("past_key_values.{name}"), cache.into()));
        }
        let mut outputs = self.decoder.run(inputs)?;
        for (name, cache) in caches.iter_mut() {
            if cached && name.contains("encoder") {
                continue;
            }
            if let Some(present) = outputs.remove(format!("present.{name}")) {
                *cache = present;
            }
        }
        let (_, logits) = outputs["logits"].try_extract_tensor::<f32>()?;
        let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(token, _)| token);
        Ok(best.map_or(END, |token| token as i64))
    }
}

fn empty_caches() -> ort::Result<Vec<(String, DynValue)>> {
    let mut caches = Vec::with_capacity(LAYERS * 4);
    for layer in 0..LAYERS {
        for side in ["decoder", "encoder"] {
            for part in ["key", "value"] {
                let empty =
                    ort::value::Tensor::<f32>::new(&ort::memory::Allocator::default(), [1usize, HEADS, 0, HEAD_SIZE])?;
                caches.push((format!("{layer}.{side}.{part}"), empty.into_dyn()));
            }
        }
    }
    Ok(caches)
}

impl Recogniser for Moonshine {
    fn transcribe(&mut self, audio: &[f32]) -> Result<String, SpeechError> {
        if audio.len() < SHORTEST {
            return Ok(String::new());
        }
        let tokens = self.decode(audio).map_err(|error| engine_error(NAME, &error))?;
        let text = self.vocabulary.text(&tokens);
        Ok(hypothesis::plausible(&text, audio.len() as f32 / SAMPLE_RATE as f32))
    }

    fn name(&self) -> &str {
        NAME
    }
}

/// The pieces of text, by token.
struct Vocabulary(Vec<Vec<u8>>);

impl Vocabulary {
    /// Reads `tokenizer.bin`: for each token its length, in one byte below 128 or two (seven low bits first), and its
    /// bytes.
    fn parse(bytes: &[u8]) -> Option<Vocabulary> {
        let (mut pieces, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            let mut length = usize::from(bytes[at]);
            at += 1;
            if length >= 128 {
                length = (length - 128) + 128 * usize::from(*bytes.get(at)?);
                at += 1;
            }
            pieces.push(bytes.get(at..at + length)?.to_vec());
            at += length;
        }
        (pieces.len() > 3).then_some(Vocabulary(pieces))
    }

    /// SentencePiece text: `▁` is a space, tokens in angle brackets are marks.
    fn text(&self, tokens: &[i64]) -> String {
        let mut bytes = Vec::new();
        for &token in tokens {
            let piece = usize::try_from(token).ok().and_then(|t| self.0.get(t));
            let Some(piece) = piece.filter(|p| !(p.starts_with(b"<") && p.ends_with(b">"))) else { continue };
            bytes.extend_from_slice(piece);
        }
        String::from_utf8_lossy(&bytes).replace('\u{2581}', " ").trim().to_string()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_vocabulary_reads_short_and_long_pieces() {
        let mut bytes = vec![5];
        bytes.extend(b"<unk>");
        bytes.extend([3]);
        bytes.extend("▁".as_bytes());
        bytes.extend([2, b'h', b'i', 0x82, 1]);
        bytes.extend([b'x'; 130]);
        let vocabulary = Vocabulary::parse(&bytes).unwrap();
        assert_eq!(vocabulary.text(&[0, 2, 1, 2]), "hi hi");
        assert_eq!(vocabulary.text(&[3]).len(), 130);
        assert!(Vocabulary::parse(&bytes[..20]).is_none());
    }
}
