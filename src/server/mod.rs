//! Shell: sockets, threads and tasks around the pure parts. It moves bytes and holds no decisions of a call.
//!
//! | module | moves |
//! |---|---|
//! | [`transport`] | SIP bytes, behind the guard |
//! | [`transaction`] | rsipstack's transactions |
//! | [`router`], [`register`], `inbound` | requests to where they belong |
//! | [`call_task`], [`leg`] | one call's messages |
//! | [`media`] | RTP, on threads of its own |
//! | [`listening`] | copies of RTP to the recognisers |
//! | [`understanding`], `screen` | text to the classifier, warnings to the callee |

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rsipstack::EndpointBuilder;
use rsipstack::transaction::TransactionReceiver;
use rsipstack::transaction::endpoint::{EndpointInnerRef, EndpointOption};
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::{Config, ListenAddr};
use crate::events::CallEvent;
use crate::reputation::{ReputationStore, StoreError};
use crate::sip::dialog;
use crate::sip::digest::Authenticator;
use crate::sip::rsip::{Request, Response, Transport};
use crate::store::absent::Absent;
use crate::store::{Recorder, Store};

pub mod call_task;
mod inbound;
pub mod leg;
pub mod listening;
pub mod media;
mod prompts;
pub mod register;
pub mod router;
mod screen;
pub mod transaction;
pub mod transport;
pub mod understanding;

use call_task::Signal;
use media::{MediaEngine, MediaEvent, MediaHandle};
use prompts::Prompts;
use register::Phones;
use router::Registry;
use transport::{Flow, Transports};
use understanding::Understanding;

/// Events a slow subscriber may fall behind by before it loses the oldest.
const EVENT_BACKLOG: usize = 4096;

/// Why the service did not start, or could not do a thing.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A socket is taken or not ours to bind.
    #[error("cannot listen for {what} on {address}: {reason}; is another service using it?")]
    Bind {
        /// Which socket.
        what: &'static str,
        /// Its address.
        address: SocketAddr,
        /// What the system said.
        reason: std::io::Error,
    },
    /// A peer does not take connections.
    #[error("{0} cannot be reached")]
    Unreachable(SocketAddr),
    /// The call has no such leg.
    #[error("no such leg")]
    NoSuchLeg,
    /// Nothing to take calls on.
    #[error("no SIP socket is configured; set `sip.listen`")]
    NoSipSocket,
    /// The SIP stack failed.
    #[error("SIP: {0}")]
    Sip(Box<rsipstack::Error>),
    /// The media engine did not start.
    #[error(transparent)]
    Media(#[from] media::MediaError),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] crate::reputation::StoreError),
}

impl From<rsipstack::Error> for ServerError {
    fn from(error: rsipstack::Error) -> ServerError {
        ServerError::Sip(Box::new(error))
    }
}

/// An acknowledged INVITE: Call-ID, the peer's tag, CSeq number.
type AckKey = (String, String, u32);

/// What every part of the shell shares.
pub struct Context {
    /// The configuration.
    pub config: Config,
    /// rsipstack.
    pub endpoint: EndpointInnerRef,
    /// The SIP sockets.
    pub transports: Transports,
    /// The registrar.
    pub phones: Phones,
    /// The calls.
    pub registry: Registry,
    /// The media engine.
    pub media: MediaHandle,
    /// Speech and classifier, if they could be loaded.
    pub understanding: Understanding,
    /// The spoken warnings.
    pub prompts: Prompts,
    /// What is known of numbers.
    pub recorder: Recorder,
    /// Who listens to events.
    pub events: broadcast::Sender<CallEvent>,
    /// ACKs sent, for answers that are repeated because theirs was lost.
    pub acks: Mutex<HashMap<AckKey, (Request, Flow)>>,
    draining: AtomicBool,
}

impl Context {
    /// Whether new calls are refused because the service stops.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// The session interval we ask for, if session timers are on.
    pub fn session_expires(&self) -> Option<u32> {
        let timer = &self.config.sip.session_timer;
        timer.enabled.then_some(timer.expires_s)
    }

    /// Tells the world.
    pub fn emit(&self, event: CallEvent) {
        // Without subscribers there is nobody to tell.
        let _ = self.events.send(event);
    }

    fn stray_answer(&self, response: &Response) {
        let key = (
            dialog::call_id(response).unwrap_or_default(),
            dialog::to_tag(response).unwrap_or_default(),
            dialog::cseq(response).unwrap_or_default(),
        );
        let repeated = self.acks.lock().get(&key).cloned();
        if let Some((ack, flow)) = repeated {
            tokio::spawn(async move { flow.send(ack.into()).await });
        } else if let Some((call, leg)) = self.registry.find(&key.0) {
            self.registry.tell(call, Signal::StrayAnswer(leg, Box::new(response.clone())));
        }
    }
}

/// A running service.
pub struct Service {
    context: Arc<Context>,
    stop: CancellationToken,
    addresses: Vec<(Transport, SocketAddr)>,
    engine: Mutex<Option<MediaEngine>>,
}

impl Service {
    /// Starts everything the configuration asks for. A model that cannot be loaded does not stop the service: calls go
    /// through and end `unscreened`.
    pub async fn start(config: Config) -> Result<Service, ServerError> {
        let stop = CancellationToken::new();
        let option = EndpointOption { auto_ack_2xx: false, ..Default::default() };
        let mut builder = EndpointBuilder::new();
        builder.with_user_agent(&config.sip.user_agent).with_cancel_token(stop.clone()).with_option(option);
        let endpoint = builder.build();
        let incoming = endpoint.incoming_transactions()?;
        let inner = endpoint.inner.clone();
        // Sockets first: a port that is taken ends the start before anything is loaded.
        let transports = Transports::new(inner.clone(), config.sip.advertise, stop.clone());
        let mut addresses = Vec::new();
        for ListenAddr { transport, address } in &config.sip.listen {
            let bound = transports.listen((*transport).into(), *address).await?;
            info!(%bound, %transport, "listening for SIP");
            addresses.push(((*transport).into(), bound));
        }
        let (media_events, media_receiver) = mpsc::unbounded_channel();
        let engine = MediaEngine::start(config.media.settings(), media_events)?;
        let store = open_store(&config).await?;
        let (events, _) = broadcast::channel(EVENT_BACKLOG);
        let passwords = config.users.iter().map(|u| (u.name.clone(), u.password.clone())).collect();
        let realm = config.sip.domain.clone().unwrap_or_else(|| "callward".to_string());
        let context = Arc::new(Context {
            transports,
            endpoint: inner,
            phones: Phones::new(Authenticator::new(realm, config.sip.digest.clone(), rand::random()), passwords),
            registry: Registry::default(),
            media: engine.handle(),
            understanding: Understanding::start(&config),
            prompts: Prompts::load(config.screening.prompts.as_deref()),
            recorder: Recorder::spawn(store),
            events,
            acks: Mutex::default(),
            draining: AtomicBool::new(false),
            config,
        });
        let for_strays = Arc::downgrade(&context);
        context.transports.on_stray_answer(Box::new(move |response, _| {
            if let Some(context) = for_strays.upgrade() {
                context.stray_answer(&response);
            }
        }));
        tokio::spawn(async move { endpoint.serve().await });
        tokio::spawn(route_media_events(context.clone(), media_receiver));
        tokio::spawn(route_requests(context.clone(), incoming, stop.clone()));
        Ok(Service { context, stop, addresses, engine: Mutex::new(Some(engine)) })
    }

    /// Waits until speech models are loaded, or cannot be.
    pub async fn ready(&self) -> Result<(), ServerError> {
        self.context.understanding.ready().await;
        Ok(())
    }

    /// Follows the events of all calls.
    pub fn events(&self) -> broadcast::Receiver<CallEvent> {
        self.context.events.subscribe()
    }

    /// The first UDP address bound, else the first of all.
    pub fn sip_address(&self) -> Option<SocketAddr> {
        let udp = self.addresses.iter().find(|(t, _)| *t == Transport::Udp);
        udp.or(self.addresses.first()).map(|(_, address)| *address)
    }

    /// Calls in progress.
    pub fn calls(&self) -> usize {
        self.context.registry.len()
    }

    /// Refuses new calls, waits for those in progress up to `patience`, then ends what is left.
    pub async fn drain(&self, patience: Duration) {
        self.context.draining.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + patience;
        while !self.context.registry.is_empty() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.stop().await;
    }

    /// Ends all calls and stops.
    pub async fn stop(&self) {
        self.context.draining.store(true, Ordering::Relaxed);
        self.context.registry.shut_down();
        for _ in 0..30 {
            if self.context.registry.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        if tokio::time::timeout(Duration::from_secs(5), self.context.recorder.flush()).await.is_err() {
            warn!("the database did not take the last records in time");
        }
        self.stop.cancel();
        let engine = self.engine.lock().take();
        // Joining the media threads blocks for a tick.
        let _ = tokio::task::spawn_blocking(move || drop(engine)).await;
    }
}

/// A database that cannot be opened costs what is known of numbers, never a call; only an address that can never
/// be right is the owner's to mend before the service runs.
async fn open_store(config: &Config) -> Result<Arc<dyn ReputationStore>, ServerError> {
    match Store::open(&config.database).await {
        Ok(store) => Ok(Arc::new(store)),
        Err(wrong @ StoreError::Url { .. }) => Err(wrong.into()),
        Err(reason) => {
            error!(%reason, "numbers are neither looked up nor recorded until the service is restarted");
            Ok(Arc::new(Absent(reason)))
        }
    }
}

async fn route_requests(context: Arc<Context>, mut incoming: TransactionReceiver, stop: CancellationToken) {
    loop {
        let transaction = tokio::select! {
            transaction = incoming.recv() => transaction,
            () = stop.cancelled() => return,
        };
        match transaction {
            Some(transaction) => router::route(&context, transaction),
            None => return,
        }
    }
}

async fn route_media_events(context: Arc<Context>, mut events: mpsc::UnboundedReceiver<MediaEvent>) {
    while let Some(MediaEvent { call, at, kind }) = events.recv().await {
        context.registry.tell(call, Signal::Media(at, kind));
    }
}
