//! SQLite: one file, no server. Write-ahead log and full sync, so that what was acknowledged survives a kill or a power
//! cut and the file opens afterwards.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

use crate::config::Database;
use crate::reputation::{CallRecord, Number, Report, ReputationStore, Standing, StoreError, Totals};
use crate::screening::Verdict;

/// How long a writer waits for another process's lock.
const BUSY: Duration = Duration::from_secs(5);

/// An open database.
#[derive(Debug, Clone)]
pub struct Store {
    pool: SqlitePool,
}

impl Store {
    /// Opens the configured database, makes it if it is not there, and brings its schema up to date.
    pub async fn open(database: &Database) -> Result<Store, StoreError> {
        let url = database.url.clone().unwrap_or_else(default_url);
        let failed = |reason: String| StoreError::Open { url: url.clone(), reason };
        let memory = url.contains(":memory:");
        let options = SqliteConnectOptions::from_str(&url).map_err(|e| failed(e.to_string()))?;
        if let Some(folder) = options.get_filename().parent().filter(|_| !memory) {
            std::fs::create_dir_all(folder).map_err(|e| failed(e.to_string()))?;
        }
        let options = options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY)
            .foreign_keys(true);
        // A database in memory lives in its one connection.
        let connections = if memory { 1 } else { 4 };
        let pool = SqlitePoolOptions::new().max_connections(connections).min_connections(1).idle_timeout(None);
        let pool = pool.max_lifetime(None).connect_with(options).await.map_err(|e| failed(e.to_string()))?;
        sqlx::migrate!("src/store/migrations").run(&pool).await.map_err(|e| failed(e.to_string()))?;
        Ok(Store { pool })
    }
}

/// A file in the user's data folder.
fn default_url() -> String {
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/share"));
    let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).or_else(home).unwrap_or_else(|| PathBuf::from("."));
    format!("sqlite://{}", data.join("callward/callward.db").display())
}

fn failed(error: sqlx::Error) -> StoreError {
    StoreError::Query(error.to_string())
}

fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Scam => "scam",
        Verdict::Suspicious => "suspicious",
        Verdict::Clean => "clean",
        Verdict::Unscreened => "unscreened",
    }
}

/// The JSON name of a unit variant.
fn word(value: impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_string)).unwrap_or_default()
}

#[async_trait]
impl ReputationStore for Store {
    async fn standing(&self, number: &Number) -> Result<Option<Standing>, StoreError> {
        let Some(key) = number.key() else { return Ok(None) };
        let query = "SELECT (SELECT COUNT(*) FROM calls WHERE number = $1) AS calls,
            (SELECT COUNT(*) FROM calls WHERE number = $1 AND verdict = 'scam') AS scam_verdicts,
            (SELECT COUNT(*) FROM reports WHERE number = $1 AND kind = 'scam') AS scam_reports,
            (SELECT COUNT(*) FROM reports WHERE number = $1 AND kind = 'legitimate') AS legitimate_reports";
        let row = sqlx::query(query).bind(key).fetch_one(&self.pool).await.map_err(failed)?;
        let count = |column: &str| row.try_get::<i64, _>(column).map(|n| n as u32).map_err(failed);
        let standing = Standing {
            calls: count("calls")?,
            scam_verdicts: count("scam_verdicts")?,
            scam_reports: count("scam_reports")?,
            legitimate_reports: count("legitimate_reports")?,
        };
        Ok((standing != Standing::default()).then_some(standing))
    }

    async fn record_call(&self, call: &CallRecord) -> Result<(), StoreError> {
        let query = "INSERT INTO calls (call_id, number, verified, attestation, verdict, risk, started_at, duration_ms)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (call_id) DO NOTHING";
        let query = sqlx::query(query).bind(&call.call_id).bind(call.number.key()).bind(call.attestation == "A");
        let query = query.bind(&call.attestation).bind(verdict_name(call.verdict)).bind(call.risk);
        let query = query.bind(call.started_at.to_rfc3339()).bind(call.duration_ms as i64);
        query.execute(&self.pool).await.map(drop).map_err(failed)
    }

    async fn record_report(&self, report: &Report) -> Result<(), StoreError> {
        let Some(key) = report.number.key() else { return Ok(()) };
        let query = "INSERT INTO reports (call_id, number, kind, source, reported_at)
            VALUES ($1, $2, $3, $4, $5) ON CONFLICT (call_id, kind) DO NOTHING";
        let query = sqlx::query(query).bind(&report.call_id).bind(key).bind(word(report.kind));
        let query = query.bind(word(report.source)).bind(report.at.to_rfc3339());
        query.execute(&self.pool).await.map(drop).map_err(failed)
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        let query = "SELECT (SELECT COUNT(*) FROM (SELECT number FROM calls WHERE number IS NOT NULL UNION
            SELECT number FROM reports)) AS numbers, (SELECT COUNT(*) FROM calls) AS calls,
            (SELECT COUNT(*) FROM reports) AS reports";
        let row = sqlx::query(query).fetch_one(&self.pool).await.map_err(failed)?;
        let count = |column: &str| row.try_get::<i64, _>(column).map(|n| n as u64).map_err(failed);
        Ok(Totals { numbers: count("numbers")?, calls: count("calls")?, reports: count("reports")? })
    }
}
