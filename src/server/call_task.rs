//! Shell: the task of one call. It feeds [`Call`] with what the network says and carries out what it decides; the
//! screening of the conversation runs beside it ([`super::screen`]) and can fail without the call noticing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use super::leg::{self, Leg};
use super::media::{CallKey, MediaCommand, MediaEventKind};
use super::screen::{Screen, Understood};
use super::transaction::{self, ServerEvent, ServerTransaction};
use super::{Context, ServerError};
use crate::call::{Action, Call, Cause, ExchangeId, Input, MidCall, Negotiated, Outgoing, Reply};
use crate::media::LegId;
use crate::sip::dialog;
use crate::sip::reliable::{Poll, ReliableProvisionals};
use crate::sip::rsip::prelude::HeadersExt;
use crate::sip::rsip::{Header, Method, Request, Response, headers};

/// How long a finished call waits for the last words to be understood before it is concluded without them.
const CONCLUDE_WITHIN: Duration = Duration::from_secs(20);

/// What the task is told.
pub enum Signal {
    /// The caller's INVITE was cancelled, acknowledged or timed out.
    Caller(ServerEvent),
    /// A request arrived within one of the call's dialogs.
    Request(ServerTransaction, ExchangeId),
    /// What became of such a request after our response.
    Exchange(LegId, ServerEvent),
    /// A response to a phone's INVITE.
    InviteResponse(LegId, Box<Response>),
    /// A response to another request of ours.
    Response(LegId, ExchangeId, Box<Response>),
    /// A 2xx from a branch beyond a phone that already answered.
    StrayAnswer(LegId, Box<Response>),
    /// The media engine reports.
    Media(Instant, MediaEventKind),
    /// Speech was understood.
    Understood(Understood),
    /// The service is stopping.
    Shutdown,
}

/// How others reach the task.
pub type CallSender = mpsc::UnboundedSender<Signal>;

/// The caller's INVITE and what is special about being its server.
pub struct CallerInvite {
    /// The INVITE transaction.
    pub transaction: ServerTransaction,
    /// Our tag; each phone's early dialog has it with the leg's number added.
    pub tag: String,
    /// Provisional responses that must be acknowledged, if the caller wants that.
    pub reliable: Option<ReliableProvisionals<Response>>,
    /// A 2xx that waits for the PRACK of a session description (RFC 3262 §3).
    pub held_final: Option<Response>,
}

impl CallerInvite {
    fn tag_for(&self, leg: LegId) -> String {
        format!("{}-{}", self.tag, leg.0)
    }
}

/// The task.
pub struct CallTask {
    pub(super) context: Arc<Context>,
    pub(super) key: CallKey,
    pub(super) call: Call,
    pub(super) invite: CallerInvite,
    pub(super) legs: HashMap<LegId, Leg>,
    pub(super) screen: Screen,
    pub(super) sender: CallSender,
    pub(super) signals: mpsc::UnboundedReceiver<Signal>,
    pub(super) exchanges: HashMap<ExchangeId, (LegId, ServerTransaction)>,
    pub(super) acked: Vec<(String, String, u32)>,
    pub(super) cause: Option<Cause>,
}

impl CallTask {
    /// Runs until the call is over and concluded.
    pub async fn run(mut self, first: Vec<Action>) {
        self.perform(first).await;
        let mut give_up = None;
        while !(self.call.is_finished() && self.screen.is_concluded()) {
            if self.cause.is_some() && give_up.is_none() {
                give_up = Some(Instant::now() + CONCLUDE_WITHIN);
            }
            let reliable = self.invite.reliable.as_ref().and_then(|r| r.deadline());
            let deadline = [self.call.deadline(), reliable, give_up].into_iter().flatten().min();
            let wake = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                signal = self.signals.recv() => match signal {
                    Some(signal) => self.take(signal).await,
                    None => break,
                },
                () = wake => {
                    let now = Instant::now();
                    if give_up.is_some_and(|at| now >= at) {
                        break;
                    }
                    self.feed(Input::Tick).await;
                    self.poll_reliable().await;
                }
            }
        }
        self.screen.conclude(&self.context);
        self.close();
    }

    async fn feed(&mut self, input: Input) {
        let actions = self.call.handle(Instant::now(), input);
        self.perform(actions).await;
    }

    async fn take(&mut self, signal: Signal) {
        match signal {
            Signal::Caller(ServerEvent::Cancelled) => self.feed(Input::Cancelled).await,
            Signal::Caller(event) => self.exchange_event(LegId::CALLER, event).await,
            Signal::Exchange(leg, event) => self.exchange_event(leg, event).await,
            Signal::Request(transaction, exchange) => self.request(transaction, exchange).await,
            Signal::InviteResponse(leg, response) => self.invite_response(leg, *response).await,
            Signal::Response(leg, exchange, response) => {
                if response.status_code.code() >= 200 {
                    self.learn(leg, &response);
                    self.feed(Input::Response(leg, exchange, leg::reply(&response))).await;
                }
            }
            Signal::StrayAnswer(leg, response) => self.end_stray(leg, &response).await,
            Signal::Media(at, event) => self.media_event(at, event).await,
            Signal::Understood(understood) => self.screen.understood(&self.context, understood),
            Signal::Shutdown => self.feed(Input::HangUp("service stopping")).await,
        }
    }

    async fn exchange_event(&mut self, leg: LegId, event: ServerEvent) {
        match event {
            ServerEvent::Acked(ack) => {
                let sdp = leg::content(&*ack, &ack.body).ok().and_then(|c| c.sdp);
                self.feed(Input::Acked(leg, sdp)).await;
            }
            ServerEvent::NotAcked => self.feed(Input::AckMissing(leg)).await,
            ServerEvent::Cancelled => {}
        }
    }

    async fn invite_response(&mut self, leg: LegId, response: Response) {
        let status = response.status_code.code();
        if status > 100 && status < 300 {
            self.learn(leg, &response);
        }
        if let Some(rseq) = leg::wants_prack(&response)
            && !self.prack(leg, &response, rseq).await
        {
            return;
        }
        let reply = leg::reply(&response);
        self.feed(match status {
            ..200 => Input::Progress(leg, reply),
            200..300 => Input::Answered(leg, reply),
            _ => Input::Refused(leg, reply),
        })
        .await;
    }

    fn learn(&mut self, leg: LegId, response: &Response) {
        if let Some(leg) = self.legs.get_mut(&leg)
            && leg.dialog.learn(response).is_err()
        {
            debug!("response without a usable To");
        }
    }

    /// Acknowledges a phone's reliable provisional response; false for one out of order, which is ignored
    /// (RFC 3262 §4).
    async fn prack(&mut self, leg_id: LegId, response: &Response, rseq: u32) -> bool {
        let Some(leg) = self.legs.get_mut(&leg_id) else { return false };
        if leg.last_rseq.is_some_and(|last| rseq != last.wrapping_add(1)) {
            return false;
        }
        leg.last_rseq = Some(rseq);
        let seq = dialog::cseq(response).unwrap_or(leg.invite_seq);
        let mut prack = leg.request(Method::PRack, &Outgoing::default());
        prack.headers.push(Header::RAck(headers::RAck::new(format!("{rseq} {seq} INVITE"))));
        self.transmit(leg_id, prack, |_| {}).await.is_ok()
    }

    async fn request(&mut self, transaction: ServerTransaction, exchange: ExchangeId) {
        let request = transaction.request.clone();
        let Some(leg_id) = self.leg_of(&request) else {
            return transaction.respond(transaction.response(481, None));
        };
        if request.method == Method::PRack {
            return self.take_prack(&transaction).await;
        }
        let Some(leg) = self.legs.get_mut(&leg_id) else { return };
        if let Err(error) = leg.dialog.accept(&request) {
            debug!(%error, "request refused");
            return transaction.respond(transaction.response(500, None));
        }
        match leg::mid_call(&request) {
            Ok(mid) => {
                self.screen.keys_by_info(leg_id, &mid, &self.context, self.key);
                self.exchanges.insert(exchange, (leg_id, transaction));
                self.feed(Input::Request(leg_id, exchange, mid)).await;
            }
            Err(error) => {
                debug!(%error, "session description refused");
                transaction.respond(transaction.response(error.status(), None));
            }
        }
    }

    /// The leg whose dialog a request belongs to. While the phones ring, the caller's early dialogs differ in our tag
    /// only.
    fn leg_of(&self, request: &Request) -> Option<LegId> {
        let of_dialog = self.legs.iter().find(|(_, leg)| leg.dialog.matches(request)).map(|(id, _)| *id);
        of_dialog.or_else(|| {
            let caller = self.legs.get(&LegId::CALLER)?;
            let tag = dialog::to_tag(request)?;
            let ours = dialog::call_id(request).ok()? == caller.dialog.call_id
                && dialog::from_tag(request) == caller.dialog.remote_tag
                && tag.starts_with(&self.invite.tag);
            ours.then_some(LegId::CALLER)
        })
    }

    async fn take_prack(&mut self, transaction: &ServerTransaction) {
        let named = transaction.request.rack_value().map(|(rseq, ..)| rseq);
        let known = match (&mut self.invite.reliable, named) {
            (Some(reliable), Some(rseq)) => reliable.acknowledge(rseq),
            _ => false,
        };
        transaction.respond(transaction.response(if known { 200 } else { 481 }, None));
        self.poll_reliable().await;
    }

    async fn poll_reliable(&mut self) {
        let Some(reliable) = &mut self.invite.reliable else { return };
        match reliable.poll(Instant::now()) {
            Poll::Send(mut response, rseq) => {
                response.headers.unique_push(Header::Require(headers::Require::new("100rel")));
                response.headers.unique_push(Header::RSeq(headers::RSeq::new(rseq.to_string())));
                self.invite.transaction.respond(response);
            }
            Poll::GiveUp => {
                self.invite.reliable = None;
                warn!(call = self.key.0, "caller does not acknowledge provisional responses");
                self.feed(Input::HangUp("no PRACK")).await;
            }
            Poll::Wait => {
                if !reliable.is_busy()
                    && let Some(response) = self.invite.held_final.take()
                {
                    self.invite.transaction.respond(response);
                }
            }
        }
    }

    async fn media_event(&mut self, at: Instant, event: MediaEventKind) {
        match event {
            MediaEventKind::Silent { leg } if self.screen.is_talking() => {
                info!(call = self.key.0, leg = leg.0, "no media for a long time: ending the call");
                self.feed(Input::HangUp("media lost")).await;
            }
            event => {
                if let Some(reason) = self.screen.media_event(&self.context, self.key, at, event) {
                    self.feed(Input::HangUp(reason)).await;
                }
            }
        }
    }

    async fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Invite(leg, outgoing) => self.send_invite(leg, &outgoing).await,
                Action::CancelInvite(leg) => self.send_cancel(leg),
                Action::Progress(leg, status, outgoing) => self.send_progress(leg, status, &outgoing).await,
                Action::Final(leg, status, outgoing) => self.send_final(leg, status, &outgoing),
                Action::Ack(leg, outgoing) => self.send_ack(leg, &outgoing).await,
                Action::Request(leg, exchange, method, outgoing) => {
                    self.send_request(leg, exchange, method, &outgoing).await;
                }
                Action::Respond(leg, exchange, status, outgoing) => self.respond(leg, exchange, status, &outgoing),
                Action::Bye(leg, headers) => self.send_bye(leg, headers).await,
                Action::Media(leg, negotiated) => self.negotiated(leg, negotiated),
                Action::Bridge(a, b) => self.context.media.send(self.key, MediaCommand::Bridge { a, b }),
                Action::Connected(leg) => self.connected(leg),
                Action::Ended(cause) => self.ended(cause),
            }
        }
    }

    /// Sends a request in a transaction of its own, on the flow that reaches the leg's peer.
    async fn transmit(
        &mut self,
        leg: LegId,
        request: Request,
        report: impl Fn(Response) + Send + 'static,
    ) -> Result<Request, ServerError> {
        let leg = self.legs.get(&leg).ok_or(ServerError::NoSuchLeg)?;
        let flow = leg.flow_for(&request, &self.context.transports).await?;
        transaction::send(self.context.endpoint.clone(), request, flow, report)
    }

    async fn send_invite(&mut self, leg_id: LegId, outgoing: &Outgoing) {
        let Some(leg) = self.legs.get_mut(&leg_id) else { return };
        let crossing = crate::sip::crossing::of_invite(&self.invite.transaction.request.headers);
        let mut request = leg.request(Method::Invite, outgoing);
        request.headers.extend(crossing);
        // A reliable response to an INVITE without an offer would carry one and need its answer in the PRACK, which
        // we could not give; so 100rel is only offered with an offer.
        let supported = if outgoing.sdp.is_some() { "100rel, timer" } else { "timer" };
        request.headers.push(Header::Supported(headers::Supported::new(supported)));
        if let Some(expires) = self.context.session_expires() {
            request.headers.extend(crate::sip::session_timer::ask(expires).to_vec());
        }
        let sender = self.sender.clone();
        let report = move |response| {
            let _ = sender.send(Signal::InviteResponse(leg_id, Box::new(response)));
        };
        match self.transmit(leg_id, request, report).await {
            Ok(sent) => {
                if let Some(leg) = self.legs.get_mut(&leg_id) {
                    leg.invite = Some(sent);
                }
            }
            Err(error) => {
                info!(%error, "phone not reached");
                let refused = Input::Refused(leg_id, Reply { status: 503, ..Default::default() });
                let actions = self.call.handle(Instant::now(), refused);
                Box::pin(self.perform(actions)).await;
            }
        }
    }

    fn send_cancel(&mut self, leg_id: LegId) {
        let Some((leg, invite)) = self.legs.get(&leg_id).and_then(|l| Some((l, l.invite.as_ref()?))) else { return };
        let cancel = dialog::cancel(invite);
        if let Err(error) = transaction::send(self.context.endpoint.clone(), cancel, leg.flow.clone(), |_| {}) {
            warn!(%error, "CANCEL not sent");
        }
    }

    async fn send_progress(&mut self, leg_id: LegId, status: u16, outgoing: &Outgoing) {
        let tag = self.invite.tag_for(leg_id);
        let mut response = self.invite.transaction.response(status, Some(&tag));
        leg::dress(&mut response, &self.invite.transaction.flow, outgoing);
        match &mut self.invite.reliable {
            Some(reliable) => {
                reliable.push(response);
                Box::pin(self.poll_reliable()).await;
            }
            None => self.invite.transaction.respond(response),
        }
    }

    fn send_final(&mut self, leg_id: LegId, status: u16, outgoing: &Outgoing) {
        let tag = self.invite.tag_for(leg_id);
        let mut response = self.invite.transaction.response(status, Some(&tag));
        if status >= 300 {
            response.headers.extend(outgoing.headers.clone());
            return self.invite.transaction.respond(response);
        }
        leg::dress(&mut response, &self.invite.transaction.flow, outgoing);
        self.add_session_timer(LegId::CALLER, &mut response);
        if let Some(leg) = self.legs.get_mut(&LegId::CALLER) {
            leg.dialog.local_tag = tag;
        }
        match self.invite.reliable.as_ref().is_some_and(|r| r.is_busy()) {
            true => self.invite.held_final = Some(response),
            false => self.invite.transaction.respond(response),
        }
    }

    fn add_session_timer(&self, leg: LegId, response: &mut Response) {
        if let Some(timer) = self.call.session_timer(leg) {
            response.headers.push(timer.header());
            response.headers.push(Header::Require(headers::Require::new("timer")));
        }
    }

    async fn send_ack(&mut self, leg_id: LegId, outgoing: &Outgoing) {
        let Some(leg) = self.legs.get(&leg_id) else { return };
        let probe = leg.dialog.ack(leg.invite_seq);
        let flow = match leg.flow_for(&probe, &self.context.transports).await {
            Ok(flow) => flow,
            Err(error) => return warn!(%error, "ACK not sent"),
        };
        let ack = leg.ack(outgoing, &flow);
        let key = (leg.dialog.call_id.clone(), leg.dialog.remote_tag.clone().unwrap_or_default(), leg.invite_seq);
        self.context.acks.lock().insert(key.clone(), (ack.clone(), flow.clone()));
        self.acked.push(key);
        flow.send(ack.into()).await;
    }

    /// A branch beyond the phone answered after another had: acknowledge and end it (RFC 3261 §13.2.2.4).
    async fn end_stray(&mut self, leg_id: LegId, response: &Response) {
        let Some(leg) = self.legs.get(&leg_id) else { return };
        let mut stray = Leg::new(leg.dialog.clone(), leg.flow.clone(), leg.max_forwards);
        stray.invite_seq = leg.invite_seq;
        if stray.dialog.learn(response).is_err() {
            return;
        }
        stray.flow.send(stray.ack(&Outgoing::default(), &stray.flow).into()).await;
        let bye = stray.request(Method::Bye, &Outgoing::default());
        let _ = transaction::send(self.context.endpoint.clone(), bye, stray.flow.clone(), |_| {});
    }

    async fn send_request(&mut self, leg_id: LegId, exchange: ExchangeId, method: Method, outgoing: &Outgoing) {
        let Some(leg) = self.legs.get_mut(&leg_id) else { return };
        let mut request = leg.request(method, outgoing);
        if matches!(method, Method::Invite | Method::Update) {
            request.headers.push(Header::Supported(headers::Supported::new("timer")));
        }
        let sender = self.sender.clone();
        let report = move |response| {
            let _ = sender.send(Signal::Response(leg_id, exchange, Box::new(response)));
        };
        if let Err(error) = self.transmit(leg_id, request, report).await {
            warn!(%error, %method, "request not sent");
            let lost = Input::Response(leg_id, exchange, Reply { status: 503, ..Default::default() });
            let actions = self.call.handle(Instant::now(), lost);
            Box::pin(self.perform(actions)).await;
        }
    }

    fn respond(&mut self, leg: LegId, exchange: ExchangeId, status: u16, outgoing: &Outgoing) {
        let Some((_, transaction)) = self.exchanges.remove(&exchange) else { return };
        let mut response = transaction.response(status, None);
        let method = transaction.request.method;
        match status {
            200..300 if matches!(method, Method::Invite | Method::Update) => {
                leg::dress(&mut response, &transaction.flow, outgoing);
                self.add_session_timer(leg, &mut response);
            }
            _ => {
                response.headers.extend(outgoing.headers.clone());
                response.body = leg::put_body(&mut response.headers, outgoing);
            }
        }
        if status == 405 || method == Method::Options {
            response.headers.unique_push(Header::Allow(headers::Allow::new(leg::ALLOW)));
        }
        transaction.respond(response);
    }

    async fn send_bye(&mut self, leg_id: LegId, headers: Vec<Header>) {
        let Some(leg) = self.legs.get_mut(&leg_id) else { return };
        let bye = leg.request(Method::Bye, &Outgoing { headers, ..Default::default() });
        if let Err(error) = self.transmit(leg_id, bye, |_| {}).await {
            warn!(%error, "BYE not sent");
        }
    }

    fn negotiated(&mut self, leg: LegId, negotiated: Negotiated) {
        let Negotiated { rtp, rtcp, media } = negotiated;
        self.screen.negotiated(leg, &media);
        self.context.media.send(self.key, MediaCommand::Remote { leg, rtp, rtcp, media });
    }

    fn connected(&mut self, leg: LegId) {
        let losers: Vec<LegId> = self.legs.keys().copied().filter(|id| *id != LegId::CALLER && *id != leg).collect();
        for loser in losers {
            self.context.media.send(self.key, MediaCommand::CloseLeg { leg: loser });
        }
        self.screen.begin(&self.context, self.key, leg);
    }

    fn ended(&mut self, cause: Cause) {
        debug!(call = self.key.0, ?cause, "call ended");
        self.cause = Some(cause);
        self.screen.end(&self.context, self.key);
        self.context.media.send(self.key, MediaCommand::Close);
    }

    fn close(self) {
        let context = self.context.clone();
        context.registry.remove(self.key);
        // A lost ACK is asked for again for 64·T1 (RFC 3261 §13.3.1.4).
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(32)).await;
            let mut acks = self.context.acks.lock();
            self.acked.iter().for_each(|key| drop(acks.remove(key)));
        });
    }
}

impl Screen {
    /// Keys that come as INFO (`application/dtmf-relay`, `application/dtmf`) instead of RFC 4733 events.
    fn keys_by_info(&mut self, leg: LegId, request: &MidCall, context: &Context, key: CallKey) {
        let Some(body) = request.body.as_ref().filter(|_| request.method == Method::Info) else { return };
        let text = String::from_utf8_lossy(&body.bytes);
        let digit = match body.content_type.to_ascii_lowercase().as_str() {
            "application/dtmf-relay" => {
                text.lines().find_map(|l| l.trim().strip_prefix("Signal=")).and_then(|s| s.trim().chars().next())
            }
            "application/dtmf" => text.trim().chars().next(),
            _ => None,
        };
        if let Some(digit) = digit {
            let event = MediaEventKind::Dtmf { leg, digit, duration_ms: 100 };
            let _ = self.media_event(context, key, Instant::now(), event);
        }
    }
}
