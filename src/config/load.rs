//! Loading: TOML, then environment; every error says where and what to do.

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};

use super::Config;
use crate::sip::rsip::Uri;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there or not readable.
    #[error("{path}: cannot be read: {reason}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// It is not what a configuration may hold.
    #[error("{place}: {reason}")]
    Invalid {
        /// File and line, or the environment variable.
        place: String,
        /// What is wrong and what to write instead.
        reason: String,
    },
}

impl Config {
    /// Loads a file (none means defaults) and the environment over it.
    pub fn load(path: Option<&Path>) -> Result<Config, ConfigError> {
        let mut figment = Figment::from(Serialized::defaults(Config::default()));
        let mut text = String::new();
        if let Some(path) = path {
            text = std::fs::read_to_string(path)
                .map_err(|reason| ConfigError::Unreadable { path: path.to_path_buf(), reason })?;
            // The TOML reader knows the line of a syntax or type error; figment, which merges, does not.
            check(path, &text)?;
            figment = figment.merge(Toml::string(&text));
        }
        // The models' cache is named by commands that are not about configuration too, so unknown keys of the
        // environment are errors only below a known section.
        figment = figment.merge(Env::prefixed("CALLWARD_").split("__"));
        let config: Config = figment.extract().map_err(|error| invalid(path, &error))?;
        config.validate(path, &text)?;
        Ok(config)
    }

    fn validate(&self, path: Option<&Path>, text: &str) -> Result<(), ConfigError> {
        let fail = |key: &str, reason: String| {
            let line = text.lines().position(|l| l.trim_start().starts_with(key)).map(|n| n + 1);
            Err(ConfigError::Invalid { place: place(path, line), reason })
        };
        if self.media.port_range().is_none() {
            return fail("ports", format!("media.ports = {:?} is no range; write FIRST-LAST, both above 1023", self.media.ports));
        }
        if let Err(error) = self.screening.thresholds.validated() {
            return fail("alarm", format!("screening.thresholds: {error}"));
        }
        for line in &self.lines {
            if let Some(contact) = line.contacts.iter().find(|c| Uri::try_from(c.as_str()).is_err()) {
                return fail("contacts", format!("{contact:?} is no SIP URI; write sip:USER@HOST:PORT"));
            }
            let known = |user: &String| self.users.iter().any(|u| &u.name == user);
            if let Some(user) = line.users.iter().find(|u| !known(u)) {
                return fail("users", format!("line {:?} names the user {user:?}, whom no [[users]] entry has", line.number));
            }
        }
        if let Some(url) = self.database.url.as_ref().filter(|url| !url.starts_with("sqlite:")) {
            return fail("url", format!("database.url = {url:?}: only sqlite:///PATH is supported"));
        }
        Ok(())
    }
}

fn check(path: &Path, text: &str) -> Result<(), ConfigError> {
    toml::from_str::<Config>(text).map(drop).map_err(|error| {
        let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        ConfigError::Invalid { place: place(Some(path), line), reason: error.message().to_string() }
    })
}

fn invalid(path: Option<&Path>, error: &figment::Error) -> ConfigError {
    let key = error.path.join(".");
    let from_environment = error.metadata.as_ref().is_some_and(|m| m.name.contains("environment"));
    let place = match from_environment {
        true => format!("CALLWARD_{}", error.path.join("__").to_uppercase()),
        false => place(path, None),
    };
    ConfigError::Invalid { place, reason: format!("{key}: {}", error.kind) }
}

fn place(path: Option<&Path>, line: Option<usize>) -> String {
    let file = path.map_or("configuration".to_string(), |p| p.display().to_string());
    match line {
        Some(line) => format!("{file}:{line}"),
        None => file,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(Some(&path)).map_err(|e| e.to_string().replace(&folder.path().display().to_string(), ""))
    }

    #[test]
    fn an_empty_file_works() {
        let config = load("").unwrap();
        assert_eq!(config.lines[0].number, "*");
        assert_eq!(config.line_for("anything").unwrap().ring_timeout_s, 60);
    }

    #[test]
    fn errors_name_line_and_remedy() {
        insta::assert_snapshot!(load("[sip]\nlissten = []\n").unwrap_err(), @"/c.toml:2: unknown field `lissten`, expected one of `listen`, `advertise`, `domain`, `user_agent`, `trusted`, `session_timer`");
        insta::assert_snapshot!(load("[sip]\nlisten = [\"5060\"]\n").unwrap_err(), @"/c.toml:2: `5060` is no socket; write udp://ADDRESS:PORT or tcp://ADDRESS:PORT, as udp://0.0.0.0:5060");
        insta::assert_snapshot!(load("[media]\nports = \"9-1\"\n").unwrap_err(), @r#"/c.toml:2: media.ports = "9-1" is no range; write FIRST-LAST, both above 1023"#);
        insta::assert_snapshot!(load("[[lines]]\nusers = [\"x\"]\n").unwrap_err(), @r#"/c.toml:2: line "*" names the user "x", whom no [[users]] entry has"#);
        insta::assert_snapshot!(load("a = = b").unwrap_err(), @"/c.toml:1: string values must be quoted, expected literal string");
    }
}
