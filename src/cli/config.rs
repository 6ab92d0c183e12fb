//! `callward config`.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::Config;

#[derive(Debug, clap::Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ConfigCommand {
    /// Check a configuration file with the environment over it.
    Check {
        /// The file.
        file: PathBuf,
        /// Print the outcome as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON schema of a configuration file.
    Schema,
}

pub(super) fn run(args: ConfigArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        ConfigCommand::Schema => {
            println!("{}", serde_json::to_string_pretty(&schemars::schema_for!(Config))?);
            Ok(ExitCode::SUCCESS)
        }
        ConfigCommand::Check { file, json } => {
            let checked = Config::load(Some(&file));
            let problem = checked.err().map(|error| error.to_string());
            match (json, &problem) {
                (true, _) => println!("{}", serde_json::json!({ "file": file, "valid": problem.is_none(), "problem": problem })),
                (false, Some(problem)) => eprintln!("{problem}"),
                (false, None) => println!("{}: valid", file.display()),
            }
            Ok(if problem.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        }
    }
}
