//! One media thread: a poll loop over the sockets of its calls.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Registry, Token, Waker};
use tokio::sync::mpsc::UnboundedSender;

use super::leg::{Leg, Received};
use super::{CallKey, LegCounters, MediaCommand, MediaError, MediaEvent, MediaEventKind, Wake};
use crate::media::LegId;
use crate::media::relay::{Event, Refused};
use crate::media::rtp::Packet;
use crate::media::source::Verdict;

const WAKE: Token = Token(0);
/// How often prompts are looked after while one plays.
const TICK: Duration = Duration::from_millis(10);
/// How often legs are checked for silence.
const SWEEP: Duration = Duration::from_millis(500);
/// A closed leg's sockets stay bound for so long, reading nothing, so that late packets cannot reach the next call.
const LINGER: Duration = Duration::from_secs(5);
/// Largest datagram read; what fills it may have been cut short and is dropped.
const DATAGRAM: usize = 2048;
/// Datagrams read from one socket before the others get their turn.
const TURN: usize = 32;

/// What a thread is told.
pub(super) enum Order {
    Open { call: CallKey, leg: LegId, rtp: std::net::UdpSocket, rtcp: std::net::UdpSocket },
    Call { call: CallKey, command: MediaCommand },
    Stop,
}

/// The way to a thread.
pub(super) struct Inbox {
    orders: Sender<Order>,
    wake: Wake,
}

impl Inbox {
    /// A thread's two ends.
    pub(super) fn open(
        silent_after: Duration,
        events: UnboundedSender<MediaEvent>,
    ) -> Result<(Inbox, Worker), MediaError> {
        let poll = Poll::new()?;
        let wake = Arc::new(Waker::new(poll.registry(), WAKE)?);
        let (orders, inbox) = channel();
        let now = Instant::now();
        let worker = Worker {
            poll,
            inbox,
            events,
            silent_after,
            calls: HashMap::new(),
            sockets: HashMap::new(),
            next_token: 1,
            closed: Vec::new(),
            playing: BTreeSet::new(),
            ticked: now,
            swept: now,
        };
        Ok((Inbox { orders, wake }, worker))
    }

    /// False when the thread has ended; its calls are over.
    pub(super) fn send(&self, order: Order) -> bool {
        self.orders.send(order).is_ok() && self.wake.wake().is_ok()
    }
}

/// Which socket a token names.
#[derive(Clone, Copy)]
struct Socket {
    call: CallKey,
    leg: LegId,
    control: bool,
}

#[derive(Default)]
struct CallMedia {
    legs: Vec<Leg>,
    /// Counters of the legs that were closed before the call.
    over: Vec<(LegId, LegCounters)>,
}

impl CallMedia {
    fn leg(&mut self, id: LegId) -> Option<&mut Leg> {
        self.legs.iter_mut().find(|leg| leg.id == id)
    }

    /// Whether both streams between a leg and its peer bear their senders' own numbers.
    fn is_untouched(&mut self, a: LegId, b: LegId) -> bool {
        [a, b].into_iter().all(|id| self.leg(id).is_some_and(|leg| leg.relay.is_untouched()))
    }

    /// Whoever heard this leg hears nobody now.
    fn part(&mut self, id: LegId) {
        self.legs.iter_mut().filter(|leg| leg.peer == Some(id)).for_each(|leg| leg.peer = None);
    }
}

/// The thread's state.
pub(super) struct Worker {
    poll: Poll,
    inbox: Receiver<Order>,
    events: UnboundedSender<MediaEvent>,
    silent_after: Duration,
    calls: HashMap<CallKey, CallMedia>,
    sockets: HashMap<Token, Socket>,
    next_token: usize,
    closed: Vec<(Instant, Leg)>,
    /// The legs that a prompt plays into.
    playing: BTreeSet<(CallKey, LegId)>,
    ticked: Instant,
    swept: Instant,
}

impl Worker {
    /// Works until told to stop.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(1024);
        let mut buffer = [0; DATAGRAM];
        loop {
            let patience = if self.playing.is_empty() { SWEEP } else { TICK };
            if self.poll.poll(&mut events, Some(patience)).is_err() {
                // Interrupted by a signal.
                continue;
            }
            for event in &events {
                match event.token() {
                    WAKE => {}
                    token => self.readable(token, &mut buffer),
                }
            }
            while let Ok(order) = self.inbox.try_recv() {
                match order {
                    Order::Stop => return,
                    Order::Open { call, leg, rtp, rtcp } => self.open(call, leg, rtp, rtcp),
                    Order::Call { call, command } => self.carry_out(call, command),
                }
            }
            self.tick(Instant::now());
        }
    }

    fn open(&mut self, call: CallKey, leg: LegId, rtp: std::net::UdpSocket, rtcp: std::net::UdpSocket) {
        let now = Instant::now();
        let mut leg = Leg::new(leg, mio::net::UdpSocket::from_std(rtp), mio::net::UdpSocket::from_std(rtcp), now);
        let (rtp_token, rtcp_token) = (Token(self.next_token), Token(self.next_token + 1));
        leg.tokens = [rtp_token, rtcp_token];
        self.next_token += 2;
        let registry = self.poll.registry();
        let registered = registry
            .register(&mut leg.rtp, rtp_token, Interest::READABLE)
            .and_then(|()| registry.register(&mut leg.rtcp, rtcp_token, Interest::READABLE));
        if registered.is_err() {
            // Only memory can be short here; the leg stays silent and is told so by its silence.
            return;
        }
        self.sockets.insert(rtp_token, Socket { call, leg: leg.id, control: false });
        self.sockets.insert(rtcp_token, Socket { call, leg: leg.id, control: true });
        self.close_leg(call, leg.id, now);
        self.calls.entry(call).or_default().legs.push(leg);
    }

    fn carry_out(&mut self, call: CallKey, command: MediaCommand) {
        let now = Instant::now();
        let Some(media) = self.calls.get_mut(&call) else {
            if let MediaCommand::Play { leg, prompt, .. } = command {
                self.tell(call, MediaEventKind::PromptRefused { leg, id: prompt.id, reason: Refused::NoSuchLeg });
            }
            return;
        };
        match command {
            MediaCommand::Remote { leg, rtp, rtcp, media: negotiated } => {
                let Some(leg) = media.leg(leg) else { return };
                leg.source.negotiated(rtp);
                if let Some(rtcp) = rtcp {
                    leg.control_source.negotiated(rtcp);
                }
                leg.relay.receiver_negotiated(negotiated.clone());
                leg.media = Some(negotiated.clone());
                (leg.last_packet, leg.told_silent) = (now, false);
                let peer = leg.peer;
                let id = leg.id;
                if let Some(peer) = peer.and_then(|id| media.leg(id)) {
                    peer.relay.sender_negotiated(negotiated);
                }
                self.after_relay(call, id, now);
            }
            MediaCommand::Bridge { a, b } => bridge(media, a, b),
            MediaCommand::Tap { leg, sink } => {
                if let Some(leg) = media.leg(leg) {
                    leg.tap = Some(sink);
                }
            }
            MediaCommand::Play { leg, prompt, duck_db } => {
                let id = prompt.id;
                let refused = Err(Refused::NoSuchLeg);
                match media.leg(leg).map_or(refused, |leg| leg.relay.play(prompt, duck_db, now)) {
                    Ok(()) => {
                        self.playing.insert((call, leg));
                    }
                    Err(reason) => self.tell(call, MediaEventKind::PromptRefused { leg, id, reason }),
                }
                self.after_relay(call, leg, now);
            }
            MediaCommand::StopPrompt { leg } => {
                if let Some(leg) = media.leg(leg) {
                    leg.relay.stop();
                }
                self.after_relay(call, leg, now);
            }
            MediaCommand::CloseLeg { leg } => self.close_leg(call, leg, now),
            MediaCommand::Close => self.close(call, now),
        }
    }

    fn close(&mut self, call: CallKey, now: Instant) {
        while let Some(leg) = self.calls.get(&call).and_then(|media| media.legs.first()).map(|leg| leg.id) {
            self.close_leg(call, leg, now);
        }
        if let Some(media) = self.calls.remove(&call) {
            self.tell(call, MediaEventKind::Closed { legs: media.over });
        }
    }

    fn close_leg(&mut self, call: CallKey, id: LegId, now: Instant) {
        let Some(media) = self.calls.get_mut(&call) else { return };
        let Some(at) = media.legs.iter().position(|leg| leg.id == id) else { return };
        let mut leg = media.legs.remove(at);
        media.part(id);
        media.over.push((id, leg.counters));
        self.playing.remove(&(call, id));
        leg.relay.cut();
        for event in leg.relay.events() {
            self.tell_at(call, now, told(id, event));
        }
        if leg.counters.tap_lost > leg.tap_lost_told {
            let packets = leg.counters.tap_lost - leg.tap_lost_told;
            self.tell_at(call, now, MediaEventKind::TapLost { leg: id, packets });
        }
        self.retire(leg, now);
    }

    fn retire(&mut self, mut leg: Leg, now: Instant) {
        let registry: &Registry = self.poll.registry();
        let _ = registry.deregister(&mut leg.rtp);
        let _ = registry.deregister(&mut leg.rtcp);
        for token in leg.tokens {
            self.sockets.remove(&token);
        }
        leg.tap = None;
        self.closed.push((now, leg));
    }

    fn readable(&mut self, token: Token, buffer: &mut [u8]) {
        let Some(socket) = self.sockets.get(&token).copied() else { return };
        // mio tells of each arrival once, so the socket is read until it is empty; TURN bounds what one busy peer can
        // take at once, and a full turn asks to be told again.
        for _ in 0..TURN {
            let now = Instant::now();
            let more = match socket.control {
                true => self.take_control(socket, buffer, now),
                false => self.take_packet(socket, buffer, now),
            };
            if !more {
                return;
            }
        }
        self.ask_again(token, socket);
    }

    fn ask_again(&mut self, token: Token, socket: Socket) {
        let registry = self.poll.registry();
        let Some(leg) = self.calls.get_mut(&socket.call).and_then(|c| c.leg(socket.leg)) else { return };
        let source = if socket.control { &mut leg.rtcp } else { &mut leg.rtp };
        let _ = registry.reregister(source, token, Interest::READABLE);
    }

    /// Takes one RTP datagram; false when there is none.
    fn take_packet(&mut self, socket: Socket, buffer: &mut [u8], now: Instant) -> bool {
        let Some(media) = self.calls.get_mut(&socket.call) else { return false };
        let Some(leg) = media.leg(socket.leg) else { return false };
        let (length, from) = match leg.rtp.recv_from(buffer) {
            Ok(received) => received,
            Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
        };
        let Some(packet) = Packet::parse(&buffer[..length]).ok().filter(|_| length < DATAGRAM) else {
            leg.counters.malformed += 1;
            return true;
        };
        let Some(Received { first, key }) = leg.receive(&packet, from, now) else { return true };
        if let Some(peer) = leg.peer
            && let Some(peer) = media.leg(peer)
            && let Some(bytes) = peer.relay.forward(&packet, now)
        {
            peer.send(&bytes);
            let peer = peer.id;
            self.after_relay(socket.call, peer, now);
        }
        if let Some(leg) = self.calls.get_mut(&socket.call).and_then(|c| c.leg(socket.leg)) {
            leg.tap(&packet, now);
        }
        if first {
            self.tell_at(socket.call, now, MediaEventKind::FirstPacket { leg: socket.leg });
        }
        if let Some(key) = key {
            let duration_ms = u32::from(key.duration) / 8;
            self.tell_at(socket.call, now, MediaEventKind::Dtmf { leg: socket.leg, digit: key.digit, duration_ms });
        }
        true
    }

    /// Relays one RTCP datagram. Its reports name sequence numbers, timestamps and SSRCs: they go on only while both
    /// streams bear their senders' own.
    fn take_control(&mut self, socket: Socket, buffer: &mut [u8], now: Instant) -> bool {
        let Some(media) = self.calls.get_mut(&socket.call) else { return false };
        let Some(leg) = media.leg(socket.leg) else { return false };
        let (length, from) = match leg.rtcp.recv_from(buffer) {
            Ok(received) => received,
            Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
        };
        let valid = (8..DATAGRAM).contains(&length) && buffer[0] >> 6 == 2 && (192..=223).contains(&buffer[1]);
        if !valid || leg.control_source.judge(from, None, now) == Verdict::Stranger {
            leg.counters.strangers += u64::from(valid);
            leg.counters.malformed += u64::from(!valid);
            return true;
        }
        if let Some(peer) = leg.peer
            && media.is_untouched(socket.leg, peer)
            && let Some(peer) = media.leg(peer)
            && let Some(to) = peer.control_source.destination()
        {
            let _ = peer.rtcp.send_to(&buffer[..length], to);
        }
        true
    }

    /// Tells what the stream towards a leg went through.
    fn after_relay(&mut self, call: CallKey, leg: LegId, now: Instant) {
        let Some(state) = self.calls.get_mut(&call).and_then(|c| c.leg(leg)) else { return };
        if !state.relay.is_playing() {
            self.playing.remove(&(call, leg));
        }
        for event in state.relay.events() {
            self.tell_at(call, now, told(leg, event));
        }
    }

    fn tick(&mut self, now: Instant) {
        if !self.playing.is_empty() && now.duration_since(self.ticked) >= TICK {
            self.ticked = now;
            self.play(now);
        }
        if now.duration_since(self.swept) < SWEEP {
            return;
        }
        self.swept = now;
        self.closed.retain(|(at, _)| now.duration_since(*at) < LINGER);
        let silent_after = self.silent_after;
        let mut happened = Vec::new();
        for (call, media) in &mut self.calls {
            for leg in &mut media.legs {
                let owes = leg.media.as_ref().is_some_and(|m| m.sends) && leg.peer.is_some();
                if owes && !leg.told_silent && now.duration_since(leg.last_packet) >= silent_after {
                    leg.told_silent = true;
                    happened.push((*call, MediaEventKind::Silent { leg: leg.id }));
                }
                let packets = leg.counters.tap_lost - leg.tap_lost_told;
                if packets > 0 {
                    leg.tap_lost_told = leg.counters.tap_lost;
                    happened.push((*call, MediaEventKind::TapLost { leg: leg.id, packets }));
                }
            }
        }
        for (call, kind) in happened {
            self.tell_at(call, now, kind);
        }
    }

    fn play(&mut self, now: Instant) {
        for (call, id) in self.playing.clone() {
            let Some(leg) = self.calls.get_mut(&call).and_then(|c| c.leg(id)) else { continue };
            // Without an address nothing can be heard yet: the prompt waits.
            if leg.source.destination().is_some()
                && let Some(bytes) = leg.relay.tick(now, || (rand::random(), rand::random(), rand::random()))
            {
                leg.send(&bytes);
            }
            self.after_relay(call, id, now);
        }
    }

    fn tell(&self, call: CallKey, kind: MediaEventKind) {
        self.tell_at(call, Instant::now(), kind);
    }

    fn tell_at(&self, call: CallKey, at: Instant, kind: MediaEventKind) {
        // Nobody listens any more only when the service is stopping.
        let _ = self.events.send(MediaEvent { call, at, kind });
    }
}

fn bridge(media: &mut CallMedia, a: LegId, b: LegId) {
    let negotiated = |media: &mut CallMedia, id| media.leg(id).and_then(|l| l.media.clone());
    let (of_a, of_b) = (negotiated(media, a), negotiated(media, b));
    // Whoever was heard by one of them before would now speak into the same stream.
    media.part(a);
    media.part(b);
    for (id, peer, peers_media) in [(a, b, of_b), (b, a, of_a)] {
        let Some(leg) = media.leg(id) else { continue };
        leg.peer = Some(peer);
        if let Some(peers_media) = peers_media {
            leg.relay.sender_negotiated(peers_media);
        }
    }
}

fn told(leg: LegId, event: Event) -> MediaEventKind {
    match event {
        Event::PromptHeard(id) => MediaEventKind::PromptHeard { leg, id },
        Event::PromptEnded(id) => MediaEventKind::PromptEnded { leg, id },
    }
}
