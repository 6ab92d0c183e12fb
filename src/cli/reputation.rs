//! `callward reputation`.

use std::process::ExitCode;

use chrono::Utc;

use crate::config::Config;
use crate::reputation::{Number, Report, ReportKind, ReportSource, ReputationStore, Standing};
use crate::store::Store;

#[derive(Debug, clap::Args)]
pub(super) struct ReputationArgs {
    #[command(subcommand)]
    command: ReputationCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ReputationCommand {
    /// What is known of a number.
    Lookup {
        /// The number, in any spelling.
        number: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Report a number.
    Report {
        /// The number, in any spelling.
        number: String,
        /// What it is.
        #[arg(long)]
        kind: ReportKind,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// How much is kept.
    Stats {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(args: ReputationArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let store = Store::open(&config.database).await?;
    match args.command {
        ReputationCommand::Lookup { number, json } => {
            let number = read(&number, config)?;
            let standing = store.standing(&number).await?;
            print(&number, standing, json);
        }
        ReputationCommand::Report { number, kind, json } => {
            let number = read(&number, config)?;
            let call_id = format!("owner-{:016x}", rand::random::<u64>());
            let source = ReportSource::Owner;
            store.record_report(&Report { call_id, number: number.clone(), kind, source, at: Utc::now() }).await?;
            let standing = store.standing(&number).await?;
            print(&number, standing, json);
        }
        ReputationCommand::Stats { json } => {
            let totals = store.totals().await?;
            match json {
                true => println!("{}", serde_json::to_string(&totals)?),
                false => println!("{} numbers, {} calls, {} reports", totals.numbers, totals.calls, totals.reports),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn read(text: &str, config: &Config) -> anyhow::Result<Number> {
    match Number::of_caller(Some(text), &config.region) {
        Number::Withheld => anyhow::bail!("no number given; write it as +15550100 or as dialled at home"),
        number => Ok(number),
    }
}

fn print(number: &Number, standing: Option<Standing>, json: bool) {
    let name = number.key().unwrap_or_default();
    match (json, standing) {
        (true, standing) => println!("{}", serde_json::json!({ "number": name, "standing": standing })),
        (false, None) => println!("{name}: nothing known"),
        (false, Some(s)) => println!(
            "{name}: {} calls, {} scam verdicts, {} scam reports, {} legitimate reports",
            s.calls, s.scam_verdicts, s.scam_reports, s.legitimate_reports
        ),
    }
}
