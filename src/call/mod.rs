//! Pure: one call between a caller (leg A) and the phones of a subscriber (legs B), as a state machine.
//!
//! [`Input`] says what happened on a leg, [`Action`] what to do about it; read in order they tell the story of the
//! call. Nothing here knows transactions, tags or sockets: the shell turns actions into SIP and SIP into inputs. The
//! rules are those of a back-to-back user agent that forks (RFC 3261 §16.7 for choosing the best refusal, §13 and §14
//! for INVITE and re-INVITE, RFC 3264 for offer/answer, RFC 3311 for UPDATE, RFC 4028 for session timers).

use std::time::{Duration, Instant};

use crate::media::{LegId, LegMedia};
use crate::sip::rsip::{Header, Method};
use crate::sip::sdp::{Anchor, Sdp};
use crate::sip::session_timer::{Proposal, SessionTimer};

mod established;
mod setup;

/// A request within the call and its response. Incoming ones are named by the shell, outgoing ones by the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ExchangeId(pub u64);

/// A body that is not SDP: carried, not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// Its Content-Type.
    pub content_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A request within the call, as received.
#[derive(Debug, Clone)]
pub struct MidCall {
    /// What is asked.
    pub method: Method,
    /// Its session description.
    pub sdp: Option<Sdp>,
    /// Any other body.
    pub body: Option<Body>,
    /// Headers that may cross (see [`crate::sip::crossing`]).
    pub headers: Vec<Header>,
    /// What it says about session timers.
    pub timer: Proposal,
}

/// A response, as received on one leg.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Its session description.
    pub sdp: Option<Sdp>,
    /// Any other body.
    pub body: Option<Body>,
    /// Headers that may cross.
    pub headers: Vec<Header>,
    /// What it says about session timers.
    pub timer: Proposal,
    /// Whether its Allow names UPDATE.
    pub allows_update: bool,
}

/// A request or response as it is to be sent: the session description already rewritten for that leg.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outgoing {
    /// Session description.
    pub sdp: Option<String>,
    /// Any other body.
    pub body: Option<Body>,
    /// Headers that cross.
    pub headers: Vec<Header>,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// A phone rings or plays early media (1xx above 100).
    Progress(LegId, Reply),
    /// A phone answered (2xx).
    Answered(LegId, Reply),
    /// A phone refused, or could not be reached (any other final response, 408 and 503 also from our own timers).
    Refused(LegId, Reply),
    /// The caller gave up before an answer.
    Cancelled,
    /// The ACK of our 2xx on this leg, with the answer when the offer was ours.
    Acked(LegId, Option<Sdp>),
    /// No ACK came for our 2xx.
    AckMissing(LegId),
    /// A request within the call.
    Request(LegId, ExchangeId, MidCall),
    /// The final response to a request of ours within the call.
    Response(LegId, ExchangeId, Reply),
    /// Callward ends the call: the callee's key, lost media, shutdown.
    HangUp(&'static str),
    /// Time has passed; see [`Call::deadline`].
    Tick,
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Send the INVITE of this leg.
    Invite(LegId, Outgoing),
    /// CANCEL the INVITE of this leg.
    CancelInvite(LegId),
    /// Send a provisional response to the caller, in the early dialog that stands for this phone.
    Progress(LegId, u16, Outgoing),
    /// Send the final response to the caller's INVITE, in the dialog that stands for this phone.
    Final(LegId, u16, Outgoing),
    /// ACK the 2xx of this leg's latest INVITE.
    Ack(LegId, Outgoing),
    /// Send a request within the call.
    Request(LegId, ExchangeId, Method, Outgoing),
    /// Answer a request within the call.
    Respond(LegId, ExchangeId, u16, Outgoing),
    /// End the leg.
    Bye(LegId, Vec<Header>),
    /// What a leg negotiated, for the media engine.
    Media(LegId, Negotiated),
    /// These two legs hear each other.
    Bridge(LegId, LegId),
    /// This phone answered: the conversation begins.
    Connected(LegId),
    /// The call is over.
    Ended(Cause),
}

/// A leg's media as negotiated (address and formats), small enough to compare in tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// Where the peer wants RTP.
    pub rtp: std::net::SocketAddr,
    /// Where the peer wants RTCP.
    pub rtcp: Option<std::net::SocketAddr>,
    /// Formats and direction.
    pub media: LegMedia,
}

/// Why a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Nobody answered; the status the caller got.
    Refused(u16),
    /// The caller gave up while it rang.
    Cancelled,
    /// This leg hung up.
    HungUp(LegId),
    /// Callward ended it, and why.
    Callward(&'static str),
}

/// What a call is made from.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The caller's offer; `None` leaves the offer to the phones.
    pub offer: Option<Sdp>,
    /// Our media address towards the caller.
    pub caller: Anchor,
    /// The phones to ring and our media address towards each.
    pub phones: Vec<(LegId, Anchor)>,
    /// How long it may ring.
    pub ring_timeout: Duration,
    /// What the INVITE says about session timers.
    pub timer: Proposal,
    /// Session interval we ask for; `None` switches session timers off.
    pub session_expires: Option<u32>,
    /// Whether the caller's Allow names UPDATE.
    pub caller_allows_update: bool,
}

/// One leg as the call sees it.
#[derive(Debug)]
struct Leg {
    id: LegId,
    anchor: Anchor,
    /// The last description we sent there.
    presented: Option<String>,
    /// The last description it sent.
    said: Option<Sdp>,
    timer: Option<SessionTimer>,
    allows_update: bool,
}

impl Leg {
    fn new(id: LegId, anchor: Anchor) -> Leg {
        Leg { id, anchor, presented: None, said: None, timer: None, allows_update: false }
    }

    /// Rewrites the other side's description for this leg, with the next version if it changed.
    fn present(&mut self, sdp: &Sdp) -> String {
        let same = sdp.anchored(&self.anchor);
        if self.presented.as_ref() == Some(&same) {
            return same;
        }
        self.anchor.version += 1;
        let text = sdp.anchored(&self.anchor);
        self.presented = Some(text.clone());
        text
    }
}

/// How far a phone has come.
#[derive(Debug, Clone, PartialEq)]
enum Ringing {
    /// INVITE sent, nothing heard. A CANCEL must wait for the first response (RFC 3261 §9.1).
    Calling { cancel: bool },
    /// It rings.
    Proceeding,
    /// CANCEL sent.
    Cancelling,
    /// It answered or refused.
    Final,
}

#[derive(Debug)]
struct Phone {
    leg: Leg,
    state: Ringing,
    refusal: Option<Reply>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Ringing,
    /// 2xx sent to the caller, its ACK not yet seen.
    Answered,
    Established,
    Ended,
}

/// A request of ours that waits for its response.
#[derive(Debug)]
struct Pending {
    to: LegId,
    sent: Method,
    origin: Origin,
    /// The offer it carried, if any.
    offer: Option<Sdp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Relayed from this leg's request.
    Relayed(LegId, ExchangeId, Method),
    /// A session refresh of ours.
    Refresh,
}

/// One call.
#[derive(Debug)]
pub struct Call {
    phase: Phase,
    caller: Leg,
    phones: Vec<Phone>,
    /// The phone that answered.
    chosen: Option<LegId>,
    /// The phone whose early media the caller hears.
    early: Option<LegId>,
    offered: bool,
    ring_deadline: Instant,
    session_expires: Option<u32>,
    pending: Vec<(ExchangeId, Pending)>,
    next_exchange: u64,
    /// A leg whose INVITE 2xx we acknowledge once the other leg's answer has come.
    ack_owed: Option<LegId>,
}

impl Call {
    /// A call that begins to ring; returns what to send first.
    pub fn new(setup: Setup, now: Instant) -> (Call, Vec<Action>) {
        let mut caller = Leg::new(LegId::CALLER, setup.caller);
        caller.said = setup.offer.clone();
        caller.allows_update = setup.caller_allows_update;
        caller.timer = setup.session_expires.and_then(|wanted| SessionTimer::answer(&setup.timer, wanted, now));
        let phones = setup.phones.into_iter().map(|(id, anchor)| Phone {
            leg: Leg::new(id, anchor),
            state: Ringing::Calling { cancel: false },
            refusal: None,
        });
        let mut call = Call {
            phase: Phase::Ringing,
            caller,
            phones: phones.collect(),
            chosen: None,
            early: None,
            offered: setup.offer.is_some(),
            ring_deadline: now + setup.ring_timeout,
            session_expires: setup.session_expires,
            pending: Vec::new(),
            next_exchange: 0,
            ack_owed: None,
        };
        let actions = call.ring(setup.offer.as_ref());
        (call, actions)
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Instant, input: Input) -> Vec<Action> {
        match input {
            Input::Progress(leg, reply) => self.progress(leg, reply),
            Input::Answered(leg, reply) => self.answered(leg, reply, now),
            Input::Refused(leg, reply) => self.refused(leg, reply),
            Input::Cancelled => self.cancelled(),
            Input::Acked(leg, sdp) => self.acked(leg, sdp),
            Input::AckMissing(leg) => self.ack_missing(leg),
            Input::Request(leg, exchange, request) => self.request(leg, exchange, request, now),
            Input::Response(leg, exchange, reply) => self.response(leg, exchange, reply, now),
            Input::HangUp(reason) => self.hang_up(reason),
            Input::Tick => self.tick(now),
        }
    }

    /// When to send [`Input::Tick`].
    pub fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Ringing => Some(self.ring_deadline),
            Phase::Answered | Phase::Established => self.legs().filter_map(|l| l.timer).map(|t| t.deadline()).min(),
            Phase::Ended => None,
        }
    }

    /// The session timer granted to a leg, for the header of our 2xx.
    pub fn session_timer(&self, leg: LegId) -> Option<SessionTimer> {
        self.legs().find(|l| l.id == leg).and_then(|l| l.timer)
    }

    /// Whether nothing more can happen: the call has ended and no phone still owes a final response.
    pub fn is_finished(&self) -> bool {
        self.phase == Phase::Ended && self.phones.iter().all(|p| p.state == Ringing::Final)
    }

    fn legs(&self) -> impl Iterator<Item = &Leg> {
        let chosen = self.chosen;
        std::iter::once(&self.caller).chain(self.phones.iter().map(|p| &p.leg).filter(move |l| Some(l.id) == chosen))
    }

    fn leg(&mut self, id: LegId) -> Option<&mut Leg> {
        match id {
            LegId::CALLER => Some(&mut self.caller),
            id => self.phones.iter_mut().map(|p| &mut p.leg).find(|l| l.id == id),
        }
    }

    fn phone(&mut self, id: LegId) -> Option<&mut Phone> {
        self.phones.iter_mut().find(|p| p.leg.id == id)
    }

    /// The leg at the other end of the conversation.
    fn other(&self, id: LegId) -> Option<LegId> {
        let chosen = self.chosen?;
        match id {
            LegId::CALLER => Some(chosen),
            id if id == chosen => Some(LegId::CALLER),
            _ => None,
        }
    }

    fn media(leg: LegId, sdp: &Sdp) -> Option<Action> {
        let (rtp, rtcp) = (sdp.rtp()?, sdp.rtcp());
        Some(Action::Media(leg, Negotiated { rtp, rtcp, media: sdp.media() }))
    }
}

#[cfg(test)]
mod tests;
