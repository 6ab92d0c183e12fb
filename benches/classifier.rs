//! Time to label one utterance with its context on one core: turns of the corpus, in order, as a live call gives them.
//!
//! `cargo bench --bench classifier`; `CALLS=300 …` for more. Ends with status 1 when the target (median 15 ms, 99th
//! percentile 40 ms) is missed. The weights of ONNX Runtime must be there (`callward models fetch`).
#![allow(clippy::disallowed_methods)]

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use callward::classifier::Turn;
use callward::classifier::input::Context;
use callward::config::Config;
use callward::screening::Speaker;
use callward::speech::engines::Engines;

const TARGET: (Duration, Duration) = (Duration::from_millis(15), Duration::from_millis(40));

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let count = std::env::var("CALLS").map_or(Ok(60), |calls| calls.parse())?;
    let config = Config::default();
    let mut classifier = Engines::load(&config.speech, &config.models)?.classifier(&config.screening)?;
    let mut times = Vec::new();
    for call in calls(count)? {
        let mut context = Context::default();
        for turn in call {
            let start = Instant::now();
            classifier.classify(context.turns(), &turn)?;
            times.push(start.elapsed());
            context.push(turn);
        }
    }
    times.sort();
    let (median, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!(
        "{} utterances with their context: median {:.1} ms, 99th percentile {:.1} ms",
        times.len(),
        ms(median),
        ms(p99)
    );
    Ok(if median <= TARGET.0 && p99 <= TARGET.1 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Dialogues spread over the corpus.
fn calls(count: usize) -> Result<Vec<Vec<Turn>>, Box<dyn Error>> {
    let mut lines = Vec::new();
    for kind in ["scam", "genuine"] {
        for file in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/corpus").join(kind))? {
            lines.extend(std::fs::read_to_string(file?.path())?.lines().map(str::to_owned));
        }
    }
    let step = (lines.len() / count).max(1);
    lines.iter().step_by(step).take(count).map(|line| turns(line)).collect()
}

fn turns(line: &str) -> Result<Vec<Turn>, Box<dyn Error>> {
    let dialogue: serde_json::Value = serde_json::from_str(line)?;
    let turns = dialogue["turns"].as_array().ok_or("a dialogue without turns")?;
    turns
        .iter()
        .map(|turn| {
            let speaker: Speaker = serde_json::from_value(turn["speaker"].clone())?;
            Ok(Turn { speaker, text: turn["text"].as_str().unwrap_or_default().to_owned() })
        })
        .collect()
}
