//! Shell: a new call from INVITE to ringing: what is wrong with it, whose line it is for, what is known of the caller,
//! where the phones are, and media ports for everyone.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rsipstack::transaction::Transaction;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::Context;
use super::call_task::{CallTask, CallerInvite, Signal};
use super::leg::{self, Leg};
use super::media::{CallKey, MediaCommand};
use super::screen::Screen;
use super::transaction::ServerTransaction;
use super::transport::Flow;
use crate::call::{Call, Setup};
use crate::config::Line;
use crate::media::LegId;
use crate::sip::dialog::{self, Dialog};
use crate::sip::identity::Caller;
use crate::sip::reliable::ReliableProvisionals;
use crate::sip::rsip::prelude::HeadersExt;
use crate::sip::rsip::{Header, Request, Transport, Uri, headers};
use crate::sip::sdp::{Anchor, Sdp};
use crate::sip::session_timer::{self, MIN_SE, Proposal};

static NEXT_CALL: AtomicU64 = AtomicU64::new(1);

/// A refusal before anything rings.
struct Refusal {
    status: u16,
    headers: Vec<Header>,
}

impl From<u16> for Refusal {
    fn from(status: u16) -> Refusal {
        Refusal { status, headers: Vec::new() }
    }
}

/// One phone to ring.
struct Target {
    uri: Uri,
    flow: Flow,
}

/// Takes an INVITE that begins a call; everything that may wait happens in a task of its own.
pub fn begin(context: Arc<Context>, transaction: Transaction, flow: Flow) {
    let (sender, signals) = mpsc::unbounded_channel();
    let caller = sender.clone();
    let server = ServerTransaction::drive(transaction, flow, move |event| {
        let _ = caller.send(Signal::Caller(event));
    });
    server.respond(server.response(100, None));
    tokio::spawn(async move {
        let key = CallKey(NEXT_CALL.fetch_add(1, Ordering::Relaxed));
        let refusal = match admit(&context, &server.request) {
            Ok((line, offer)) => match set_up(&context, key, &server, line, offer, sender, signals).await {
                Ok(()) => return,
                Err(refusal) => refusal,
            },
            Err(refusal) => refusal,
        };
        context.media.send(key, MediaCommand::Close);
        info!(status = refusal.status, "call refused");
        let tag = rsipstack::transaction::random_text(8);
        let mut response = server.response(refusal.status, Some(&tag));
        response.headers.extend(refusal.headers);
        server.respond(response);
    });
}

/// Checks what can be checked without waiting.
fn admit<'c>(context: &'c Context, invite: &Request) -> Result<(&'c Line, Option<Sdp>), Refusal> {
    if context.is_draining() {
        return Err(503.into());
    }
    let hops = invite.max_forwards_header().ok().and_then(|m| m.value().trim().parse::<u32>().ok());
    if hops == Some(0) {
        return Err(483.into());
    }
    let unknown: Vec<String> = required(invite).into_iter().filter(|e| !leg::SUPPORTED.contains(&e.as_str())).collect();
    if !unknown.is_empty() {
        let unsupported = Header::Unsupported(headers::Unsupported::new(unknown.join(", ")));
        return Err(Refusal { status: 420, headers: vec![unsupported] });
    }
    if session_timer::too_small(&invite.headers) {
        return Err(Refusal { status: 422, headers: vec![Header::MinSE(MIN_SE.to_string().into())] });
    }
    if dialog::contact(invite).is_err() {
        return Err(400.into());
    }
    let content = leg::content(invite, &invite.body).map_err(|e| Refusal::from(e.status()))?;
    if content.body.is_some() {
        let accept = Header::Accept(headers::Accept::new("application/sdp"));
        return Err(Refusal { status: 415, headers: vec![accept] });
    }
    let called = invite.uri.user().unwrap_or_default();
    let line = context.config.line_for(called).ok_or(Refusal::from(404))?;
    Ok((line, content.sdp))
}

fn required(invite: &Request) -> Vec<String> {
    let lists = invite.headers.iter().filter_map(|h| match h {
        Header::Require(require) => Some(require.value().to_string()),
        _ => None,
    });
    lists.flat_map(|l| l.split(',').map(|t| t.trim().to_ascii_lowercase()).collect::<Vec<_>>()).collect()
}

async fn set_up(
    context: &Arc<Context>,
    key: CallKey,
    server: &ServerTransaction,
    line: &Line,
    offer: Option<Sdp>,
    sender: mpsc::UnboundedSender<Signal>,
    signals: mpsc::UnboundedReceiver<Signal>,
) -> Result<(), Refusal> {
    let invite = server.request.clone();
    let trusted = context.config.sip.trusts(server.flow.remote.ip());
    let caller = Caller::of(&invite, trusted);
    let called = invite.uri.user().unwrap_or_default();
    let screen = Screen::announce(context, &caller, called, line, sender.clone()).await;
    let targets = targets(context, line).await;
    let tag = rsipstack::transaction::random_text(10);
    let a_dialog = Dialog::of_incoming(&invite, tag.clone()).map_err(|_| Refusal::from(400))?;
    let hops = invite.max_forwards_header().ok().and_then(|m| m.value().trim().parse::<u32>().ok()).unwrap_or(70);
    let hops = hops.min(70) - 1;
    let mut legs = HashMap::new();
    let toward_caller = offer.as_ref().and_then(Sdp::rtp).map_or(server.flow.remote, |rtp| rtp);
    let a_anchor = anchor(context, key, LegId::CALLER, toward_caller.ip(), server.flow.local.ip())?;
    let mut call_ids = vec![(a_dialog.call_id.clone(), LegId::CALLER)];
    legs.insert(LegId::CALLER, Leg::new(a_dialog, server.flow.clone(), 70));
    let mut phones = Vec::new();
    for (id, target) in (1u8..).map(LegId).zip(targets) {
        phones.push((id, anchor(context, key, id, target.flow.remote.ip(), target.flow.local.ip())?));
        let dialog = phone_dialog(context, &caller, &target);
        call_ids.push((dialog.call_id.clone(), id));
        legs.insert(id, Leg::new(dialog, target.flow, hops));
    }
    let setup = Setup {
        offer,
        caller: a_anchor,
        phones,
        ring_timeout: Duration::from_secs(line.ring_timeout_s.into()),
        timer: Proposal::of(&*invite),
        session_expires: context.session_expires(),
        caller_allows_update: leg::allows_update(&*invite),
    };
    let wants_reliable = leg::lists(&*invite, "Require", "100rel") || leg::lists(&*invite, "Supported", "100rel");
    let reliable = wants_reliable.then(|| ReliableProvisionals::new(rand::random::<u32>() >> 2));
    let (call, first) = Call::new(setup, Instant::now());
    context.registry.add(key, call_ids, sender.clone());
    let invite = CallerInvite { transaction: server.clone(), tag, reliable, held_final: None };
    let context = context.clone();
    let task = CallTask {
        context,
        key,
        call,
        invite,
        legs,
        screen,
        sender,
        signals,
        exchanges: HashMap::new(),
        acked: Vec::new(),
        cause: None,
    };
    tokio::spawn(task.run(first));
    Ok(())
}

/// Where the line's phones are: registered ones by the flow they registered over, static ones by their address.
async fn targets(context: &Context, line: &Line) -> Vec<Target> {
    let registered = line.users.iter().flat_map(|user| context.phones.bindings(user));
    let mut targets: Vec<Target> = registered.map(|b| Target { uri: b.contact, flow: b.flow }).collect();
    for contact in &line.contacts {
        let Ok(uri) = Uri::try_from(contact.as_str()) else {
            warn!("static contact is not a SIP URI; see `callward config check`");
            continue;
        };
        match resolve(context, &uri).await {
            Some(flow) => targets.push(Target { uri, flow }),
            None => warn!("static contact cannot be reached"),
        }
    }
    targets
}

async fn resolve(context: &Context, uri: &Uri) -> Option<Flow> {
    let (transport, address) = match leg::address_of(uri) {
        Some(found) => found,
        None => {
            let port = uri.host_with_port.port.map_or(5060, u16::from);
            let transport = crate::sip::rsip::uri::ParamsExt::transport(uri).copied().unwrap_or(Transport::Udp);
            let looked_up = tokio::net::lookup_host((uri.host().to_string(), port));
            let found = tokio::time::timeout(Duration::from_secs(3), looked_up).await.ok()?.ok()?.next()?;
            (transport, found)
        }
    };
    context.transports.flow_to(transport, address).await.ok()
}

/// The dialog that our INVITE to a phone begins: a Call-ID of its own, the caller's number at our own address.
fn phone_dialog(context: &Context, caller: &Caller, target: &Target) -> Dialog {
    let host = context.config.sip.domain.clone().unwrap_or_else(|| host_of(target.flow.local));
    let mut to = target.uri.clone();
    to.params.clear();
    to.headers.clear();
    Dialog::outgoing(
        rsipstack::transaction::random_text(24),
        rsipstack::transaction::random_text(10),
        caller.from_header(&host),
        format!("<{to}>"),
        target.uri.clone(),
    )
}

fn host_of(address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// Opens a leg's media ports and says how they are presented to its peer.
fn anchor(context: &Context, key: CallKey, leg: LegId, peer: IpAddr, signalling: IpAddr) -> Result<Anchor, Refusal> {
    let any = if peer.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let bind = context.config.media.bind.filter(|ip| ip.is_ipv4() == peer.is_ipv4()).unwrap_or(any);
    let ports = context.media.open_leg(key, leg, bind).map_err(|error| {
        warn!(%error, "no media ports");
        Refusal::from(503)
    })?;
    let same_family = signalling.is_ipv4() == peer.is_ipv4();
    let ours = if same_family { signalling } else { context.transports.address_towards(any, peer) };
    let (rtp, rtcp) = (SocketAddr::new(ours, ports.rtp.port()), SocketAddr::new(ours, ports.rtcp.port()));
    Ok(Anchor { rtp, rtcp, session_id: u64::from(rand::random::<u32>()), version: 0 })
}
