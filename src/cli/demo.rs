//! `callward demo`.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use super::live::Live;
use crate::config::Config;
use crate::demo::Demo;
use crate::media::recording::Recording;

/// The call that is played when none is given.
const SAMPLE: &[u8] = include_bytes!("../../tests/samples/scam-microsoft.wav");

#[derive(Debug, clap::Args)]
pub(super) struct DemoArgs {
    /// The call to play: mono is the caller; stereo is caller left, callee right. Default: a sample scam call.
    #[arg(long, value_name = "WAV")]
    audio: Option<PathBuf>,
    /// The caller's number.
    #[arg(long, value_name = "E164", default_value = "+15550100")]
    from: String,
    /// Write what the callee heard.
    #[arg(long, value_name = "WAV")]
    record_callee: Option<PathBuf>,
    /// Write what the caller heard.
    #[arg(long, value_name = "WAV")]
    record_caller: Option<PathBuf>,
    /// Print the events as JSON lines.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: DemoArgs, config: Config) -> anyhow::Result<ExitCode> {
    let audio = match &args.audio {
        Some(path) => {
            let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            Recording::read(bytes).with_context(|| path.display().to_string())?
        }
        None => Recording::read(SAMPLE)?,
    };
    let demo = Demo { audio, from: args.from, record_callee: args.record_callee, record_caller: args.record_caller };
    let mut out = std::io::stdout();
    let mut live = Live::new(out.is_terminal() && std::env::var_os("NO_COLOR").is_none());
    demo.run(config, |event| {
        let text = match args.json {
            true => serde_json::to_string(event).map(|line| line + "\n").unwrap_or_default(),
            false => live.show(event),
        };
        // A closed pipe ends the reading, not the call.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    })
    .await?;
    Ok(ExitCode::SUCCESS)
}
