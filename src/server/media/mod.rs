//! Shell: the media engine. A few threads of their own move RTP between legs; they never wait for a lock, a model or a
//! database, and know of calls only by number.
//!
//! The order for every packet is receive → source lock → forward → tap: forwarding never waits for listening. What is
//! decided about a packet is decided in [`crate::media`].

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::Waker;
use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedSender;

use crate::media::prompt::Prompt;
use crate::media::relay::Refused;
use crate::media::{LegId, LegMedia, TapPacket};

mod engine;
mod leg;
mod ports;

use engine::{Inbox, Order};
use ports::Ports;

/// A call, as the engine knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallKey(pub u64);

/// How the engine is set up.
#[derive(Debug, Clone)]
pub struct MediaSettings {
    /// First and last UDP port for RTP and RTCP.
    pub ports: (u16, u16),
    /// Threads.
    pub threads: usize,
    /// After this long without a packet from a leg that should send, [`MediaEventKind::Silent`] is reported.
    pub silent_after: Duration,
}

/// What to do with a call's media.
pub enum MediaCommand {
    /// A leg (re)negotiated. A new address opens its source lock.
    Remote {
        /// Which leg.
        leg: LegId,
        /// Where it wants RTP.
        rtp: SocketAddr,
        /// Where it wants RTCP.
        rtcp: Option<SocketAddr>,
        /// Formats and direction.
        media: LegMedia,
    },
    /// These two legs hear each other.
    Bridge {
        /// One.
        a: LegId,
        /// The other.
        b: LegId,
    },
    /// Copies of a leg's packets go into this ring; what does not fit is lost and counted.
    Tap {
        /// Which leg.
        leg: LegId,
        /// The ring.
        sink: rtrb::Producer<TapPacket>,
    },
    /// Play a prompt into this leg only.
    Play {
        /// Which leg.
        leg: LegId,
        /// What.
        prompt: Prompt,
        /// How much quieter the other side becomes meanwhile, in dB.
        duck_db: f32,
    },
    /// Fade out the prompt that plays into this leg.
    StopPrompt {
        /// Which leg.
        leg: LegId,
    },
    /// Close a leg's sockets.
    CloseLeg {
        /// Which leg.
        leg: LegId,
    },
    /// Close all.
    Close,
}

/// Something happened to a call's media.
#[derive(Debug, Clone, PartialEq)]
pub struct MediaEvent {
    /// Which call.
    pub call: CallKey,
    /// When.
    pub at: Instant,
    /// What.
    pub kind: MediaEventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum MediaEventKind {
    /// The leg's first packet came.
    FirstPacket {
        /// Which leg.
        leg: LegId,
    },
    /// A key was pressed.
    Dtmf {
        /// On which leg.
        leg: LegId,
        /// The key.
        digit: char,
        /// How long it had been down when told.
        duration_ms: u32,
    },
    /// The packet with a prompt's first sound was sent to the leg.
    PromptHeard {
        /// Which leg.
        leg: LegId,
        /// The prompt.
        id: u64,
    },
    /// A prompt was played to its end, or stopped.
    PromptEnded {
        /// Which leg.
        leg: LegId,
        /// The prompt.
        id: u64,
    },
    /// A prompt cannot be played: the leg's codec is only relayed, or the leg is gone.
    PromptRefused {
        /// Which leg.
        leg: LegId,
        /// The prompt.
        id: u64,
        /// Why.
        reason: Refused,
    },
    /// No packet for [`MediaSettings::silent_after`] from a leg that should send.
    Silent {
        /// Which leg.
        leg: LegId,
    },
    /// The tap had no room for some packets: whoever reads it does not keep up. Told at most twice a second.
    TapLost {
        /// Whose packets.
        leg: LegId,
        /// How many since this was last told.
        packets: u64,
    },
    /// The call's sockets are closed.
    Closed {
        /// Counters of each leg, in the order the legs were closed.
        legs: Vec<(LegId, LegCounters)>,
    },
}

/// What a leg's socket saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LegCounters {
    /// Packets taken from the peer.
    pub received: u64,
    /// Packets sent to the peer.
    pub sent: u64,
    /// Packets from somebody else, dropped.
    pub strangers: u64,
    /// Times the peer's NAT gave it another address in the middle of its stream.
    pub moved: u64,
    /// Datagrams that were not RTP or not RTCP, or too long, dropped.
    pub malformed: u64,
    /// Packets the tap had no room for.
    pub tap_lost: u64,
}

/// Why the engine did not start or a leg could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// The operating system refused a thread or a poll.
    #[error("media engine: {0}; the limits of open files and threads may be too low")]
    System(#[from] std::io::Error),
    /// Every port is taken.
    #[error("no free media port in {first}-{last}; widen `media.ports`")]
    NoPort {
        /// First of the range.
        first: u16,
        /// Last of the range.
        last: u16,
    },
    /// An address is not ours to use.
    #[error("cannot bind media ports on {address}: {reason}; check `media.bind`")]
    Bind {
        /// The address.
        address: IpAddr,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The engine's thread is gone.
    #[error("the media engine has stopped")]
    Stopped,
}

/// A leg's local sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalPorts {
    /// RTP.
    pub rtp: SocketAddr,
    /// RTCP.
    pub rtcp: SocketAddr,
}

/// The engine; its threads end when it is dropped.
pub struct MediaEngine {
    handle: MediaHandle,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl MediaEngine {
    /// Starts the threads.
    pub fn start(settings: MediaSettings, events: UnboundedSender<MediaEvent>) -> Result<MediaEngine, MediaError> {
        let (mut workers, mut threads) = (Vec::new(), Vec::new());
        for number in 0..settings.threads.clamp(1, 64) {
            let (inbox, worker) = Inbox::open(settings.silent_after, events.clone())?;
            let thread = std::thread::Builder::new().name(format!("media-{number}"));
            threads.push(thread.spawn(move || worker.run())?);
            workers.push(inbox);
        }
        let ports = Ports::new(settings.ports);
        let shared = Shared { workers, ports: Mutex::new(ports) };
        Ok(MediaEngine { handle: MediaHandle(Arc::new(shared)), threads })
    }

    /// The way to the engine.
    pub fn handle(&self) -> MediaHandle {
        self.handle.clone()
    }
}

impl Drop for MediaEngine {
    fn drop(&mut self) {
        for worker in &self.handle.0.workers {
            worker.send(Order::Stop);
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

struct Shared {
    workers: Vec<Inbox>,
    /// Only calls being set up meet here; the media threads never touch it.
    ports: Mutex<Ports>,
}

/// The way to the engine; clones are cheap.
#[derive(Clone)]
pub struct MediaHandle(Arc<Shared>);

impl MediaHandle {
    /// Binds a pair of ports for a leg (RTP even, RTCP the next, RFC 3550 §11) and hands them to the engine.
    pub fn open_leg(&self, call: CallKey, leg: LegId, bind: IpAddr) -> Result<LocalPorts, MediaError> {
        let (rtp, rtcp) = self.0.ports.lock().bind_pair(bind)?;
        let local = LocalPorts { rtp: rtp.local_addr()?, rtcp: rtcp.local_addr()? };
        let taken = self.worker(call).send(Order::Open { call, leg, rtp, rtcp });
        taken.then_some(local).ok_or(MediaError::Stopped)
    }

    /// Gives an order; orders of one call are carried out in the order given.
    pub fn send(&self, call: CallKey, command: MediaCommand) {
        self.worker(call).send(Order::Call { call, command });
    }

    fn worker(&self, call: CallKey) -> &Inbox {
        // `start` makes at least one.
        &self.0.workers[call.0 as usize % self.0.workers.len()]
    }
}

/// Wakes a worker whose poll sleeps.
type Wake = Arc<Waker>;

#[cfg(test)]
mod tests;
