//! From answer to hang-up: hold, resume, codec change, refresh, relayed requests, BYE.

use std::time::Instant;

use super::{Action, Call, Cause, ExchangeId, MidCall, Origin, Outgoing, Pending, Phase, Reply};
use crate::media::LegId;
use crate::sip::rsip::{Header, Method};
use crate::sip::sdp::Sdp;
use crate::sip::session_timer;

const METHOD_NOT_ALLOWED: u16 = 405;
const NO_SUCH_CALL: u16 = 481;
const REQUEST_TERMINATED: u16 = 487;
const REQUEST_PENDING: u16 = 491;
const SERVER_ERROR: u16 = 500;
const DECLINE: u16 = 603;

impl Call {
    pub(super) fn acked(&mut self, leg: LegId, sdp: Option<Sdp>) -> Vec<Action> {
        if self.phase == Phase::Answered && leg == LegId::CALLER {
            self.phase = Phase::Established;
        }
        // The answer to an offer that came in a 2xx goes on in the ACK of the other leg (RFC 3261 §13.2.2.4).
        let Some(owed) = self.ack_owed.take_if(|owed| *owed != leg) else { return Vec::new() };
        let mut actions = Vec::new();
        let answer = sdp.and_then(|sdp| {
            actions.extend(Call::media(leg, &sdp));
            let text = self.leg(owed)?.present(&sdp);
            self.leg(leg)?.said = Some(sdp);
            Some(text)
        });
        actions.push(Action::Ack(owed, Outgoing { sdp: answer, ..Default::default() }));
        actions
    }

    pub(super) fn ack_missing(&mut self, leg: LegId) -> Vec<Action> {
        match self.phase {
            Phase::Answered | Phase::Established => self.end(Cause::HungUp(leg), None, Vec::new()),
            _ => Vec::new(),
        }
    }

    pub(super) fn hang_up(&mut self, reason: &'static str) -> Vec<Action> {
        match self.phase {
            Phase::Ringing => self.give_up(REQUEST_TERMINATED, Cause::Callward(reason)),
            Phase::Answered | Phase::Established => self.end(Cause::Callward(reason), None, Vec::new()),
            Phase::Ended => Vec::new(),
        }
    }

    /// BYE to every leg of the conversation but the one that already left.
    fn end(&mut self, cause: Cause, left: Option<LegId>, headers: Vec<Header>) -> Vec<Action> {
        self.phase = Phase::Ended;
        let mut actions: Vec<Action> =
            self.ack_owed.take().map(|l| Action::Ack(l, Outgoing::default())).into_iter().collect();
        let legs: Vec<LegId> = self.legs().map(|l| l.id).filter(|id| Some(*id) != left).collect();
        actions.extend(legs.into_iter().map(|id| Action::Bye(id, headers.clone())));
        // Requests that were under way get an answer rather than silence.
        for (_, pending) in std::mem::take(&mut self.pending) {
            if let Origin::Relayed(from, exchange, _) = pending.origin {
                actions.push(Action::Respond(from, exchange, REQUEST_TERMINATED, Outgoing::default()));
            }
        }
        actions.push(Action::Ended(cause));
        actions
    }

    pub(super) fn request(&mut self, leg: LegId, exchange: ExchangeId, request: MidCall, now: Instant) -> Vec<Action> {
        let respond = |status| vec![Action::Respond(leg, exchange, status, Outgoing::default())];
        if self.phase == Phase::Ringing {
            return match (leg, request.method) {
                // A caller may end an early dialog with BYE instead of CANCEL (RFC 3261 §15).
                (LegId::CALLER, Method::Bye) => [respond(200), self.cancelled()].concat(),
                (_, Method::Options) => respond(200),
                _ => respond(REQUEST_PENDING),
            };
        }
        let Some(to) = self.other(leg).filter(|_| self.phase != Phase::Ended) else { return respond(NO_SUCH_CALL) };
        if let Some(timer) = self.leg(leg).and_then(|l| l.timer.as_mut()) {
            timer.refresh(now);
        }
        match request.method {
            Method::Bye => [respond(200), self.end(Cause::HungUp(leg), Some(leg), request.headers)].concat(),
            Method::Options => respond(200),
            Method::Update if request.sdp.is_none() => respond(200),
            Method::Invite | Method::Update => self.offer(leg, to, exchange, request),
            Method::Refer if names_another_dialog(&request) => respond(DECLINE),
            Method::Info | Method::Message | Method::Refer | Method::Notify => {
                self.relay(leg, to, exchange, request.method, &request, None)
            }
            _ => respond(METHOD_NOT_ALLOWED),
        }
    }

    /// A new offer (or, without one, a request for ours) from a leg within the call.
    fn offer(&mut self, leg: LegId, to: LegId, exchange: ExchangeId, request: MidCall) -> Vec<Action> {
        let busy_with = |call: &Call, l: LegId| {
            call.pending.iter().any(|(_, p)| {
                matches!(p.sent, Method::Invite | Method::Update)
                    && matches!(p.origin, Origin::Relayed(from, ..) if from == l)
            })
        };
        if busy_with(self, leg) {
            let headers = vec![Header::RetryAfter("1".to_string().into())];
            return vec![Action::Respond(leg, exchange, SERVER_ERROR, Outgoing { headers, ..Default::default() })];
        }
        if busy_with(self, to)
            || self.pending.iter().any(|(_, p)| p.origin == Origin::Refresh)
            || self.ack_owed.is_some()
        {
            return vec![Action::Respond(leg, exchange, REQUEST_PENDING, Outgoing::default())];
        }
        let Some(from) = self.leg(leg) else { return Vec::new() };
        let unchanged = match (&request.sdp, &from.said) {
            (Some(new), Some(old)) => {
                new.version() == old.version() && new.media() == old.media() && new.rtp() == old.rtp()
            }
            _ => false,
        };
        if unchanged {
            // A session refresh: the other leg has a timer of its own and need not hear of it (RFC 4028 §7.4).
            let sdp = from.presented.clone();
            return vec![Action::Respond(leg, exchange, 200, Outgoing { sdp, ..Default::default() })];
        }
        let method = match self.leg(to).is_some_and(|l| l.allows_update) {
            true => request.method,
            false => Method::Invite,
        };
        let offer = request.sdp.clone();
        self.relay(leg, to, exchange, method, &request, offer)
    }

    fn relay(
        &mut self,
        from: LegId,
        to: LegId,
        exchange: ExchangeId,
        method: Method,
        request: &MidCall,
        offer: Option<Sdp>,
    ) -> Vec<Action> {
        let sdp = offer.as_ref().and_then(|sdp| self.leg(to).map(|l| l.present(sdp)));
        let origin = Origin::Relayed(from, exchange, request.method);
        let (body, headers) = (request.body.clone(), request.headers.clone());
        self.send(to, method, origin, offer, Outgoing { sdp, body, headers })
    }

    fn send(&mut self, to: LegId, sent: Method, origin: Origin, offer: Option<Sdp>, outgoing: Outgoing) -> Vec<Action> {
        let id = ExchangeId(self.next_exchange);
        self.next_exchange += 1;
        self.pending.push((id, Pending { to, sent, origin, offer }));
        vec![Action::Request(to, id, sent, outgoing)]
    }

    /// Refreshes a leg's session by repeating the description it already has.
    pub(super) fn refresh(&mut self, leg: LegId, now: Instant) -> Vec<Action> {
        let Some(expires) = self.session_expires else { return Vec::new() };
        let busy = !self.pending.is_empty() || self.ack_owed.is_some();
        let Some(state) = self.leg(leg) else { return Vec::new() };
        if let Some(timer) = &mut state.timer {
            timer.refresh(now);
        }
        if busy {
            // Whatever is under way refreshes the session as well, or fails and ends it.
            return Vec::new();
        }
        let headers = session_timer::ask(expires).to_vec();
        let (method, sdp) = match state.allows_update {
            true => (Method::Update, None),
            false => (Method::Invite, state.presented.clone()),
        };
        self.send(leg, method, Origin::Refresh, None, Outgoing { sdp, body: None, headers })
    }

    pub(super) fn response(&mut self, leg: LegId, exchange: ExchangeId, reply: Reply, now: Instant) -> Vec<Action> {
        let known = self.pending.iter().position(|(id, p)| *id == exchange && p.to == leg);
        let Some(at) = known else { return Vec::new() };
        let (_, pending) = self.pending.remove(at);
        let success = (200..300).contains(&reply.status);
        if success && let Some(timer) = self.leg(leg).and_then(|l| l.timer.as_mut()) {
            timer.refresh(now);
        }
        let mut actions = match (pending.origin, success) {
            (Origin::Refresh, true) => self.refreshed(&pending, reply.sdp.as_ref()),
            (Origin::Refresh, false) => Vec::new(),
            (Origin::Relayed(from, exchange, asked), true) => self.relayed(from, exchange, asked, pending, &reply),
            (Origin::Relayed(from, exchange, _), false) => {
                let outgoing = Outgoing { sdp: None, body: reply.body.clone(), headers: reply.headers.clone() };
                let status = if matches!(reply.status, 401 | 407) { SERVER_ERROR } else { reply.status };
                vec![Action::Respond(from, exchange, status, outgoing)]
            }
        };
        // The peer is gone or has lost the dialog (RFC 3261 §12.2.1.2).
        if matches!(reply.status, 408 | NO_SUCH_CALL) {
            actions.extend(self.end(Cause::HungUp(leg), None, Vec::new()));
        }
        actions
    }

    fn refreshed(&mut self, pending: &Pending, sdp: Option<&Sdp>) -> Vec<Action> {
        let mut actions = Vec::new();
        if pending.sent == Method::Invite {
            actions.push(Action::Ack(pending.to, Outgoing::default()));
        }
        if let Some(sdp) = sdp {
            actions.extend(Call::media(pending.to, sdp));
            if let Some(leg) = self.leg(pending.to) {
                leg.said = Some(sdp.clone());
            }
        }
        actions
    }

    /// A 2xx to a relayed request goes back to where the request came from.
    fn relayed(
        &mut self,
        from: LegId,
        exchange: ExchangeId,
        asked: Method,
        pending: Pending,
        reply: &Reply,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        if pending.sent == Method::Invite {
            match asked == Method::Invite && pending.offer.is_none() {
                true => self.ack_owed = Some(pending.to),
                false => actions.push(Action::Ack(pending.to, Outgoing::default())),
            }
        }
        if let Some(offer) = &pending.offer {
            actions.extend(Call::media(from, offer));
            if let Some(leg) = self.leg(from) {
                leg.said = Some(offer.clone());
            }
        }
        let sdp = reply.sdp.as_ref().and_then(|sdp| {
            actions.extend(Call::media(pending.to, sdp));
            self.leg(pending.to)?.said = Some(sdp.clone());
            Some(self.leg(from)?.present(sdp))
        });
        let (body, headers) = (reply.body.clone(), reply.headers.clone());
        actions.push(Action::Respond(from, exchange, reply.status, Outgoing { sdp, body, headers }));
        actions
    }
}

/// A REFER that would replace another dialog (RFC 3891) names identifiers of a leg the other side has never seen; we
/// cannot translate them, so an attended transfer is declined and a blind one passed on.
fn names_another_dialog(request: &MidCall) -> bool {
    request
        .headers
        .iter()
        .any(|h| h.name().eq_ignore_ascii_case("Refer-To") && h.value().to_ascii_lowercase().contains("replaces="))
}
