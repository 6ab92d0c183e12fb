//! Between calls and the database: look-ups that give up in time, and writes that wait in a bounded queue.
//!
//! It must never make a call wait or fail. A database that is slow, locked or gone costs what is known of a number and, once
//! the queue is full, records; both are logged here, once each, and nowhere else.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tracing::{debug, error, warn};

use crate::reputation::{CallRecord, Number, Recorded, Report, ReputationStore, Standing, StoreError};

/// Records that may wait: hours of a home's calls, seconds of a carrier's.
const QUEUE: usize = 1024;
/// How long a write that failed waits before it is tried again; after the last it is given up.
const PATIENCE: [Duration; 4] =
    [Duration::from_millis(50), Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(5)];

enum Entry {
    Call(CallRecord),
    Report(Report),
    Flush(oneshot::Sender<()>),
}

/// The way of a call to the database. Cheap to clone; what is queued is written even after the last clone is gone.
#[derive(Clone)]
pub struct Recorder {
    store: Arc<dyn ReputationStore>,
    queue: mpsc::Sender<Entry>,
}

impl Recorder {
    /// Starts the task that writes. Must be called within a tokio runtime.
    pub fn spawn(store: Arc<dyn ReputationStore>) -> Recorder {
        let (queue, entries) = mpsc::channel(QUEUE);
        tokio::spawn(write(store.clone(), entries));
        Recorder { store, queue }
    }

    /// What is known of a number, if the database says so within the budget; `None` too when it fails.
    pub async fn standing_within(&self, number: &Number, budget: Duration) -> Option<Standing> {
        match tokio::time::timeout(budget, self.store.standing(number)).await {
            Ok(Ok(standing)) => standing,
            Ok(Err(error)) => {
                warn!(%error, "number not looked up");
                None
            }
            Err(_) => {
                warn!(budget_ms = budget.as_millis() as u64, "number not looked up: the database is slow");
                None
            }
        }
    }

    /// Queues the record of a call that is over.
    pub fn call(&self, call: CallRecord) {
        self.enqueue(Entry::Call(call));
    }

    /// Queues a report.
    pub fn report(&self, report: Report) {
        self.enqueue(Entry::Report(report));
    }

    /// Waits until everything queued before is written or given up.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.queue.send(Entry::Flush(done)).await.is_ok() {
            let _ = written.await;
        }
    }

    fn enqueue(&self, entry: Entry) {
        if self.queue.try_send(entry).is_err() {
            error!(waiting = QUEUE, "a record is lost: the database is too far behind");
        }
    }
}

async fn write(store: Arc<dyn ReputationStore>, mut entries: mpsc::Receiver<Entry>) {
    while let Some(entry) = entries.recv().await {
        if let Entry::Flush(done) = entry {
            // Whoever waited may have given up.
            let _ = done.send(());
            continue;
        }
        match write_patiently(store.as_ref(), &entry).await {
            Ok(recorded) => debug!(?recorded, "record written"),
            Err(error) => error!(%error, "a record is lost"),
        }
    }
}

async fn write_patiently(store: &dyn ReputationStore, entry: &Entry) -> Result<Recorded, StoreError> {
    for pause in PATIENCE {
        match write_once(store, entry).await {
            Err(error) if error.is_transient() => {
                debug!(%error, "record not written yet");
                tokio::time::sleep(pause).await;
            }
            result => return result,
        }
    }
    write_once(store, entry).await
}

async fn write_once(store: &dyn ReputationStore, entry: &Entry) -> Result<Recorded, StoreError> {
    match entry {
        Entry::Call(call) => store.record_call(call).await,
        Entry::Report(report) => store.record_report(report).await,
        Entry::Flush(_) => Ok(Recorded::Already),
    }
}
