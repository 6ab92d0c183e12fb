//! Converts Whisper's weights from CTranslate2 to the ggml file that whisper.cpp loads (f16). Pure but for the writer.
//!
//! The layout follows whisper.cpp's loader: magic, hyperparameters, mel filters, tokens, then tensors, each with its extents
//! innermost first. Matrices and convolutions are f16; biases, norms and position encodings are f32. CTranslate2
//! stacks the projections of attention (Q, K, V; in cross-attention K, V), which are cut apart here; Whisper's K
//! has no bias, so that third of the stacked bias is dropped.

use std::io::{self, Write};

use half::f16;

use super::ctranslate2::{Element, Model, ModelError, Tensor};
use super::{mel, vocabulary};

/// Why nothing was converted.
#[derive(Debug, thiserror::Error)]
pub enum ConversionError {
    /// The source is damaged, or no Whisper.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The result could not be written.
    #[error("the converted model cannot be written: {0}")]
    Write(#[from] io::Error),
}

/// "ggml", as whisper.cpp compares it.
const MAGIC: u32 = 0x6767_6d6c;
/// Width of the convolutions before the encoder.
const KERNEL: usize = 3;
/// Mel bands of the published models: 128 from large-v3 on.
const MELS: [usize; 2] = [80, 128];
/// Feed-forward layers are this many times as wide as the model.
const WIDENING: usize = 4;

/// Writes the ggml form of a `model.bin` and its `vocabulary.txt`.
pub fn convert(model: &[u8], vocabulary: &str, out: &mut impl Write) -> Result<(), ConversionError> {
    let model = Model::parse(model)?;
    let shape = Shape::of(&model)?;
    let tokens = vocabulary::tokens(vocabulary, shape.vocabulary)?;
    // Everything that can be wrong with the source is found before the first byte is written.
    let tensors = tensors(&model, &shape)?;
    shape.write(out)?;
    write_filters(shape.mels, out)?;
    write_tokens(&tokens, out)?;
    tensors.iter().try_for_each(|tensor| tensor.write(out))
}

/// The sizes that make a Whisper.
struct Shape {
    vocabulary: usize,
    /// Width of encoder and decoder alike.
    width: usize,
    mels: usize,
    encoder: Stack,
    decoder: Stack,
}

struct Stack {
    /// Positions that it can hold.
    context: usize,
    heads: usize,
    layers: usize,
}

impl Shape {
    fn of(model: &Model) -> Result<Shape, ModelError> {
        let [vocabulary, width] = extents(model, "decoder/embeddings/weight")?;
        let [_, mels, _] = extents(model, "encoder/conv1/weight")?;
        if !MELS.contains(&mels) {
            return Err(ModelError::Damaged(format!("it takes {mels} mel bands, which no Whisper does")));
        }
        let (encoder, decoder) = (Stack::of(model, "encoder", width)?, Stack::of(model, "decoder", width)?);
        Ok(Shape { vocabulary, width, mels, encoder, decoder })
    }

    fn write(&self, out: &mut impl Write) -> Result<(), ConversionError> {
        let (encoder, decoder) = (&self.encoder, &self.decoder);
        out.write_all(&MAGIC.to_le_bytes())?;
        write_numbers(&[self.vocabulary, encoder.context, self.width, encoder.heads, encoder.layers], out)?;
        write_numbers(&[decoder.context, self.width, decoder.heads, decoder.layers], out)?;
        write_numbers(&[self.mels, Precision::F16.code()], out)
    }
}

impl Stack {
    fn of(model: &Model, name: &'static str, width: usize) -> Result<Stack, ModelError> {
        let positions = format!("{name}/position_encodings/encodings");
        let [context, _] = extents(model, &positions)?;
        model.shaped(&positions, &[context, width])?;
        let heads = model.integer(&format!("{name}/num_heads"))?;
        let heads = usize::try_from(heads).ok().filter(|heads| *heads > 0 && width.is_multiple_of(*heads));
        let heads =
            heads.ok_or_else(|| ModelError::Damaged(format!("the {name}'s heads do not divide its width {width}")))?;
        match model.layers(name) {
            0 => Err(ModelError::Damaged(format!("the {name} has no layers"))),
            layers => Ok(Stack { context, heads, layers }),
        }
    }
}

fn extents<const N: usize>(model: &Model, name: &str) -> Result<[usize; N], ModelError> {
    let shape = model.get(name)?.shape.clone();
    let problem = format!("has the shape {shape:?} instead of {N} dimensions");
    shape.try_into().map_err(|_| ModelError::Variable { name: name.into(), problem })
}

/// How ggml keeps a tensor's elements.
#[derive(Clone, Copy)]
enum Precision {
    F32,
    F16,
}

impl Precision {
    fn code(self) -> usize {
        match self {
            Precision::F32 => 0,
            Precision::F16 => 1,
        }
    }
}

/// One tensor of the result; its data is still the source's.
struct Output<'a> {
    name: String,
    /// Innermost first.
    extents: Vec<usize>,
    precision: Precision,
    element: Element,
    data: &'a [u8],
}

impl Output<'_> {
    fn write(&self, out: &mut impl Write) -> Result<(), ConversionError> {
        write_numbers(&[self.extents.len(), self.name.len(), self.precision.code()], out)?;
        write_numbers(&self.extents, out)?;
        out.write_all(self.name.as_bytes())?;
        let bytes = match (self.element, self.precision) {
            (Element::F32, Precision::F32) | (Element::F16, Precision::F16) => return Ok(out.write_all(self.data)?),
            (Element::F16, _) => widened(self.data),
            _ => narrowed(self.data),
        };
        Ok(out.write_all(&bytes)?)
    }
}

fn widened(data: &[u8]) -> Vec<u8> {
    let (halves, _) = data.as_chunks::<2>();
    halves.iter().flat_map(|half| f16::from_le_bytes(*half).to_f32().to_le_bytes()).collect()
}

fn narrowed(data: &[u8]) -> Vec<u8> {
    let (floats, _) = data.as_chunks::<4>();
    floats.iter().flat_map(|float| f16::from_f32(f32::from_le_bytes(*float)).to_le_bytes()).collect()
}

/// Every tensor that whisper.cpp asks for.
fn tensors<'a>(model: &Model<'a>, shape: &Shape) -> Result<Vec<Output<'a>>, ModelError> {
    let (width, vocabulary) = (shape.width, shape.vocabulary);
    let mut plan = Plan { model, width, done: Vec::new() };
    plan.positions("encoder", shape.encoder.context)?;
    plan.convolution("conv1", shape.mels)?;
    plan.convolution("conv2", width)?;
    plan.norm("encoder/layer_norm", "encoder.ln_post")?;
    for layer in 0..shape.encoder.layers {
        plan.layer("encoder", layer)?;
    }
    plan.positions("decoder", shape.decoder.context)?;
    plan.matrix("decoder/embeddings/weight", "decoder.token_embedding.weight", vocabulary, width)?;
    plan.norm("decoder/layer_norm", "decoder.ln")?;
    for layer in 0..shape.decoder.layers {
        plan.layer("decoder", layer)?;
        plan.cross_attention(layer)?;
    }
    Ok(plan.done)
}

struct Plan<'m, 'a> {
    model: &'m Model<'a>,
    width: usize,
    done: Vec<Output<'a>>,
}

impl<'a> Plan<'_, 'a> {
    fn variable(&self, name: &str, shape: &[usize]) -> Result<Tensor<'a>, ModelError> {
        let tensor = self.model.shaped(name, shape)?;
        match tensor.element {
            Element::F16 | Element::F32 => Ok(tensor.clone()),
            other => Err(ModelError::Variable {
                name: name.into(),
                problem: format!("is quantised ({other:?}); only models with floating-point weights can be converted"),
            }),
        }
    }

    fn put(&mut self, name: String, extents: &[usize], precision: Precision, element: Element, data: &'a [u8]) {
        self.done.push(Output { name, extents: extents.to_vec(), precision, element, data });
    }

    fn matrix(&mut self, from: &str, to: &str, rows: usize, columns: usize) -> Result<(), ModelError> {
        let tensor = self.variable(from, &[rows, columns])?;
        self.put(to.into(), &[columns, rows], Precision::F16, tensor.element, tensor.data);
        Ok(())
    }

    fn vector(&mut self, from: &str, to: &str, length: usize) -> Result<(), ModelError> {
        let tensor = self.variable(from, &[length])?;
        self.put(to.into(), &[length], Precision::F32, tensor.element, tensor.data);
        Ok(())
    }

    fn linear(&mut self, from: &str, to: &str, rows: usize, columns: usize) -> Result<(), ModelError> {
        self.matrix(&format!("{from}/weight"), &format!("{to}.weight"), rows, columns)?;
        self.vector(&format!("{from}/bias"), &format!("{to}.bias"), rows)
    }

    fn norm(&mut self, from: &str, to: &str) -> Result<(), ModelError> {
        self.vector(&format!("{from}/gamma"), &format!("{to}.weight"), self.width)?;
        self.vector(&format!("{from}/beta"), &format!("{to}.bias"), self.width)
    }

    fn positions(&mut self, stack: &str, context: usize) -> Result<(), ModelError> {
        let tensor = self.variable(&format!("{stack}/position_encodings/encodings"), &[context, self.width])?;
        let extents = [self.width, context];
        self.put(format!("{stack}.positional_embedding"), &extents, Precision::F32, tensor.element, tensor.data);
        Ok(())
    }

    fn convolution(&mut self, name: &str, inputs: usize) -> Result<(), ModelError> {
        let width = self.width;
        let weight = self.variable(&format!("encoder/{name}/weight"), &[width, inputs, KERNEL])?;
        let extents = [KERNEL, inputs, width];
        self.put(format!("encoder.{name}.weight"), &extents, Precision::F16, weight.element, weight.data);
        let bias = self.variable(&format!("encoder/{name}/bias"), &[width])?;
        // A column: it is added to every frame of the convolution's output.
        self.put(format!("encoder.{name}.bias"), &[1, width], Precision::F32, bias.element, bias.data);
        Ok(())
    }

    /// Self-attention and feed-forward of one layer, which encoder and decoder share.
    fn layer(&mut self, stack: &str, layer: usize) -> Result<(), ModelError> {
        let (from, to) = (format!("{stack}/layer_{layer}"), format!("{stack}.blocks.{layer}"));
        let (width, wide) = (self.width, WIDENING * self.width);
        self.norm(&format!("{from}/self_attention/layer_norm"), &format!("{to}.attn_ln"))?;
        self.stacked(&format!("{from}/self_attention/linear_0"), &format!("{to}.attn"), &["query", "key", "value"])?;
        self.linear(&format!("{from}/self_attention/linear_1"), &format!("{to}.attn.out"), width, width)?;
        self.norm(&format!("{from}/ffn/layer_norm"), &format!("{to}.mlp_ln"))?;
        self.linear(&format!("{from}/ffn/linear_0"), &format!("{to}.mlp.0"), wide, width)?;
        self.linear(&format!("{from}/ffn/linear_1"), &format!("{to}.mlp.2"), width, wide)
    }

    fn cross_attention(&mut self, layer: usize) -> Result<(), ModelError> {
        let from = format!("decoder/layer_{layer}/attention");
        let to = format!("decoder.blocks.{layer}.cross_attn");
        let width = self.width;
        self.norm(&format!("{from}/layer_norm"), &format!("{to}_ln"))?;
        self.linear(&format!("{from}/linear_0"), &format!("{to}.query"), width, width)?;
        self.stacked(&format!("{from}/linear_1"), &to, &["key", "value"])?;
        self.linear(&format!("{from}/linear_2"), &format!("{to}.out"), width, width)
    }

    /// Cuts projections apart that are stacked row upon row.
    fn stacked(&mut self, from: &str, to: &str, parts: &[&str]) -> Result<(), ModelError> {
        let width = self.width;
        let weight = self.variable(&format!("{from}/weight"), &[parts.len() * width, width])?;
        let bias = self.variable(&format!("{from}/bias"), &[parts.len() * width])?;
        let weights = weight.data.chunks(width * width * weight.element.size());
        let biases = bias.data.chunks(width * bias.element.size());
        for ((part, weights), biases) in parts.iter().zip(weights).zip(biases) {
            self.put(format!("{to}.{part}.weight"), &[width, width], Precision::F16, weight.element, weights);
            if *part != "key" {
                self.put(format!("{to}.{part}.bias"), &[width], Precision::F32, bias.element, biases);
            }
        }
        Ok(())
    }
}

fn write_numbers(numbers: &[usize], out: &mut impl Write) -> Result<(), ConversionError> {
    for number in numbers {
        let number =
            i32::try_from(*number).map_err(|_| ModelError::Damaged(format!("{number} is too large for ggml")))?;
        out.write_all(&number.to_le_bytes())?;
    }
    Ok(())
}

fn write_filters(mels: usize, out: &mut impl Write) -> Result<(), ConversionError> {
    write_numbers(&[mels, mel::BINS], out)?;
    let bytes: Vec<u8> = mel::filters(mels).iter().flat_map(|weight| weight.to_le_bytes()).collect();
    Ok(out.write_all(&bytes)?)
}

fn write_tokens(tokens: &[Vec<u8>], out: &mut impl Write) -> Result<(), ConversionError> {
    write_numbers(&[tokens.len()], out)?;
    for token in tokens {
        write_numbers(&[token.len()], out)?;
        out.write_all(token)?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "ggml_tests.rs"]
mod tests;
