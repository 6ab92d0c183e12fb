//! `callward config`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::config::{Config, ConfigError};

#[derive(Debug, clap::Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ConfigCommand {
    /// Check a configuration file, with the environment laid over it.
    Check {
        /// The file.
        file: PathBuf,
        /// Print the outcome as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON schema of a configuration file.
    Schema {
        /// The schema is JSON in any case.
        #[arg(long, hide = true)]
        json: bool,
    },
}

pub(super) fn run(args: ConfigArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        ConfigCommand::Schema { .. } => {
            println!("{}", serde_json::to_string_pretty(&schemars::schema_for!(Config))?);
            Ok(ExitCode::SUCCESS)
        }
        ConfigCommand::Check { file, json } => {
            let checked = Config::load(Some(&file));
            match json {
                true => println!("{}", outcome(&file, &checked)),
                false => report(&file, &checked),
            }
            Ok(if checked.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

fn report(file: &Path, checked: &Result<Config, ConfigError>) {
    match checked {
        Ok(config) => {
            println!("{}: valid", file.display());
            for note in config.notes() {
                println!("note: {note}");
            }
        }
        Err(error) => eprintln!("{error}"),
    }
}

fn outcome(file: &Path, checked: &Result<Config, ConfigError>) -> serde_json::Value {
    let findings = match checked {
        Ok(_) => serde_json::json!([]),
        Err(ConfigError::Invalid(findings)) => serde_json::json!(findings),
        Err(error) => serde_json::json!([{ "file": file, "key": "", "message": error.to_string() }]),
    };
    let notes = checked.as_ref().map(Config::notes).unwrap_or_default();
    serde_json::json!({ "file": file, "valid": checked.is_ok(), "findings": findings, "notes": notes })
}
