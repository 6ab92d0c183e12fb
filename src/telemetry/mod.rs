//! The log. rsipstack logs whole messages, with numbers in them, at info; it is held at warn so that personal data never
//! stands in the log above debug.

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("log.level = {level:?} is no filter: {reason}; write a level such as info, or callward=debug")]
pub struct LogError {
    level: String,
    reason: String,
}

/// Sets the log up; it goes to standard error.
pub fn init(log: &Log) -> Result<(), LogError> {
    let failed = |reason: String| LogError { level: log.level.clone(), reason };
    let own = log.level.contains("rsipstack");
    let level = if own { log.level.clone() } else { format!("{},rsipstack=warn,ort=warn,sqlx=warn", log.level) };
    let filter = EnvFilter::try_new(level).map_err(|e| failed(e.to_string()))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let set = match log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    set.map_err(|e| failed(e.to_string()))
}
