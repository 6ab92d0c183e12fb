//! `callward serve`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::AsyncWriteExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast;
use tracing::{info, warn};

use crate::config::Config;
use crate::events::CallEvent;
use crate::server::Service;

/// How long calls in progress may go on after the first request to stop.
const DRAIN: Duration = Duration::from_secs(30);

pub(super) async fn run(config: Config) -> anyhow::Result<ExitCode> {
    let (to_stdout, file) = (config.events.stdout, config.events.file.clone());
    for note in config.notes() {
        warn!("{note}");
    }
    let service = Service::start(config).await?;
    if to_stdout {
        tokio::spawn(write_events(service.events(), tokio::io::stdout()));
    }
    if let Some(path) = file {
        let opened = tokio::fs::OpenOptions::new().create(true).append(true).open(&path).await;
        let file = opened.with_context(|| format!("cannot write events to {}", path.display()))?;
        tokio::spawn(write_events(service.events(), file));
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    info!(calls = service.calls(), "stopping; a second signal ends calls at once");
    tokio::select! {
        () = service.drain(DRAIN) => {}
        _ = terminate.recv() => service.stop().await,
        _ = interrupt.recv() => service.stop().await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn write_events(mut events: broadcast::Receiver<CallEvent>, mut out: impl AsyncWriteExt + Unpin) {
    loop {
        let event = match events.recv().await {
            Ok(event) => event,
            Err(broadcast::error::RecvError::Lagged(lost)) => {
                warn!(lost, "events lost: the writer is too slow");
                continue;
            }
            Err(broadcast::error::RecvError::Closed) => return,
        };
        let Ok(mut line) = serde_json::to_vec(&event) else { continue };
        line.push(b'\n');
        if out.write_all(&line).await.is_err() || out.flush().await.is_err() {
            warn!("events can no longer be written");
            return;
        }
    }
}
