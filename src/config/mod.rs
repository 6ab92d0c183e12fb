//! The configuration: TOML and environment into validated types with sane defaults, so that an empty file works.
//!
//! Any key can be overridden from the environment: `CALLWARD_`, the sections joined by `__`, as in
//! `CALLWARD_DATABASE__URL=sqlite:///var/lib/callward/callward.db`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::screening::Level;
use crate::screening::policy::Policy;
use crate::server::media::MediaSettings;
use crate::sip::rsip::Transport;

mod load;

pub use load::ConfigError;

/// Everything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Home region (ISO 3166 code) for numbers dialled without a country code.
    pub region: String,
    /// Signalling.
    pub sip: Sip,
    /// The subscriber's lines.
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
    /// Log.
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
    /// The line that a Request-URI's user part belongs to: by its number, else the one that takes any (`*`).
    pub fn line_for(&self, called: &str) -> Option<&Line> {
        let named = self.lines.iter().find(|line| line.number.eq_ignore_ascii_case(called));
        named.or_else(|| self.lines.iter().find(|line| line.number == "*"))
    }

    /// This configuration for `callward demo`: loopback, a free port, a database in memory, and one phone.
    pub fn for_demo(mut self, phone: String) -> Config {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        self.sip.listen = vec![ListenAddr { transport: ListenTransport::Udp, address }];
        self.sip.advertise = None;
        self.lines = vec![Line { contacts: vec![phone], ..Line::default() }];
        self.users.clear();
        self.database.url = Some("sqlite::memory:".to_string());
        self
    }
}

/// Signalling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sip {
    /// Sockets, as `udp://0.0.0.0:5060`, `tcp://[::]:5060`.
    pub listen: Vec<ListenAddr>,
    /// Our address as peers outside the local network see it.
    pub advertise: Option<IpAddr>,
    /// Our domain: the realm phones authenticate in, and the host of From towards them.
    pub domain: Option<String>,
    /// What we call ourselves.
    pub user_agent: String,
    /// Addresses whose P-Asserted-Identity is believed (RFC 3325): the provider's.
    pub trusted: Vec<IpAddr>,
    /// Session timers (RFC 4028).
    pub session_timer: SessionTimer,
}

impl Default for Sip {
    fn default() -> Self {
        let listen = |transport| ListenAddr { transport, address: SocketAddr::from(([0, 0, 0, 0], 5060)) };
        Sip {
            listen: vec![listen(ListenTransport::Udp), listen(ListenTransport::Tcp)],
            advertise: None,
            domain: None,
            user_agent: concat!("callward/", env!("CARGO_PKG_VERSION")).to_string(),
            trusted: Vec::new(),
            session_timer: SessionTimer::default(),
        }
    }
}

impl Sip {
    /// Whether a peer's asserted identity is believed.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted.contains(&peer)
    }
}

/// Session timers (RFC 4028).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SessionTimer {
    /// Whether to ask for them.
    pub enabled: bool,
    /// The interval in seconds.
    pub expires_s: u32,
}

impl Default for SessionTimer {
    fn default() -> Self {
        SessionTimer { enabled: true, expires_s: 1800 }
    }
}

/// A socket to listen on, written `udp://ADDRESS:PORT` or `tcp://ADDRESS:PORT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenAddr {
    /// UDP or TCP.
    pub transport: ListenTransport,
    /// Where.
    pub address: SocketAddr,
}

/// A transport to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenTransport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

impl std::fmt::Display for ListenTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if *self == ListenTransport::Udp { "udp" } else { "tcp" })
    }
}

impl From<ListenTransport> for Transport {
    fn from(transport: ListenTransport) -> Transport {
        match transport {
            ListenTransport::Udp => Transport::Udp,
            ListenTransport::Tcp => Transport::Tcp,
        }
    }
}

impl std::str::FromStr for ListenAddr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let remedy = || format!("`{text}` is no socket; write udp://ADDRESS:PORT or tcp://ADDRESS:PORT, as udp://0.0.0.0:5060");
        let (scheme, address) = text.split_once("://").ok_or_else(remedy)?;
        let transport = match scheme {
            "udp" => ListenTransport::Udp,
            "tcp" => ListenTransport::Tcp,
            _ => return Err(remedy()),
        };
        Ok(ListenAddr { transport, address: address.parse().map_err(|_| remedy())? })
    }
}

impl Serialize for ListenAddr {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}://{}", self.transport, self.address))
    }
}

impl<'de> Deserialize<'de> for ListenAddr {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for ListenAddr {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ListenAddr".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^(udp|tcp)://.+:[0-9]+$" })
    }
}

/// A line of the subscriber.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Line {
    /// The number or name that callers dial (user part of the Request-URI); `*` takes any.
    pub number: String,
    /// Users whose registered phones ring.
    pub users: Vec<String>,
    /// Phones at fixed addresses that ring, as SIP URIs.
    pub contacts: Vec<String>,
    /// How long it rings, in seconds.
    pub ring_timeout_s: u32,
    /// Language of the warnings; default is that of the screening section.
    pub language: Option<String>,
}

impl Default for Line {
    fn default() -> Self {
        Line { number: "*".to_string(), users: vec![], contacts: vec![], ring_timeout_s: 60, language: None }
    }
}

/// A phone that may register.
#[derive(Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// User name.
    pub name: String,
    /// Password.
    pub password: String,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

/// RTP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Media {
    /// Address to bind; default is all.
    pub bind: Option<IpAddr>,
    /// First and last UDP port, as `10000-19999`.
    pub ports: String,
    /// Media threads.
    pub threads: usize,
    /// A call ends when a side that should send says nothing for so many seconds.
    pub silence_timeout_s: u64,
}

impl Default for Media {
    fn default() -> Self {
        Media { bind: None, ports: "10000-19999".to_string(), threads: 1, silence_timeout_s: 300 }
    }
}

impl Media {
    /// The port range; checked when the configuration is loaded.
    pub fn port_range(&self) -> Option<(u16, u16)> {
        let (first, last) = self.ports.split_once('-')?;
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (first >= 1024 && last > first).then_some((first, last))
    }

    /// For the media engine.
    pub fn settings(&self) -> MediaSettings {
        MediaSettings {
            ports: self.port_range().unwrap_or((10_000, 19_999)),
            threads: self.threads,
            silent_after: Duration::from_secs(self.silence_timeout_s),
        }
    }
}

/// A speech recogniser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Moonshine tiny, English: fast.
    Moonshine,
    /// Whisper.
    Whisper,
}

/// Speech recognition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Speech {
    /// Which recogniser.
    pub engine: Engine,
    /// Which Whisper model.
    pub whisper_model: String,
    /// Recogniser workers.
    pub workers: usize,
    /// Threads of each worker.
    pub threads: usize,
    /// Segments that may wait; beyond it the least urgent are given up.
    pub queue: usize,
    /// Whether the callee is listened to as well.
    pub both_sides: bool,
}

impl Default for Speech {
    fn default() -> Self {
        Speech {
            engine: Engine::Moonshine,
            whisper_model: "whisper-tiny.en".to_string(),
            workers: 1,
            threads: 1,
            queue: 64,
            both_sides: true,
        }
    }
}

/// Scam screening.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Screening {
    /// Whether calls are listened to at all.
    pub enabled: bool,
    /// Folder of the classifier; default is the one that comes with Callward.
    pub classifier: Option<PathBuf>,
    /// Risk of each level, 0..=1.
    #[schemars(with = "std::collections::BTreeMap<String, f32>")]
    pub thresholds: Policy,
    /// Folder of more prompts: `LANGUAGE/NAME.wav`.
    pub prompts: Option<PathBuf>,
    /// How much quieter the caller becomes under a warning, in dB.
    pub duck_db: f32,
    /// Language of the warnings.
    pub language: String,
    /// The mildest level that is spoken: `caution` or `alarm`.
    #[schemars(with = "String")]
    pub warn_level: Level,
}

impl Default for Screening {
    fn default() -> Self {
        Screening {
            enabled: true,
            classifier: None,
            thresholds: Policy::default(),
            prompts: None,
            duck_db: 24.0,
            language: "en".to_string(),
            warn_level: Level::Caution,
        }
    }
}

impl Screening {
    /// The thresholds.
    pub fn policy(&self) -> Policy {
        self.thresholds
    }
}

/// Where numbers are remembered.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// `sqlite:///PATH`; default is a file in the user's data folder.
    pub url: Option<String>,
}

/// Model weights.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Models {
    /// Folder of the cache; default is `callward/models` in the user's cache folder.
    pub cache: Option<PathBuf>,
    /// A manifest in place of the built-in one.
    pub manifest: Option<PathBuf>,
}

/// Log format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// JSON lines.
    Json,
}

/// Log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Filter, as `info` or `callward=debug`.
    pub level: String,
    /// Format.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Log { level: "info".to_string(), format: LogFormat::Text }
    }
}

/// The event stream.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Events {
    /// Append events to this file.
    pub file: Option<PathBuf>,
    /// Write events to standard output.
    pub stdout: bool,
}
