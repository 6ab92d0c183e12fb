//! `callward analyze`.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use super::live::Live;
use crate::classifier::Classifier;
use crate::classifier::analysis::analyse_transcript;
use crate::config::Config;
use crate::events::CallEvent;
use crate::media::recording::{Recording, resample};
use crate::screening::Speaker;
use crate::screening::transcript::{self, TranscriptTurn};
use crate::speech::SAMPLE_RATE;
use crate::speech::engines::Engines;
use crate::speech::offline::{self, Said};

#[derive(Debug, clap::Args)]
pub(super) struct AnalyzeArgs {
    /// WAV recordings (mono = caller; stereo = caller left, callee right) or transcripts (JSON lines, or `Caller: …`).
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print the events as JSON lines.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: AnalyzeArgs, config: Config) -> anyhow::Result<ExitCode> {
    let mut desk = Desk { config, models: None };
    let mut out = std::io::stdout().lock();
    let mut live = Live::new(std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    let mut failed = false;
    for file in &args.files {
        match desk.analyse(file) {
            Ok(events) => {
                for event in events {
                    let text = match args.json {
                        true => serde_json::to_string(&event)? + "\n",
                        false => live.show(&event),
                    };
                    out.write_all(text.as_bytes())?;
                }
            }
            // One bad file does not keep the others from being read.
            Err(error) => {
                failed = true;
                eprintln!("callward: {}: {error:#}", file.display());
            }
        }
    }
    out.flush()?;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Loads models when the first file needs them.
struct Desk {
    config: Config,
    models: Option<(Engines, Box<dyn Classifier>)>,
}

impl Desk {
    fn analyse(&mut self, file: &Path) -> anyhow::Result<Vec<CallEvent>> {
        let bytes = std::fs::read(file).context("cannot be read")?;
        let sound = bytes.starts_with(b"RIFF") || file.extension().is_some_and(|e| e.eq_ignore_ascii_case("wav"));
        let (recording, transcript) = match sound {
            true => (Some(Recording::read(bytes)?), Vec::new()),
            false => (None, transcript::parse(&bytes)?),
        };
        let policy = self.config.screening.policy();
        let (engines, classifier) = match &mut self.models {
            Some(models) => models,
            none => {
                let engines = Engines::load(&self.config.speech, &self.config.models)?;
                let classifier = engines.classifier(&self.config.screening)?;
                none.insert((engines, classifier))
            }
        };
        let turns = match recording {
            Some(recording) => listen(engines, &recording)?,
            None => transcript,
        };
        let name = file.display().to_string();
        let analysis = analyse_transcript(&name, &turns, classifier.as_mut(), policy)?;
        let summary = analysis.summary(&name);
        Ok(analysis.events.into_iter().chain([summary]).collect())
    }
}

fn listen(engines: &Engines, recording: &Recording) -> anyhow::Result<Vec<TranscriptTurn>> {
    let (mut activity, mut recogniser) = (engines.voice_activity()?, engines.recogniser()?);
    let mut turns = Vec::new();
    let sides = [(Speaker::Caller, Some(recording.caller())), (Speaker::Callee, recording.callee())];
    for (speaker, samples) in sides.into_iter().filter_map(|(s, c)| c.map(|c| (s, c))) {
        let samples = resample(samples, recording.rate, SAMPLE_RATE);
        let heard = offline::transcribe(&samples, activity.as_mut(), recogniser.as_mut())?;
        let turn = |said: Said| TranscriptTurn { speaker, text: said.text, start_ms: Some(said.start_ms) };
        turns.extend(heard.into_iter().map(turn));
    }
    turns.sort_by_key(|turn| turn.start_ms);
    Ok(turns)
}
