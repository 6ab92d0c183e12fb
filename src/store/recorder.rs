//! Between calls and the database: a look-up has a time limit, a write is queued. Neither can hold up a call.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tracing::{error, warn};

use crate::reputation::{CallRecord, Number, Report, ReputationStore, Standing};

/// Records that may wait for a slow database; beyond it the newest are lost, and said so.
const QUEUE: usize = 10_000;
/// How often a failed write is tried again before it is given up.
const TRIES: u32 = 5;

enum Entry {
    Call(CallRecord),
    Report(Report),
    Flush(oneshot::Sender<()>),
}

/// The way to the database.
#[derive(Clone)]
pub struct Recorder {
    store: Arc<dyn ReputationStore>,
    queue: mpsc::Sender<Entry>,
}

impl Recorder {
    /// Starts the task that writes.
    pub fn spawn(store: Arc<dyn ReputationStore>) -> Recorder {
        let (queue, entries) = mpsc::channel(QUEUE);
        tokio::spawn(write(store.clone(), entries));
        Recorder { store, queue }
    }

    /// What is known of a number, if the database answers in time. A call goes on without it.
    pub async fn standing_within(&self, number: &Number, budget: Duration) -> Option<Standing> {
        match tokio::time::timeout(budget, self.store.standing(number)).await {
            Ok(Ok(standing)) => standing,
            Ok(Err(error)) => {
                warn!(%error, "number not looked up");
                None
            }
            Err(_) => {
                warn!("number not looked up in time");
                None
            }
        }
    }

    /// Keeps a call.
    pub fn call(&self, call: CallRecord) {
        self.queue(Entry::Call(call));
    }

    /// Keeps a report.
    pub fn report(&self, report: Report) {
        self.queue(Entry::Report(report));
    }

    /// Waits until everything queued so far is written.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.queue.send(Entry::Flush(done)).await.is_ok() {
            let _ = written.await;
        }
    }

    fn queue(&self, entry: Entry) {
        if self.queue.try_send(entry).is_err() {
            error!("a record was lost: the database does not keep up");
        }
    }
}

async fn write(store: Arc<dyn ReputationStore>, mut entries: mpsc::Receiver<Entry>) {
    while let Some(entry) = entries.recv().await {
        let mut pause = Duration::from_millis(100);
        for attempt in 1..=TRIES {
            let written = match &entry {
                Entry::Call(call) => store.record_call(call).await,
                Entry::Report(report) => store.record_report(report).await,
                Entry::Flush(_) => Ok(()),
            };
            match written {
                Ok(()) => break,
                Err(error) if attempt == TRIES => error!(%error, "a record was lost"),
                Err(error) => {
                    warn!(%error, "a record could not be written; trying again");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
            }
        }
        if let Entry::Flush(done) = entry {
            let _ = done.send(());
        }
    }
}
