//! The command line. Exit status: 0 done, 1 failed, 2 wrong use.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Config, Log};

mod analyze;
mod config;
mod demo;
mod live;
mod models;
mod reputation;
mod serve;

/// Call screening for a telephone line.
#[derive(Debug, Parser)]
#[command(name = "callward", version, about, long_about = None, propagate_version = true)]
struct Cli {
    /// Configuration file (TOML). Any key can also be set as CALLWARD_SECTION__KEY in the environment.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service until it is told to stop.
    Serve,
    /// Put a real call through the whole service on this machine and show what happens.
    Demo(demo::DemoArgs),
    /// Screen recordings or transcripts as a live call would be.
    Analyze(analyze::AnalyzeArgs),
    /// List, fetch and verify the model weights.
    Models(models::ModelsArgs),
    /// Look up and report numbers.
    Reputation(reputation::ReputationArgs),
    /// Check a configuration file, or print what one may hold.
    Config(config::ConfigArgs),
}

/// Parses the arguments, runs the command and returns its exit status.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("callward: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    // These two must work when the configuration does not.
    if let Command::Config(args) = cli.command {
        return config::run(args);
    }
    let config = Config::load(cli.config.as_deref())?;
    if let Command::Models(args) = cli.command {
        return models::run(args, &config);
    }
    let mut log = config.log.clone();
    // People read what the other commands print; unless they ask for it, a log does not stand between the lines.
    if !matches!(cli.command, Command::Serve) && log == Log::default() {
        log.level = "warn".to_string();
    }
    crate::telemetry::init(&log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match cli.command {
            Command::Serve => serve::run(config).await,
            Command::Demo(args) => demo::run(args, config).await,
            Command::Analyze(args) => analyze::run(args, config),
            Command::Reputation(args) => reputation::run(args, &config).await,
            Command::Models(_) | Command::Config(_) => Ok(ExitCode::SUCCESS),
        }
    })
}
