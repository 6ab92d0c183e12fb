//! Shell: what was heard becomes what is known. One thread owns the classifier and every call's conversation; it takes
//! text from the listening thread and tells the calls what follows from it.
//!
//! If models are missing or fail, calls go on and end `unscreened`: nothing waits for this thread.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc as std_mpsc;
use std::time::Instant;

use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use super::call_task::{CallSender, Signal};
use super::listening::{Heard, Listener, ListenerHandle, ListeningEvent};
use super::screen::Understood;
use crate::classifier::input::Context;
use crate::classifier::{Classifier, Turn};
use crate::config::Config;
use crate::media::TapPacket;
use crate::screening::Speaker;
use crate::screening::conversation::Conversation;
use crate::screening::policy::Policy;
use crate::speech::engines::Engines;

/// A call to be understood.
struct Begin {
    call: u64,
    call_id: String,
    sender: CallSender,
}

enum Work {
    Begin(Begin),
    Heard(ListeningEvent),
    Quit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readiness {
    Loading,
    Ready,
    Failed,
}

/// The way to the understanding of speech.
pub struct Understanding {
    work: std_mpsc::Sender<Work>,
    listener: watch::Receiver<Option<ListenerHandle>>,
    readiness: watch::Receiver<Readiness>,
    keep: std::sync::Arc<parking_lot::Mutex<Option<Listener>>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Understanding {
    /// Starts loading the models in a thread of its own; calls are taken meanwhile. Where calls are not to be screened,
    /// nothing is loaded.
    pub fn start(config: &Config) -> Understanding {
        let (work, inbox) = std_mpsc::channel();
        let (set_listener, listener) = watch::channel(None);
        let (set_readiness, readiness) = watch::channel(Readiness::Loading);
        let keep = std::sync::Arc::default();
        let mut understanding =
            Understanding { work: work.clone(), listener, readiness, keep: std::sync::Arc::clone(&keep), thread: None };
        if !config.screening.enabled {
            set_readiness.send_replace(Readiness::Failed);
            return understanding;
        }
        let config = config.clone();
        let spawned = std::thread::Builder::new().name("understanding".into()).spawn(move || {
            let loaded = load(&config, work);
            match loaded {
                Ok((listener, classifier)) => {
                    set_listener.send_replace(Some(listener.handle()));
                    *keep.lock() = Some(listener);
                    set_readiness.send_replace(Readiness::Ready);
                    info!("screening is ready");
                    Desk::new(classifier, config.screening.policy()).work(&inbox);
                }
                Err(reason) => {
                    error!(%reason, "calls will not be screened");
                    set_readiness.send_replace(Readiness::Failed);
                }
            }
        });
        match spawned {
            Ok(thread) => understanding.thread = Some(thread),
            Err(error) => error!(%error, "calls will not be screened"),
        }
        understanding
    }

    /// Waits until models are loaded or cannot be; false if they cannot.
    pub async fn ready(&self) -> bool {
        let mut readiness = self.readiness.clone();
        let known = readiness.wait_for(|r| *r != Readiness::Loading).await;
        known.is_ok_and(|r| *r == Readiness::Ready)
    }

    /// Begins to listen to a call; false when nothing can be listened to.
    pub fn begin(
        &self,
        call: u64,
        call_id: String,
        answered: Instant,
        taps: Vec<(Speaker, rtrb::Consumer<TapPacket>)>,
        sender: CallSender,
    ) -> bool {
        let listener = self.listener.borrow().clone();
        let Some(listener) = listener else { return false };
        if self.work.send(Work::Begin(Begin { call, call_id, sender })).is_err() {
            return false;
        }
        for (speaker, tap) in taps {
            listener.listen(call, speaker, answered, tap);
        }
        true
    }

    /// A stretch of the caller's sound was lost before it could be listened to.
    pub fn missed(&self, call: u64, start_ms: u64, end_ms: u64) {
        let _ = self.work.send(Work::Heard(ListeningEvent::Missed { call, start_ms, end_ms }));
    }

    /// The call is over: what is still to be understood is, then its verdict comes.
    pub fn stop(&self, call: u64) {
        if let Some(listener) = self.listener.borrow().as_ref() {
            listener.stop(call);
        }
    }
}

impl Drop for Understanding {
    /// Waits for the threads: a process that ends while native code still loads or runs a model crashes in its exit handlers.
    fn drop(&mut self) {
        let _ = self.work.send(Work::Quit);
        if let Some(thread) = self.thread.take() {
            // It catches what the classifier throws; a defect beyond that has been printed.
            let _ = thread.join();
        }
        drop(self.keep.lock().take());
    }
}

type Loaded = (Listener, Box<dyn Classifier>);

fn load(config: &Config, work: std_mpsc::Sender<Work>) -> Result<Loaded, String> {
    let engines = Engines::load(&config.speech, &config.models).map_err(|e| e.to_string())?;
    let classifier = engines.classifier(&config.screening).map_err(|e| e.to_string())?;
    let (events, mut heard) = mpsc::unbounded_channel();
    let listener = Listener::start(engines, events).map_err(|e| e.to_string())?;
    std::thread::Builder::new()
        .name("heard".into())
        .spawn(move || {
            while let Some(event) = heard.blocking_recv() {
                if work.send(Work::Heard(event)).is_err() {
                    return;
                }
            }
        })
        .map_err(|e| e.to_string())?;
    Ok((listener, classifier))
}

/// One call's memory.
struct Dossier {
    conversation: Conversation,
    context: Context,
    sender: CallSender,
}

/// Where text is read: the classifier and the conversations.
struct Desk {
    classifier: Box<dyn Classifier>,
    policy: Policy,
    calls: HashMap<u64, Dossier>,
}

impl Desk {
    fn new(classifier: Box<dyn Classifier>, policy: Policy) -> Desk {
        Desk { classifier, policy, calls: HashMap::new() }
    }

    fn work(&mut self, inbox: &std_mpsc::Receiver<Work>) {
        while let Ok(work) = inbox.recv() {
            match work {
                Work::Begin(begin) => {
                    let conversation = Conversation::new(begin.call_id, self.policy);
                    let dossier = Dossier { conversation, context: Context::default(), sender: begin.sender };
                    self.calls.insert(begin.call, dossier);
                }
                Work::Heard(ListeningEvent::Heard(heard)) => self.read(heard),
                Work::Heard(ListeningEvent::Missed { call, start_ms, end_ms }) => {
                    if let Some(dossier) = self.calls.get_mut(&call) {
                        dossier.conversation.miss(start_ms, end_ms);
                    }
                }
                // The callee's side is a bonus; without the caller's a call is not screened.
                Work::Heard(ListeningEvent::Lost { call, speaker: Speaker::Caller, .. }) => {
                    if let Some(dossier) = self.calls.get_mut(&call) {
                        dossier.conversation.give_up();
                    }
                }
                Work::Heard(ListeningEvent::Lost { .. }) => {}
                Work::Quit => return,
                Work::Heard(ListeningEvent::Finished { call }) => {
                    if let Some(dossier) = self.calls.remove(&call) {
                        let conclusion = dossier.conversation.conclusion();
                        let _ = dossier.sender.send(Signal::Understood(Understood::Concluded(conclusion)));
                    }
                }
            }
        }
    }

    fn read(&mut self, heard: Heard) {
        let Some(dossier) = self.calls.get_mut(&heard.call) else { return };
        let turn = Turn { speaker: heard.speaker, text: heard.text };
        // A defect of the model must cost an utterance, not the thread that serves every call.
        let (classifier, context) = (&mut self.classifier, &mut dossier.context);
        let labelled = catch_unwind(AssertUnwindSafe(|| classifier.classify(context.turns(), &turn)));
        let scores = match labelled {
            Ok(Ok(scores)) => scores,
            Ok(Err(error)) => {
                warn!(%error, "utterance not labelled");
                return dossier.conversation.miss(heard.start_ms, heard.end_ms);
            }
            Err(_) => {
                error!("the classifier panicked on an utterance");
                return dossier.conversation.miss(heard.start_ms, heard.end_ms);
            }
        };
        let understood = dossier.conversation.hear(turn.speaker, heard.start_ms, heard.end_ms, &turn.text, scores);
        dossier.context.push(turn);
        let (event, raised) = (Box::new(understood.event), understood.raised);
        let _ = dossier.sender.send(Signal::Understood(Understood::Utterance { event, raised }));
    }
}
