//! `callward analyze`.

use std::io::{Cursor, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use super::live::Live;
use crate::classifier::{self, Classifier};
use crate::config::Config;
use crate::events::CallEvent;
use crate::media::recording::{Recording, resample};
use crate::screening::Speaker;
use crate::classifier::analysis::analyse_transcript;
use crate::screening::transcript::{self, TranscriptTurn};
use crate::speech::engines::Engines;
use crate::speech::{SAMPLE_RATE, offline};

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
    let mut desk = Desk { config, engines: None, classifier: None };
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
    engines: Option<Engines>,
    classifier: Option<Box<dyn Classifier>>,
}

impl Desk {
    fn analyse(&mut self, file: &Path) -> anyhow::Result<Vec<CallEvent>> {
        let bytes = std::fs::read(file).context("cannot be read")?;
        let turns = match bytes.starts_with(b"RIFF") || file.extension().is_some_and(|e| e.eq_ignore_ascii_case("wav")) {
            true => self.listen(Recording::read(Cursor::new(bytes))?)?,
            false => transcript::parse(&bytes)?,
        };
        if self.classifier.is_none() {
            crate::speech::prepare_runtime(&self.config.models)?;
            self.classifier = Some(classifier::load(&self.config.screening)?);
        }
        let Some(classifier) = self.classifier.as_mut() else { anyhow::bail!("no classifier") };
        let name = file.display().to_string();
        let analysis = analyse_transcript(&name, &turns, classifier.as_mut(), self.config.screening.policy())?;
        let summary = analysis.summary(&name);
        Ok(analysis.events.into_iter().chain([summary]).collect())
    }

    fn listen(&mut self, recording: Recording) -> anyhow::Result<Vec<TranscriptTurn>> {
        if self.engines.is_none() {
            self.engines = Some(Engines::load(&self.config.speech, &self.config.models)?);
        }
        let Some(engines) = self.engines.as_ref() else { anyhow::bail!("no speech engine") };
        let (mut activity, mut recogniser) = (engines.voice_activity()?, engines.recogniser()?);
        let mut turns = Vec::new();
        let sides = [(Speaker::Caller, Some(recording.caller())), (Speaker::Callee, recording.callee())];
        for (speaker, samples) in sides.into_iter().filter_map(|(s, c)| c.map(|c| (s, c))) {
            let samples = resample(samples, recording.rate, SAMPLE_RATE);
            let heard = offline::transcribe(&samples, activity.as_mut(), recogniser.as_mut())?;
            turns.extend(heard.into_iter().map(|segment| TranscriptTurn {
                speaker,
                text: segment.text,
                start_ms: Some(segment.start_ms),
            }));
        }
        turns.sort_by_key(|turn| turn.start_ms);
        Ok(turns)
    }
}
