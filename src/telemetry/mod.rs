//! The log. rsipstack writes whole messages, with numbers and addresses in them, at `info`; whoever asks for `info` does not
//! ask for that. It is held at `warn` unless the filter names it, so that personal data never stands in the log above `debug`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Crates that say too much, or too much about people, at the level of the rest.
const QUIET: [&str; 3] = ["rsipstack", "sqlx", "ort"];

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter makes no sense.
    #[error(
        "{level:?} is no log filter ({reason}); write a level such as info, or a filter such as info,callward=debug"
    )]
    Filter {
        /// As configured.
        level: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A log was set up before.
    #[error("the log was set up before")]
    AlreadySet,
}

/// The filter that a configuration asks for.
pub fn filter(log: &Log) -> Result<EnvFilter, LogError> {
    let refused = |reason: String| LogError::Filter { level: log.level.clone(), reason };
    let level = log.level.trim();
    // A single word that is no level would be taken as the name of a module, and silence everything else.
    let bare = level.split(',').find(|part| !part.contains('=') && part.trim().parse::<tracing::Level>().is_err());
    if let Some(part) = bare.filter(|part| !part.trim().eq_ignore_ascii_case("off")) {
        return Err(refused(format!("{:?} is no level", part.trim())));
    }
    let quiet = QUIET.iter().filter(|name| !level.contains(**name)).map(|name| format!(",{name}=warn"));
    let directives = quiet.fold(level.to_string(), |all, one| all + &one);
    EnvFilter::try_new(directives).map_err(|error| refused(error.to_string()))
}

/// Sets the log up for the whole process; it goes to standard error.
pub fn init(log: &Log) -> Result<(), LogError> {
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter(log)?).with_writer(std::io::stderr).with_ansi(colours);
    let set = match log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    set.map_err(|_| LogError::AlreadySet)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn directives(level: &str) -> Result<String, String> {
        let log = Log { level: level.to_string(), ..Log::default() };
        filter(&log).map(|filter| filter.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_names_people_stays_out_of_the_log_unless_it_is_asked_for_by_name() {
        for level in ["info", "debug", "trace", "warn,callward=debug"] {
            assert!(directives(level).unwrap().contains("rsipstack=warn"), "{level}");
        }
        assert!(directives("info,rsipstack=info").unwrap().contains("rsipstack=info"));
    }

    #[test]
    fn a_wrong_filter_is_refused() {
        assert_eq!(
            directives("inof").unwrap_err(),
            "\"inof\" is no log filter (\"inof\" is no level); write a level such as info, or a filter such as info,callward=debug"
        );
        assert!(directives("callward=loud").is_err());
        assert!(directives("").is_err());
    }
}
