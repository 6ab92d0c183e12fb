//! A Whisper of width 4 in CTranslate2's form, converted and read back as whisper.cpp would.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use super::super::ctranslate2::builder::{self, Variable};
use super::*;

const WIDTH: usize = 4;
const VOCABULARY: &str = "!\nĠa\n<|endoftext|>\n";

/// A variable whose elements count up from `start`, so that each place can be told.
fn counting(name: &str, shape: &[usize], element: Element, start: usize) -> Variable {
    let count: usize = shape.iter().product();
    let values = (start..start + count).map(|n| (n % 1024) as f32);
    let data = match element {
        Element::F32 => values.flat_map(f32::to_le_bytes).collect(),
        _ => values.flat_map(|v| f16::from_f32(v).to_le_bytes()).collect(),
    };
    (name.into(), shape.iter().map(|n| u32::try_from(*n).unwrap()).collect(), element, data)
}

fn whisper(element: Element) -> Vec<Variable> {
    let mut all = Vec::new();
    let mut put = |name: &str, shape: &[usize]| all.push(counting(name, shape, element, name.len()));
    put("decoder/embeddings/weight", &[3, WIDTH]);
    put("encoder/conv1/weight", &[WIDTH, 80, 3]);
    put("encoder/conv1/bias", &[WIDTH]);
    put("encoder/conv2/weight", &[WIDTH, WIDTH, 3]);
    put("encoder/conv2/bias", &[WIDTH]);
    for (stack, context) in [("encoder", 6), ("decoder", 5)] {
        put(&format!("{stack}/position_encodings/encodings"), &[context, WIDTH]);
        let attention: &[(&str, &[usize])] = match stack {
            "encoder" => &[("self_attention", &[3, 1])],
            _ => &[("self_attention", &[3, 1]), ("attention", &[1, 2, 1])],
        };
        let layer = format!("{stack}/layer_0");
        let mut norms = vec![format!("{stack}/layer_norm"), format!("{layer}/ffn/layer_norm")];
        for (name, stacked) in attention {
            norms.push(format!("{layer}/{name}/layer_norm"));
            for (number, times) in stacked.iter().enumerate() {
                put(&format!("{layer}/{name}/linear_{number}/weight"), &[times * WIDTH, WIDTH]);
                put(&format!("{layer}/{name}/linear_{number}/bias"), &[times * WIDTH]);
            }
        }
        for norm in norms {
            put(&format!("{norm}/gamma"), &[WIDTH]);
            put(&format!("{norm}/beta"), &[WIDTH]);
        }
        for (number, rows, columns) in [(0, 4 * WIDTH, WIDTH), (1, WIDTH, 4 * WIDTH)] {
            put(&format!("{layer}/ffn/linear_{number}/weight"), &[rows, columns]);
            put(&format!("{layer}/ffn/linear_{number}/bias"), &[rows]);
        }
    }
    for stack in ["encoder", "decoder"] {
        all.push((format!("{stack}/num_heads"), vec![], Element::I16, vec![2, 0]));
    }
    all
}

fn converted(variables: &[Variable]) -> Result<Vec<u8>, ConversionError> {
    let file = builder::file(variables, &[("decoder/projection/weight", "decoder/embeddings/weight")]);
    let mut out = Vec::new();
    convert(&file, VOCABULARY, &mut out).map(|()| out)
}

/// What stands in a ggml file.
struct Ggml {
    header: Vec<i32>,
    filters: Vec<f32>,
    tokens: Vec<Vec<u8>>,
    /// By name: extents and values.
    tensors: BTreeMap<String, (Vec<i32>, i32, Vec<f32>)>,
}

fn read(bytes: &[u8]) -> Ggml {
    let mut rest = bytes;
    fn take<'a>(rest: &mut &'a [u8], n: usize) -> &'a [u8] {
        rest.split_off(..n).unwrap()
    }
    fn number(rest: &mut &[u8]) -> i32 {
        i32::from_le_bytes(take(rest, 4).try_into().unwrap())
    }
    let count = |n: i32| usize::try_from(n).unwrap();
    let header: Vec<i32> = (0..12).map(|_| number(&mut rest)).collect();
    let (mels, bins) = (number(&mut rest), number(&mut rest));
    let floats = |bytes: &[u8]| bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect::<Vec<_>>();
    let filters = floats(take(&mut rest, count(mels * bins) * 4));
    let mut tokens = Vec::new();
    for _ in 0..number(&mut rest) {
        let length = count(number(&mut rest));
        tokens.push(take(&mut rest, length).to_vec());
    }
    let mut tensors = BTreeMap::new();
    while !rest.is_empty() {
        let (rank, length, kind) = (number(&mut rest), number(&mut rest), number(&mut rest));
        let extents: Vec<i32> = (0..rank).map(|_| number(&mut rest)).collect();
        let name = String::from_utf8(take(&mut rest, count(length)).to_vec()).unwrap();
        let elements = count(extents.iter().product());
        let values = match kind {
            0 => floats(take(&mut rest, elements * 4)),
            _ => {
                let halves = take(&mut rest, elements * 2);
                halves.chunks(2).map(|b| f16::from_le_bytes(b.try_into().unwrap()).to_f32()).collect()
            }
        };
        assert!(tensors.insert(name, (extents, kind, values)).is_none());
    }
    Ggml { header, filters, tokens, tensors }
}

#[test]
fn header_filters_and_tokens_are_whisper_cpps() {
    let ggml = read(&converted(&whisper(Element::F16)).unwrap());
    assert_eq!(ggml.header, [0x6767_6d6c, 3, 6, 4, 2, 1, 5, 4, 2, 1, 80, 1]);
    assert_eq!(ggml.filters, mel::filters(80));
    assert_eq!(ggml.tokens, [b"!".to_vec(), b" a".to_vec()]);
}

#[test]
fn the_tensors_are_those_that_the_loader_asks_for() {
    let ggml = read(&converted(&whisper(Element::F16)).unwrap());
    // whisper.cpp: 7 of the encoder, 4 of the decoder, 15 for each layer, 9 more where it attends to the encoder.
    assert_eq!(ggml.tensors.len(), 7 + 4 + 15 + 15 + 9);
    let of = |name: &str| (ggml.tensors[name].0.clone(), ggml.tensors[name].1);
    assert_eq!(of("encoder.conv1.weight"), (vec![3, 80, 4], 1));
    assert_eq!(of("encoder.conv2.bias"), (vec![1, 4], 0));
    assert_eq!(of("encoder.positional_embedding"), (vec![4, 6], 0));
    assert_eq!(of("decoder.token_embedding.weight"), (vec![4, 3], 1));
    assert_eq!(of("encoder.blocks.0.mlp.0.weight"), (vec![4, 16], 1));
    assert_eq!(of("encoder.blocks.0.mlp.2.weight"), (vec![16, 4], 1));
    assert_eq!(of("decoder.blocks.0.cross_attn_ln.weight"), (vec![4], 0));
    assert!(!ggml.tensors.keys().any(|name| name.ends_with("key.bias")));
}

#[test]
fn stacked_projections_are_cut_apart_in_order() {
    let ggml = read(&converted(&whisper(Element::F16)).unwrap());
    let first = |name: &str| ggml.tensors[name].2[0];
    let start = "encoder/layer_0/self_attention/linear_0/weight".len() as f32;
    for (number, part) in ["query", "key", "value"].iter().enumerate() {
        assert_eq!(first(&format!("encoder.blocks.0.attn.{part}.weight")), start + (16 * number) as f32);
    }
    let start = "decoder/layer_0/attention/linear_1/bias".len() as f32;
    assert_eq!(first("decoder.blocks.0.cross_attn.value.bias"), start + 4.0);
}

#[test]
fn single_precision_sources_give_the_same_file() {
    assert_eq!(converted(&whisper(Element::F32)).unwrap(), converted(&whisper(Element::F16)).unwrap());
}

#[test]
fn a_model_without_any_one_variable_is_refused() {
    let all = whisper(Element::F16);
    for missing in 0..all.len() {
        if all[missing].0 == "decoder/embeddings/weight" {
            continue; // the alias needs it: refused earlier
        }
        let mut fewer = all.clone();
        let (name, ..) = fewer.remove(missing);
        assert!(converted(&fewer).is_err(), "{name}");
    }
}

#[test]
fn quantised_misshapen_and_foreign_models_are_refused_before_writing() {
    let change = |name: &str, change: fn(&mut Variable)| {
        let mut all = whisper(Element::F16);
        change(all.iter_mut().find(|v| v.0 == name).unwrap());
        converted(&all).unwrap_err().to_string()
    };
    let quantised = change("encoder/layer_0/ffn/linear_0/weight", |v| (v.2, v.3) = (Element::I8, vec![0; 64]));
    assert!(quantised.contains("is quantised"), "{quantised}");
    let narrow = change("decoder/layer_norm/beta", |v| (v.1, v.3) = (vec![2], vec![0; 4]));
    assert!(narrow.contains("[2] instead of [4]"), "{narrow}");
    let heads = change("encoder/num_heads", |v| v.3 = vec![0, 0]);
    assert!(heads.contains("heads do not divide"), "{heads}");
    let bands = change("encoder/conv1/weight", |v| (v.1, v.3) = (vec![4, 3, 3], vec![0; 72]));
    assert!(bands.contains("3 mel bands"), "{bands}");
    let mut out = Vec::new();
    assert!(convert(b"", VOCABULARY, &mut out).is_err() && out.is_empty());
}

#[test]
fn a_full_disk_is_reported() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let file = builder::file(&whisper(Element::F16), &[]);
    assert!(matches!(convert(&file, VOCABULARY, &mut Full), Err(ConversionError::Write(_))));
}
