//! Reputation in one SQLite file, the database of a home.
//!
//! Write-ahead logging with full synchronisation: what was acknowledged survives kill -9 and a power cut, and a look-up
//! never waits for a writer. Each write is a single statement, so there is nothing to leave half done.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row, error::DatabaseError};

use crate::config::Database;
use crate::reputation::{CallRecord, Number, Recorded, Report, ReputationStore, Standing, StoreError, Totals};
use crate::screening::Verdict;

static MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations");

/// Connections to the file: look-ups in parallel, and one writer at a time whatever the number (SQLite's rule).
const CONNECTIONS: u32 = 4;
/// How long a writer waits for another process that writes.
const BUSY: Duration = Duration::from_secs(5);
/// How long an operation waits for a connection.
const ACQUIRE: Duration = Duration::from_secs(5);
/// Two processes that begin at once may both try to set up the file; the one that comes second finds it done.
const SET_UP_ATTEMPTS: usize = 5;
/// SQLite's primary result codes (sqlite.org/rescode.html).
const SQLITE_CORRUPT: u32 = 11;
const SQLITE_NOTADB: u32 = 26;

/// The SQLite store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pool: SqlitePool,
    path: PathBuf,
}

impl Store {
    /// Opens the database, creates it and its folder if they are missing, and brings its schema up to date.
    pub async fn open(database: &Database) -> Result<Store, StoreError> {
        let url = database.url();
        let options = options(&url)?;
        let path = options.get_filename().to_path_buf();
        let in_memory = is_in_memory(&url);
        if !in_memory {
            create_privately(&path).map_err(|error| unavailable(&path, error))?;
        }
        let mut attempt = 1;
        loop {
            match set_up(options.clone(), &path, in_memory).await {
                Err(StoreError::Unavailable { .. }) if attempt < SET_UP_ATTEMPTS => {
                    attempt += 1;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                pool => return pool.map(|pool| Store { pool, path }),
            }
        }
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Ends all connections, so that the write-ahead log is folded into the file.
    pub async fn close(self) {
        self.pool.close().await;
    }

    fn failed(&self, error: sqlx::Error) -> StoreError {
        corruption(&self.path, &error).unwrap_or_else(|| StoreError::Failed(error.to_string()))
    }
}

fn is_in_memory(url: &str) -> bool {
    url.contains(":memory:") || url.contains("mode=memory")
}

fn options(url: &str) -> Result<SqliteConnectOptions, StoreError> {
    let unusable = |reason: &str| StoreError::Url { url: url.to_string(), reason: reason.to_string() };
    if !url.starts_with("sqlite:") {
        return Err(unusable("only SQLite is supported yet"));
    }
    let options = SqliteConnectOptions::from_str(url).map_err(|error| unusable(&error.to_string()))?;
    if options.get_filename().as_os_str().is_empty() {
        return Err(unusable("it names no file"));
    }
    Ok(options
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY))
}

/// Who calls whom is nobody else's business: the file is readable by its owner only, and its log files inherit that.
fn create_privately(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    std::fs::OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path).map(drop)
}

async fn set_up(options: SqliteConnectOptions, path: &Path, in_memory: bool) -> Result<SqlitePool, StoreError> {
    let pool = match in_memory {
        // Each connection to memory would be a database of its own, gone when it closes.
        true => SqlitePoolOptions::new().max_connections(1).min_connections(1).idle_timeout(None).max_lifetime(None),
        false => SqlitePoolOptions::new().max_connections(CONNECTIONS),
    };
    let pool = pool.acquire_timeout(ACQUIRE).connect_with(options).await;
    let pool = pool.map_err(|error| corruption(path, &error).unwrap_or_else(|| unavailable(path, error)))?;
    match MIGRATIONS.run(&pool).await {
        Ok(()) => Ok(pool),
        Err(error) => {
            pool.close().await;
            Err(set_up_error(path, error))
        }
    }
}

fn set_up_error(path: &Path, error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            corruption(path, &error).unwrap_or_else(|| unavailable(path, error))
        }
        MigrateError::VersionMissing(_) | MigrateError::VersionMismatch(_) | MigrateError::VersionTooNew(..) => {
            StoreError::Version { path: path.display().to_string(), reason: error.to_string() }
        }
        error => unavailable(path, error),
    }
}

fn unavailable(path: &Path, error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable { path: path.display().to_string(), reason: error.to_string() }
}

/// The error if it says that the file is damaged.
fn corruption(path: &Path, error: &sqlx::Error) -> Option<StoreError> {
    let error = error.as_database_error()?;
    let damaged = matches!(primary_code(error)?, SQLITE_CORRUPT | SQLITE_NOTADB);
    damaged.then(|| StoreError::Corrupt { path: path.display().to_string(), reason: error.message().to_string() })
}

/// Extended result codes keep the primary one in their lowest byte.
fn primary_code(error: &dyn DatabaseError) -> Option<u32> {
    Some(error.code()?.parse::<u32>().ok()? & 0xff)
}

fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Scam => "scam",
        Verdict::Suspicious => "suspicious",
        Verdict::Clean => "clean",
        Verdict::Unscreened => "unscreened",
    }
}

fn recorded(rows: u64) -> Recorded {
    if rows == 0 { Recorded::Already } else { Recorded::New }
}

#[async_trait]
impl ReputationStore for Store {
    async fn standing(&self, number: &Number) -> Result<Option<Standing>, StoreError> {
        let Some(key) = number.key() else { return Ok(None) };
        let row = sqlx::query(
            "SELECT (SELECT count(*) FROM calls WHERE number = ?1) AS calls,
                    (SELECT count(*) FROM calls WHERE number = ?1 AND verdict = 'scam') AS scam_verdicts,
                    (SELECT count(*) FROM reports WHERE number = ?1 AND kind = 'scam' AND source <> 'classifier')
                        AS scam_reports,
                    (SELECT count(*) FROM reports WHERE number = ?1 AND kind = 'legitimate' AND source <> 'classifier')
                        AS legitimate_reports",
        )
        .bind(key)
        .fetch_one(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;
        let count = |column: &str| row.try_get::<u32, _>(column).map_err(|error| self.failed(error));
        let standing = Standing {
            calls: count("calls")?,
            scam_verdicts: count("scam_verdicts")?,
            scam_reports: count("scam_reports")?,
            legitimate_reports: count("legitimate_reports")?,
        };
        Ok((standing != Standing::default()).then_some(standing))
    }

    async fn record_call(&self, call: &CallRecord) -> Result<Recorded, StoreError> {
        let attestation = if matches!(call.attestation.as_str(), "A" | "B" | "C") { &call.attestation } else { "none" };
        sqlx::query(
            "INSERT INTO calls (call_id, number, attestation, verdict, risk, started_ms, duration_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (call_id) DO NOTHING",
        )
        .bind(&call.call_id)
        .bind(call.number.key())
        .bind(attestation)
        .bind(verdict_name(call.verdict))
        .bind(f64::from(call.risk))
        .bind(call.started_at.timestamp_millis())
        .bind(i64::try_from(call.duration_ms).unwrap_or(i64::MAX))
        .execute(&self.pool)
        .await
        .map(|done| recorded(done.rows_affected()))
        .map_err(|error| self.failed(error))
    }

    async fn record_report(&self, report: &Report) -> Result<Recorded, StoreError> {
        sqlx::query(
            "INSERT INTO reports (call_id, source, kind, number, at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (call_id, source, kind) DO NOTHING",
        )
        .bind(&report.call_id)
        .bind(report.source.as_str())
        .bind(report.kind.as_str())
        .bind(report.number.key())
        .bind(report.at.timestamp_millis())
        .execute(&self.pool)
        .await
        .map(|done| recorded(done.rows_affected()))
        .map_err(|error| self.failed(error))
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        let row = sqlx::query(
            "SELECT count(*) AS calls, count(*) FILTER (WHERE verdict = 'scam') AS scam,
                    count(*) FILTER (WHERE verdict = 'suspicious') AS suspicious,
                    count(*) FILTER (WHERE verdict = 'clean') AS clean,
                    count(*) FILTER (WHERE verdict = 'unscreened') AS unscreened,
                    (SELECT count(*) FROM (SELECT number FROM calls WHERE number IS NOT NULL
                                           UNION SELECT number FROM reports WHERE number IS NOT NULL)) AS numbers,
                    (SELECT count(*) FROM reports WHERE kind = 'scam' AND source <> 'classifier') AS scam_reports,
                    (SELECT count(*) FROM reports WHERE kind = 'legitimate' AND source <> 'classifier')
                        AS legitimate_reports
             FROM calls",
        )
        .fetch_one(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;
        let count = |column: &str| {
            let count = row.try_get::<i64, _>(column).map_err(|error| self.failed(error))?;
            Ok(u64::try_from(count).unwrap_or(0))
        };
        Ok(Totals {
            calls: count("calls")?,
            numbers: count("numbers")?,
            scam: count("scam")?,
            suspicious: count("suspicious")?,
            clean: count("clean")?,
            unscreened: count("unscreened")?,
            scam_reports: count("scam_reports")?,
            legitimate_reports: count("legitimate_reports")?,
        })
    }
}
