//! The recogniser pool: a few workers, a bounded queue, the most urgent segment first.
//!
//! It never blocks whoever submits. When the queue is full the least urgent segment is given up and said to be lost: a
//! call that was not heard must not end `clean`. A worker that panics is started anew.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use tracing::{error, warn};

use super::{Recogniser, SpeechError};

/// Makes a recogniser for a worker, and another after one broke.
pub type Factory = Arc<dyn Fn() -> Result<Box<dyn Recogniser>, SpeechError> + Send + Sync>;

/// A segment to be recognised. `T` tells the submitter what it was.
#[derive(Debug)]
pub struct Job<T> {
    /// Returned with the outcome.
    pub ticket: T,
    /// Samples at 16 kHz.
    pub samples: Vec<f32>,
    /// Lower comes first: the caller before the callee.
    pub rank: u8,
    /// When it should be done; the earlier comes first within a rank.
    pub deadline: Instant,
}

/// What became of a job.
#[derive(Debug)]
pub enum Outcome {
    /// What was said; may be empty.
    Text(String),
    /// It was given up, and why.
    Lost(&'static str),
}

struct Waiting<T>(Job<T>);

impl<T> Waiting<T> {
    fn urgency(&self) -> (u8, Instant) {
        (self.0.rank, self.0.deadline)
    }
}

impl<T> PartialEq for Waiting<T> {
    fn eq(&self, other: &Self) -> bool {
        self.urgency() == other.urgency()
    }
}

impl<T> Eq for Waiting<T> {}

impl<T> PartialOrd for Waiting<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Waiting<T> {
    /// The heap yields the greatest: the most urgent.
    fn cmp(&self, other: &Self) -> Ordering {
        other.urgency().cmp(&self.urgency())
    }
}

struct Queue<T> {
    waiting: BinaryHeap<Waiting<T>>,
    stopped: bool,
}

struct Shared<T> {
    queue: Mutex<Queue<T>>,
    work: Condvar,
    limit: usize,
    report: Box<dyn Fn(T, Outcome) + Send + Sync>,
}

/// The pool.
pub struct Pool<T> {
    shared: Arc<Shared<T>>,
    workers: Vec<std::thread::JoinHandle<()>>,
}

impl<T: Send + 'static> Pool<T> {
    /// Starts the workers; `report` hears of every job once, on a worker's thread or the submitter's.
    pub fn start(
        workers: usize,
        limit: usize,
        factory: Factory,
        report: impl Fn(T, Outcome) + Send + Sync + 'static,
    ) -> Result<Pool<T>, SpeechError> {
        let queue = Mutex::new(Queue { waiting: BinaryHeap::new(), stopped: false });
        let shared = Arc::new(Shared { queue, work: Condvar::new(), limit: limit.max(1), report: Box::new(report) });
        let mut threads = Vec::new();
        for number in 0..workers.clamp(1, 256) {
            // The first recogniser is made here, so that a missing model is an error at the start.
            let recogniser = factory()?;
            let (shared, factory) = (shared.clone(), factory.clone());
            let thread = std::thread::Builder::new().name(format!("recogniser-{number}"));
            let spawned = thread.spawn(move || work(&shared, recogniser, &factory));
            threads.push(spawned.map_err(|e| SpeechError::System(e.to_string()))?);
        }
        Ok(Pool { shared, workers: threads })
    }

    /// Queues a job; may give up a less urgent one.
    pub fn submit(&self, job: Job<T>) {
        let lost = {
            let mut queue = self.shared.queue.lock();
            queue.waiting.push(Waiting(job));
            match queue.waiting.len() > self.shared.limit {
                true => give_up_least(&mut queue.waiting),
                false => None,
            }
        };
        self.shared.work.notify_one();
        if let Some(job) = lost {
            warn!("speech recognition is overloaded: a segment was given up");
            (self.shared.report)(job.ticket, Outcome::Lost("overload"));
        }
    }
}

impl<T> Drop for Pool<T> {
    fn drop(&mut self) {
        self.shared.queue.lock().stopped = true;
        self.shared.work.notify_all();
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

fn give_up_least<T>(waiting: &mut BinaryHeap<Waiting<T>>) -> Option<Job<T>> {
    let mut sorted = std::mem::take(waiting).into_sorted_vec();
    // Ascending order: the least urgent first.
    let least = if sorted.is_empty() { None } else { Some(sorted.remove(0)) };
    *waiting = sorted.into();
    least.map(|w| w.0)
}

fn work<T>(shared: &Shared<T>, mut recogniser: Box<dyn Recogniser>, factory: &Factory) {
    while let Some(job) = next(shared) {
        let heard = catch_unwind(AssertUnwindSafe(|| recogniser.transcribe(&job.samples)));
        let outcome = match heard {
            Ok(Ok(text)) => Outcome::Text(text),
            Ok(Err(error)) => {
                warn!(%error, "segment not recognised");
                Outcome::Lost("engine")
            }
            Err(_) => {
                error!("a recogniser panicked; it is started anew");
                match factory() {
                    Ok(anew) => recogniser = anew,
                    Err(error) => error!(%error, "the recogniser cannot be started anew"),
                }
                Outcome::Lost("panic")
            }
        };
        (shared.report)(job.ticket, outcome);
    }
}

fn next<T>(shared: &Shared<T>) -> Option<Job<T>> {
    let mut queue = shared.queue.lock();
    loop {
        if queue.stopped {
            return None;
        }
        if let Some(Waiting(job)) = queue.waiting.pop() {
            return Some(job);
        }
        shared.work.wait(&mut queue);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    /// Says how many samples it got; panics on one sample, fails on two; waits for the gate.
    struct Fake(Arc<Mutex<()>>);

    impl Recogniser for Fake {
        fn transcribe(&mut self, audio: &[f32]) -> Result<String, SpeechError> {
            drop(self.0.lock());
            match audio.len() {
                1 => panic!("asked to"),
                2 => Err(SpeechError::Engine { name: "fake".into(), reason: "asked to".into() }),
                n => Ok(n.to_string()),
            }
        }

        fn name(&self) -> &str {
            "fake"
        }
    }

    fn job(ticket: u32, samples: usize, rank: u8, after_ms: u64) -> Job<u32> {
        let deadline = Instant::now() + Duration::from_millis(after_ms);
        Job { ticket, samples: vec![0.0; samples], rank, deadline }
    }

    type Outcomes = mpsc::Receiver<(u32, String)>;

    fn pool(limit: usize) -> (Pool<u32>, Arc<Mutex<()>>, Outcomes) {
        let gate = Arc::new(Mutex::new(()));
        let for_workers = gate.clone();
        let factory: Factory = Arc::new(move || Ok(Box::new(Fake(for_workers.clone()))));
        let (sender, outcomes) = mpsc::channel();
        let report = move |ticket, outcome| {
            let text = match outcome {
                Outcome::Text(text) => text,
                Outcome::Lost(reason) => reason.to_string(),
            };
            sender.send((ticket, text)).unwrap();
        };
        (Pool::start(1, limit, factory, report).unwrap(), gate, outcomes)
    }

    #[test]
    fn the_most_urgent_comes_first_and_the_least_is_given_up() {
        let (pool, gate, outcomes) = pool(3);
        let closed = gate.lock();
        pool.submit(job(0, 9, 0, 0));
        while !pool.shared.queue.lock().waiting.is_empty() {
            std::thread::yield_now();
        }
        for (ticket, rank, after) in [(1, 1, 10), (2, 0, 900), (3, 0, 500), (4, 1, 5)] {
            pool.submit(job(ticket, 5, rank, after));
        }
        assert_eq!(outcomes.recv().unwrap(), (1, "overload".to_string()));
        drop(closed);
        let order: Vec<u32> = (0..4).map(|_| outcomes.recv().unwrap().0).collect();
        assert_eq!(order, [0, 3, 2, 4]);
    }

    #[test]
    fn a_panic_or_failure_costs_one_segment() {
        let (pool, _gate, outcomes) = pool(9);
        for (ticket, samples) in [(1, 1), (2, 2), (3, 3)] {
            pool.submit(job(ticket, samples, 0, 1000 * u64::from(ticket)));
        }
        let mut heard: Vec<_> = (0..3).map(|_| outcomes.recv().unwrap()).collect();
        heard.sort();
        assert_eq!(heard, [(1, "panic".into()), (2, "engine".into()), (3, "3".into())]);
    }
}
