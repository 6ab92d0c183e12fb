//! `callward demo`: the whole service on loopback with a temporary database, and a real SIP call through it.
//!
//! Two phones made from the service's own SIP transport stand at either end: one calls the line and plays a
//! recording in real time, the other answers. Both record what they hear, so anyone can check that the warning
//! reached one ear and not the other.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc};

use crate::config::Config;
use crate::events::CallEvent;
use crate::media::recording::{Recording, resample};
use crate::server::{ServerError, Service};

mod phone;
mod sound;

pub use phone::{Phone, PhoneError};
pub use sound::{Heard, Player};

/// Telephone samples a second.
pub const TELEPHONE_RATE: u32 = 8_000;
/// After the recording ends the line stays open so long, for a warning that is still playing.
const AFTER_THE_END: Duration = Duration::from_secs(4);

/// What to play and where to write what was heard.
pub struct Demo {
    /// The call: mono is the caller; stereo is caller left, callee right.
    pub audio: Recording,
    /// The number it comes from.
    pub from: String,
    /// Where to write what the callee heard.
    pub record_callee: Option<PathBuf>,
    /// Where to write what the caller heard.
    pub record_caller: Option<PathBuf>,
}

/// Why a demonstration failed.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The service did not start.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// A phone of the demonstration failed.
    #[error(transparent)]
    Phone(#[from] PhoneError),
    /// A recording could not be written.
    #[error("cannot write {path}: {reason}")]
    Record {
        /// Where to.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

impl Demo {
    /// Runs the call; every event is passed to `show` as it comes. Ends by itself when the recording does.
    pub async fn run(self, config: Config, mut show: impl FnMut(&CallEvent)) -> Result<(), DemoError> {
        let callee = Phone::start().await?;
        let config = config.for_demo(format!("sip:callee@{}", callee.address()));
        let service = Service::start(config).await?;
        service.ready().await?;
        let mut events = service.events();
        let line = service.sip_address().ok_or(ServerError::NoSipSocket)?;
        let mut call = tokio::spawn(place_call(self, callee, line));
        let (mut outcome, mut ended) = (None, false);
        while outcome.is_none() || !ended {
            tokio::select! {
                event = events.recv() => match event {
                    Ok(event) => {
                        ended |= matches!(event, CallEvent::CallEnded { .. });
                        show(&event);
                    }
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => break,
                },
                done = &mut call, if outcome.is_none() => {
                    let done = done.unwrap_or(Err(PhoneError::Stopped.into()));
                    // A call that never was has no end to wait for.
                    ended |= done.is_err();
                    outcome = Some(done);
                }
            }
        }
        service.stop().await;
        outcome.unwrap_or(Err(PhoneError::Stopped.into()))
    }
}

async fn place_call(demo: Demo, callee: Phone, line: SocketAddr) -> Result<(), DemoError> {
    let at_telephone_rate = |samples: &[f32]| resample(samples, demo.audio.rate, TELEPHONE_RATE);
    let caller_speech = at_telephone_rate(demo.audio.caller());
    let callee_speech = demo.audio.callee().map(at_telephone_rate).unwrap_or_default();
    let caller = Phone::start().await?;
    let (answered, mut answers) = mpsc::channel(1);
    let answering = tokio::spawn(async move { answered.send(callee.answer(callee_speech).await).await });
    let mut talk = caller.call(&format!("sip:line@{line}"), &demo.from, caller_speech).await?;
    let mut other = answers.recv().await.ok_or(PhoneError::Stopped)??;
    talk.played().await;
    tokio::time::sleep(AFTER_THE_END).await;
    talk.hang_up().await;
    other.wait_for_bye().await;
    let _ = answering.await;
    for (path, heard) in [(&demo.record_callee, other.heard()), (&demo.record_caller, talk.heard())] {
        if let Some(path) = path {
            let failed = |reason: String| DemoError::Record { path: path.clone(), reason };
            let file = std::fs::File::create(path).map_err(|e| failed(e.to_string()))?;
            let file = std::io::BufWriter::new(file);
            crate::media::recording::write(file, TELEPHONE_RATE, &heard).map_err(|e| failed(e.to_string()))?;
        }
    }
    Ok(())
}
