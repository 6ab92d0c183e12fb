//! The database on a real disk: what was acknowledged survives a kill, damage is named, writers do not trip each other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use callward::config::Database;
use callward::reputation::{
    CallRecord, Number, Recorded, Report, ReportKind, ReportSource, ReputationStore, Standing, StoreError, Totals,
};
use callward::screening::Verdict;
use callward::store::{Absent, Recorder, Store};
use chrono::Utc;

/// Set for the process that is killed while it writes.
const CHILD: &str = "STORE_TEST_DATABASE";
/// Acknowledged writes after which it is killed.
const KILL_AFTER: usize = 40;

fn database(path: &Path) -> Database {
    Database { url: Some(format!("sqlite://{}", path.display())) }
}

fn number() -> Number {
    Number::of_caller(Some("+15550100"), "US")
}

fn call(id: &str, verdict: Verdict) -> CallRecord {
    let attestation = "none".to_string();
    let (call_id, started_at) = (id.to_string(), Utc::now());
    CallRecord { call_id, number: number(), attestation, verdict, risk: 0.9, started_at, duration_ms: 42_000 }
}

fn report(id: &str, kind: ReportKind, source: ReportSource) -> Report {
    Report { call_id: id.to_string(), number: number(), kind, source, at: Utc::now() }
}

#[tokio::test]
async fn what_is_written_is_there_after_reopening_and_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder.path().join("not/yet/there/callward.db"));
    let store = Store::open(&database).await.unwrap();
    assert_eq!(store.standing(&number()).await.unwrap(), None);
    for expected in [Recorded::New, Recorded::Already] {
        assert_eq!(store.record_call(&call("a", Verdict::Scam)).await.unwrap(), expected);
        let report = report("a", ReportKind::Scam, ReportSource::Callee);
        assert_eq!(store.record_report(&report).await.unwrap(), expected);
    }
    store.record_call(&call("b", Verdict::Clean)).await.unwrap();
    store.record_report(&report("b", ReportKind::Legitimate, ReportSource::Callee)).await.unwrap();
    // The classifier's own opinion is no person's report.
    store.record_report(&report("b", ReportKind::Scam, ReportSource::Classifier)).await.unwrap();
    store.close().await;

    let store = Store::open(&database).await.unwrap();
    let standing = store.standing(&number()).await.unwrap().unwrap();
    assert_eq!(standing, Standing { calls: 2, scam_verdicts: 1, scam_reports: 1, legitimate_reports: 1 });
    let other = Number::of_caller(Some("+15550101"), "US");
    assert_eq!(store.standing(&other).await.unwrap(), None);
    let totals = store.totals().await.unwrap();
    assert_eq!((totals.calls, totals.numbers, totals.scam, totals.clean), (2, 1, 1, 1));
}

#[tokio::test]
async fn withheld_numbers_are_counted_and_belong_to_nobody() {
    let store = Store::open(&Database { url: Some("sqlite::memory:".into()) }).await.unwrap();
    let withheld = Number::of_caller(None, "US");
    let record = CallRecord { number: withheld.clone(), ..call("a", Verdict::Scam) };
    assert_eq!(store.record_call(&record).await.unwrap(), Recorded::New);
    assert_eq!(store.standing(&withheld).await.unwrap(), None);
    let totals = store.totals().await.unwrap();
    assert_eq!((totals.calls, totals.numbers), (1, 0));
}

#[tokio::test]
async fn only_the_owner_can_read_who_called() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/callward.db");
    let store = Store::open(&database(&path)).await.unwrap();
    store.record_call(&call("a", Verdict::Scam)).await.unwrap();
    for entry in std::fs::read_dir(folder.path().join("data")).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", entry.path());
    }
}

/// No test of its own: the process that the next test kills while it writes.
#[test]
fn the_writer_that_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Store::open(&database(Path::new(&path))).await.unwrap();
        let mut out = std::io::stdout();
        for id in 0.. {
            store.record_call(&call(&format!("call-{id}"), Verdict::Scam)).await.unwrap();
            writeln!(out, "written {id}").and_then(|()| out.flush()).unwrap();
        }
    });
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("callward.db");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_writer_that_is_killed", "--nocapture", "--test-threads=1"])
        .env(CHILD, &path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let written = lines.map_while(Result::ok).filter_map(|l| l.split("written ").nth(1)?.trim().parse::<u32>().ok());
    let acknowledged: Vec<u32> = written.take(KILL_AFTER).collect();
    // SIGKILL, most likely in the middle of the next write; the log is not folded into the file.
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(acknowledged.len(), KILL_AFTER);
    assert!(path.with_extension("db-wal").exists(), "the writer had no time to tidy up");

    let store = Store::open(&database(&path)).await.unwrap();
    let kept = store.standing(&number()).await.unwrap().unwrap().calls;
    assert!(kept as usize >= KILL_AFTER, "{kept} kept");
    for id in acknowledged {
        let again = store.record_call(&call(&format!("call-{id}"), Verdict::Scam)).await.unwrap();
        assert_eq!(again, Recorded::Already, "call {id} is lost");
    }
    assert_eq!(store.record_call(&call("next", Verdict::Clean)).await.unwrap(), Recorded::New);
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_named_with_its_remedy() {
    let folder = tempfile::tempdir().unwrap();
    // A file where a folder should be fails for every user, root too.
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Store::open(&database(&file.join("callward.db"))).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{text}");
    assert!(text.contains("file/callward.db cannot be opened") && text.contains("`database.url`"), "{text}");
    let error = Store::open(&database(folder.path())).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "a folder is no file: {error}");
    for url in ["postgres://localhost/callward", "sqlite://"] {
        let error = Store::open(&Database { url: Some(url.into()) }).await.unwrap_err();
        assert!(matches!(error, StoreError::Url { .. }), "{url}: {error}");
    }
}

#[tokio::test]
async fn a_damaged_file_is_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("callward.db");
    let noise: Vec<u8> = (0..40_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    std::fs::write(&path, &noise).unwrap();
    let error = Store::open(&database(&path)).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("move it away"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), noise, "the owner may still want to rescue it");
}

#[tokio::test]
async fn damage_in_the_middle_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("callward.db");
    let store = Store::open(&database(&path)).await.unwrap();
    for id in 0..100 {
        store.record_call(&call(&format!("{id}"), Verdict::Clean)).await.unwrap();
    }
    store.close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[4096..end].fill(0xa5);
    std::fs::write(&path, &bytes).unwrap();
    let outcome = match Store::open(&database(&path)).await {
        Ok(store) => store.standing(&number()).await.map(|_| ()),
        Err(error) => Err(error),
    };
    assert!(matches!(outcome, Err(StoreError::Corrupt { .. })), "{outcome:?}");
}

#[tokio::test]
async fn a_database_of_a_later_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("callward.db");
    Store::open(&database(&path)).await.unwrap().close().await;
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'later', 1, x'00', 0)";
    sqlx::query(later).execute(&pool).await.unwrap();
    pool.close().await;
    let error = Store::open(&database(&path)).await.unwrap_err();
    assert!(matches!(error, StoreError::Version { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_writers_at_once_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder.path().join("callward.db"));
    // Eight stores stand for eight processes: they share nothing but the file, and all set it up at the same time.
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let database = database.clone();
            tokio::spawn(async move {
                let store = Store::open(&database).await.unwrap();
                for id in 0..20 {
                    // Every record is written by two of them.
                    let record = call(&format!("{}-{id}", writer / 2), Verdict::Scam);
                    store.record_call(&record).await.unwrap();
                    assert!(store.standing(&number()).await.unwrap().is_some());
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let store = Store::open(&database).await.unwrap();
    assert_eq!(store.standing(&number()).await.unwrap().unwrap().calls, 4 * 20);
}

#[tokio::test]
async fn the_recorder_writes_everything_before_flush_returns() {
    let store = Arc::new(Store::open(&Database { url: Some("sqlite::memory:".into()) }).await.unwrap());
    let recorder = Recorder::spawn(store.clone());
    for id in 0..50 {
        recorder.call(call(&format!("{id}"), Verdict::Scam));
        recorder.report(report(&format!("{id}"), ReportKind::Scam, ReportSource::Callee));
    }
    recorder.flush().await;
    let standing = recorder.standing_within(&number(), Duration::from_secs(5)).await.unwrap();
    assert_eq!((standing.calls, standing.scam_reports), (50, 50));
}

/// A store that is slow to read, and fails the first writes.
#[derive(Default)]
struct Troubled {
    attempts: AtomicUsize,
    stuck: bool,
}

#[async_trait]
impl ReputationStore for Troubled {
    async fn standing(&self, _: &Number) -> Result<Option<Standing>, StoreError> {
        std::future::pending().await
    }

    async fn record_call(&self, _: &CallRecord) -> Result<Recorded, StoreError> {
        if self.stuck {
            std::future::pending::<()>().await;
        }
        match self.attempts.fetch_add(1, Ordering::SeqCst) {
            0 | 1 => Err(StoreError::Failed("locked".into())),
            _ => Ok(Recorded::New),
        }
    }

    async fn record_report(&self, _: &Report) -> Result<Recorded, StoreError> {
        Ok(Recorded::New)
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        Ok(Totals::default())
    }
}

#[tokio::test]
async fn no_call_waits_for_a_database_that_hangs() {
    let recorder = Recorder::spawn(Arc::new(Troubled { stuck: true, ..Troubled::default() }));
    let asked = Instant::now();
    assert_eq!(recorder.standing_within(&number(), Duration::from_millis(20)).await, None);
    assert!(asked.elapsed() < Duration::from_millis(500), "{:?}", asked.elapsed());
    let queued = Instant::now();
    for id in 0..5_000 {
        recorder.call(call(&format!("{id}"), Verdict::Clean));
    }
    assert!(queued.elapsed() < Duration::from_secs(2), "{:?}", queued.elapsed());
}

#[tokio::test]
async fn a_write_that_fails_is_tried_again() {
    let store = Arc::new(Troubled::default());
    let recorder = Recorder::spawn(store.clone());
    recorder.call(call("a", Verdict::Clean));
    recorder.flush().await;
    assert_eq!(store.attempts.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn without_a_database_calls_go_on() {
    let recorder = Recorder::spawn(Arc::new(Absent(StoreError::Failed("none".into()))));
    assert_eq!(recorder.standing_within(&number(), Duration::from_millis(20)).await, None);
    recorder.report(report("a", ReportKind::Scam, ReportSource::Callee));
}

#[tokio::test]
async fn a_look_up_among_many_calls_keeps_its_budget() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("callward.db");
    let store = Store::open(&database(&path)).await.unwrap();
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
                INSERT INTO calls SELECT 'seed-' || i, '+1555' || (i % 5000), 'none', 'clean', 0.1, i, i FROM n";
    sqlx::query(many).execute(&pool).await.unwrap();
    let frequent = Number::of_caller(Some("+15554321"), "US");
    store.standing(&frequent).await.unwrap();
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..50 {
        let asked = Instant::now();
        assert_eq!(store.standing(&frequent).await.unwrap().unwrap().calls, 20);
        times.push(asked.elapsed());
    }
    times.sort();
    println!("look-up among 100,000 calls: median {:?}, slowest {:?}", times[25], times[49]);
    assert!(times[25] < Duration::from_millis(20), "{times:?}");
}
