//! From INVITE to answer: ringing the phones, early media, choosing the winner or the best refusal.

use std::time::Instant;

use super::{Action, Call, Cause, Input, Outgoing, Phase, Reply, Ringing};
use crate::media::LegId;
use crate::sip::sdp::Sdp;
use crate::sip::session_timer::{Due, SessionTimer};

/// Nobody picked up: the callee's phones work, the callee is away (RFC 3261 §21.4.18).
const NO_ANSWER: u16 = 480;
const REQUEST_TERMINATED: u16 = 487;
/// The phone's 2xx could not be used.
const BAD_GATEWAY: u16 = 502;

impl Call {
    pub(super) fn ring(&mut self, offer: Option<&Sdp>) -> Vec<Action> {
        let mut actions: Vec<Action> = offer.and_then(|sdp| Call::media(LegId::CALLER, sdp)).into_iter().collect();
        for phone in &mut self.phones {
            let sdp = offer.map(|sdp| phone.leg.present(sdp));
            actions.push(Action::Invite(phone.leg.id, Outgoing { sdp, ..Default::default() }));
        }
        if self.phones.is_empty() {
            self.phase = Phase::Ended;
            actions.push(Action::Final(LegId(1), NO_ANSWER, Outgoing::default()));
            actions.push(Action::Ended(Cause::Refused(NO_ANSWER)));
        }
        actions
    }

    pub(super) fn progress(&mut self, leg: LegId, reply: Reply) -> Vec<Action> {
        let Some(phone) = self.phone(leg) else { return Vec::new() };
        match phone.state {
            Ringing::Calling { cancel: true } => {
                phone.state = Ringing::Cancelling;
                return vec![Action::CancelInvite(leg)];
            }
            Ringing::Calling { .. } => phone.state = Ringing::Proceeding,
            Ringing::Proceeding => {}
            Ringing::Cancelling | Ringing::Final => return Vec::new(),
        }
        if self.phase != Phase::Ringing || reply.status <= 100 {
            return Vec::new();
        }
        // Two phones cannot be heard at once: the first with early media is.
        let heard = reply.sdp.as_ref().filter(|_| self.early.is_none_or(|early| early == leg));
        let mut actions = Vec::new();
        let mut sdp = None;
        if let Some(early) = heard {
            self.early = Some(leg);
            sdp = Some(self.caller.present(early));
            actions.extend(Call::media(leg, early));
            actions.push(Action::Bridge(LegId::CALLER, leg));
        }
        if let Some(phone) = self.phone(leg)
            && reply.sdp.is_some()
        {
            phone.leg.said = reply.sdp;
        }
        let (body, headers) = (reply.body, reply.headers);
        actions.push(Action::Progress(leg, reply.status, Outgoing { sdp, body, headers }));
        actions
    }

    pub(super) fn answered(&mut self, leg: LegId, reply: Reply, now: Instant) -> Vec<Action> {
        let ringing = self.phase == Phase::Ringing;
        let wants_timer = self.session_expires.is_some();
        let offered = self.offered;
        let Some(phone) = self.phone(leg) else { return Vec::new() };
        let repeated = phone.state == Ringing::Final;
        phone.state = Ringing::Final;
        if repeated {
            return Vec::new();
        }
        if !ringing {
            // It answered while our CANCEL was on its way, or second: it must not be left talking to nobody.
            return vec![Action::Ack(leg, Outgoing::default()), Action::Bye(leg, Vec::new())];
        }
        // The answer may have come in a provisional response already (RFC 3261 §13.2.1).
        let Some(sdp) = reply.sdp.or_else(|| phone.leg.said.clone()) else {
            phone.refusal = Some(Reply { status: BAD_GATEWAY, ..Default::default() });
            let mut actions = vec![Action::Ack(leg, Outgoing::default()), Action::Bye(leg, Vec::new())];
            actions.extend(self.conclude_if_all_refused());
            return actions;
        };
        phone.leg.allows_update = reply.allows_update;
        phone.leg.timer = wants_timer.then(|| SessionTimer::granted(&reply.timer, now)).flatten();
        phone.leg.said = Some(sdp.clone());
        self.phase = Phase::Answered;
        self.chosen = Some(leg);
        let mut actions = self.cancel_phones();
        if offered {
            actions.push(Action::Ack(leg, Outgoing::default()));
        } else {
            self.ack_owed = Some(leg);
        }
        actions.extend(Call::media(leg, &sdp));
        actions.push(Action::Bridge(LegId::CALLER, leg));
        let sdp = Some(self.caller.present(&sdp));
        actions.push(Action::Final(leg, 200, Outgoing { sdp, body: reply.body, headers: reply.headers }));
        actions.push(Action::Connected(leg));
        actions
    }

    pub(super) fn refused(&mut self, leg: LegId, reply: Reply) -> Vec<Action> {
        let Some(phone) = self.phone(leg) else { return Vec::new() };
        phone.state = Ringing::Final;
        let everywhere = reply.status >= 600;
        phone.refusal = Some(reply);
        if self.phase != Phase::Ringing {
            return Vec::new();
        }
        // A 6xx speaks for the callee, not the phone: the others stop ringing too (RFC 3261 §16.7 step 5).
        let mut actions = if everywhere { self.cancel_phones() } else { Vec::new() };
        actions.extend(self.conclude_if_all_refused());
        actions
    }

    fn conclude_if_all_refused(&mut self) -> Vec<Action> {
        let refusals: Vec<(LegId, &Reply)> =
            self.phones.iter().filter_map(|p| p.refusal.as_ref().map(|r| (p.leg.id, r))).collect();
        let decided = refusals.len() == self.phones.len() || refusals.iter().any(|(_, r)| r.status >= 600);
        let best = refusals.into_iter().min_by_key(|(_, r)| rank(r.status)).map(|(leg, r)| (leg, r.clone()));
        let Some((leg, best)) = best.filter(|_| decided) else { return Vec::new() };
        self.phase = Phase::Ended;
        // A challenge is for us, who have no password of the phone's; the caller could only answer it with theirs.
        let status = if matches!(best.status, 401 | 407) { 500 } else { best.status };
        let outgoing = Outgoing { sdp: None, body: best.body, headers: best.headers };
        vec![Action::Final(leg, status, outgoing), Action::Ended(Cause::Refused(status))]
    }

    pub(super) fn cancelled(&mut self) -> Vec<Action> {
        if self.phase != Phase::Ringing {
            return Vec::new();
        }
        self.give_up(REQUEST_TERMINATED, Cause::Cancelled)
    }

    /// Stops ringing and gives the caller a final response of ours.
    pub(super) fn give_up(&mut self, status: u16, cause: Cause) -> Vec<Action> {
        self.phase = Phase::Ended;
        let mut actions = self.cancel_phones();
        let leg = self.early.unwrap_or(LegId(1));
        actions.push(Action::Final(leg, status, Outgoing::default()));
        actions.push(Action::Ended(cause));
        actions
    }

    fn cancel_phones(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        for phone in &mut self.phones {
            match phone.state {
                Ringing::Calling { .. } => phone.state = Ringing::Calling { cancel: true },
                Ringing::Proceeding => {
                    phone.state = Ringing::Cancelling;
                    actions.push(Action::CancelInvite(phone.leg.id));
                }
                Ringing::Cancelling | Ringing::Final => {}
            }
        }
        actions
    }

    pub(super) fn tick(&mut self, now: Instant) -> Vec<Action> {
        match self.phase {
            Phase::Ringing if now >= self.ring_deadline => self.give_up(NO_ANSWER, Cause::Refused(NO_ANSWER)),
            Phase::Answered | Phase::Established => {
                let due: Vec<(LegId, Due)> = self.legs().filter_map(|l| Some((l.id, l.timer?.due(now)?))).collect();
                due.into_iter()
                    .flat_map(|(leg, due)| match due {
                        Due::Refresh => self.refresh(leg, now),
                        Due::Expired => self.handle(now, Input::HangUp("session expired")),
                    })
                    .collect()
            }
            _ => Vec::new(),
        }
    }
}

/// The lower, the better a refusal is for the caller (RFC 3261 §16.7 step 6): 6xx decide, then the lowest class, and
/// within 4xx those that tell the caller something.
fn rank(status: u16) -> (u16, u16) {
    match status {
        600.. => (0, status),
        486 | 480 => (1, status),
        300..=399 => (2, status),
        408 | 503 => (9, status),
        _ => (status / 100, status),
    }
}
