//! The configuration: TOML and environment into validated types with sane defaults, so that an empty file works.
//!
//! Any key can be overridden from the environment: `CALLWARD_`, the sections joined by `__`, as in
//! `CALLWARD_DATABASE__URL=sqlite:///var/lib/callward/callward.db`. A value that is read here has been checked here: nothing
//! behind it needs to ask again whether a port range is upside down. No error may print a password.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reputation::Number;

mod check;
mod error;
mod load;
mod media;
mod output;
mod screening;
mod sip;
mod storage;
mod subscriber;
#[cfg(test)]
mod tests;
mod wording;

pub use error::{ConfigError, Finding, Origin, ValueError};
pub use media::{Media, PortRange};
pub use output::{Events, Log, LogFormat};
pub use screening::{Engine, Screening, Speech};
pub use sip::{ListenAddr, ListenTransport, Network, SessionTimer, Sip};
pub use storage::{Database, Models};
pub use subscriber::{Line, User};

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Home country (ISO 3166-1 alpha-2, as `US` or `GB`): national numbers are read as its.
    pub region: String,
    /// Signalling.
    pub sip: Sip,
    /// The subscriber's lines. Without any, one line takes every call and rings every phone.
    pub lines: Vec<Line>,
    /// The phones that may register.
    pub users: Vec<User>,
    /// RTP.
    pub media: Media,
    /// Speech recognition.
    pub speech: Speech,
    /// Scam screening.
    pub screening: Screening,
    /// Where numbers are remembered.
    pub database: Database,
    /// Model weights.
    pub models: Models,
    /// The log, on standard error.
    pub log: Log,
    /// The event stream.
    pub events: Events,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            region: "US".to_string(),
            sip: Sip::default(),
            lines: vec![Line::default()],
            users: Vec::new(),
            media: Media::default(),
            speech: Speech::default(),
            screening: Screening::default(),
            database: Database::default(),
            models: Models::default(),
            log: Log::default(),
            events: Events::default(),
        }
    }
}

impl Config {
    /// The line that a Request-URI's user part belongs to: by its name, else by the telephone number both stand for, else
    /// the one that takes any (`*`).
    pub fn line_for(&self, called: &str) -> Option<&Line> {
        let called = called.split(';').next().unwrap_or_default();
        let with = |wanted: &dyn Fn(&str) -> bool| self.lines.iter().find(|l| l.number.iter().any(|n| wanted(n)));
        let dialled = Number::of_caller(Some(called), &self.region);
        with(&|number| number.eq_ignore_ascii_case(called))
            .or_else(|| {
                let same = |number: &str| Number::of_caller(Some(number), &self.region) == dialled;
                dialled.e164().and_then(|_| with(&same))
            })
            .or_else(|| with(&|number| number == Line::ANY))
    }

    /// This configuration for `callward demo`: loopback, a free port, a database in memory, and one phone.
    pub fn for_demo(mut self, phone: String) -> Config {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        self.sip.listen = vec![ListenAddr { transport: ListenTransport::Udp, address }];
        self.sip.advertise = None;
        self.media.bind = None;
        self.lines = vec![Line { contacts: vec![phone], ..Line::default() }];
        self.users.clear();
        self.database.url = Some("sqlite::memory:".to_string());
        self
    }

    /// What works but is probably not what its owner wants, in sentences that say what to do.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.users.is_empty() && self.lines.iter().all(|line| line.contacts.is_empty()) {
            notes.push(
                "no phone can ring: add a [[users]] entry for a phone that registers, or `contacts` to a line".into(),
            );
        }
        for user in self.users.iter().filter(|user| user.has_placeholder_password()) {
            notes.push(format!("the password of user {:?} is the example's; choose your own", user.name));
        }
        if !self.screening.enabled {
            notes.push("calls are not screened: `screening.enabled` is false".into());
        }
        notes
    }

    /// Fills in what follows from the rest: a line that names no phone rings them all.
    fn complete(mut self) -> Config {
        let everyone: Vec<String> = self.users.iter().map(|user| user.name.clone()).collect();
        for line in self.lines.iter_mut().filter(|line| line.users.is_empty() && line.contacts.is_empty()) {
            line.users.clone_from(&everyone);
        }
        self
    }
}
