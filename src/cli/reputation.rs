//! `callward reputation`.

use std::process::ExitCode;

use chrono::Utc;
use serde_json::json;

use crate::config::Config;
use crate::reputation::{Number, Recorded, Report, ReportKind, ReputationStore, Standing};
use crate::store::Store;

/// Exit status of wrong use, as clap's own.
const WRONG_USE: u8 = 2;

#[derive(Debug, clap::Args)]
pub(super) struct ReputationArgs {
    #[command(subcommand)]
    command: ReputationCommand,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum ReputationCommand {
    /// What is known of a number.
    Lookup {
        /// The number, as +15550100 or as dialled at home.
        number: String,
    },
    /// Say what a number is. Said again, it changes nothing.
    Report {
        /// The number, as +15550100 or as dialled at home.
        number: String,
        /// What it is.
        #[arg(long)]
        kind: KindArg,
    },
    /// How much is remembered.
    Stats,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum KindArg {
    /// Calls from it are a scam.
    Scam,
    /// Calls from it are none.
    Legitimate,
}

impl From<KindArg> for ReportKind {
    fn from(kind: KindArg) -> ReportKind {
        match kind {
            KindArg::Scam => ReportKind::Scam,
            KindArg::Legitimate => ReportKind::Legitimate,
        }
    }
}

pub(super) async fn run(args: ReputationArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let number = match &args.command {
        ReputationCommand::Stats => None,
        ReputationCommand::Lookup { number: text } | ReputationCommand::Report { number: text, .. } => {
            let number = Number::of_caller(Some(text), &config.region);
            if matches!(number.kind(), "withheld" | "invalid") {
                eprintln!("callward: {text:?} is no telephone number; write it as +15550100 or as dialled at home");
                return Ok(ExitCode::from(WRONG_USE));
            }
            Some(number)
        }
    };
    let store = Store::open(&config.database).await?;
    match (args.command, number) {
        (ReputationCommand::Report { kind, .. }, Some(number)) => {
            let report = Report::of_number(number.clone(), kind.into(), Utc::now());
            let recorded = store.record_report(&report).await?;
            let standing = store.standing(&number).await?;
            print_standing(&number, standing.as_ref(), Some(recorded), args.json);
        }
        (_, Some(number)) => print_standing(&number, store.standing(&number).await?.as_ref(), None, args.json),
        (_, None) => print_totals(&store, args.json).await?,
    }
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

fn print_standing(number: &Number, standing: Option<&Standing>, recorded: Option<Recorded>, json: bool) {
    if json {
        let mut object = json!({ "number": number.to_string(), "kind": number.kind(), "standing": standing });
        if let Some(recorded) = recorded {
            object["recorded"] = json!(recorded == Recorded::New);
        }
        return println!("{object}");
    }
    match recorded {
        Some(Recorded::New) => println!("{number}: report kept"),
        Some(Recorded::Already) => println!("{number}: you reported this before"),
        None => {}
    }
    match standing {
        None => println!("{number}: nothing is known"),
        Some(s) => println!(
            "{number}: {}, {}, {}, {}",
            counted(u64::from(s.calls), "call"),
            counted(u64::from(s.scam_verdicts), "scam verdict"),
            counted(u64::from(s.scam_reports), "scam report"),
            counted(u64::from(s.legitimate_reports), "legitimate report"),
        ),
    }
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

async fn print_totals(store: &Store, json: bool) -> anyhow::Result<()> {
    let t = store.totals().await?;
    if json {
        println!("{}", serde_json::to_string(&t)?);
        return Ok(());
    }
    println!("{}, {}", counted(t.numbers, "number"), counted(t.calls, "call"));
    println!("verdicts: {} scam, {} suspicious, {} clean, {} unscreened", t.scam, t.suspicious, t.clean, t.unscreened);
    println!("reports: {} scam, {} legitimate", t.scam_reports, t.legitimate_reports);
    Ok(())
}
