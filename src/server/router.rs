//! Shell: where an incoming request goes: the registrar, a call it belongs to, or a new call.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rsipstack::transaction::Transaction;
use tracing::{debug, info};

use super::call_task::{CallSender, Signal};
use super::media::CallKey;
use super::transaction::{ServerEvent, ServerTransaction};
use super::{Context, inbound, leg};
use crate::call::ExchangeId;
use crate::media::LegId;
use crate::sip::dialog;
use crate::sip::rsip::{Header, Method, Response, headers};

/// Exchange numbers of incoming requests start here, apart from those the calls hand out themselves.
static NEXT_EXCHANGE: AtomicU64 = AtomicU64::new(1 << 32);

/// The calls in progress, by the Call-ID of each of their legs and by media key.
#[derive(Default)]
pub struct Registry {
    calls: Mutex<Calls>,
}

#[derive(Default)]
struct Calls {
    by_call_id: HashMap<String, (CallKey, LegId)>,
    senders: HashMap<u64, CallSender>,
}

impl Registry {
    /// Adds a call with the Call-IDs of its legs.
    pub fn add(&self, key: CallKey, legs: Vec<(String, LegId)>, sender: CallSender) {
        let mut calls = self.calls.lock();
        calls.by_call_id.extend(legs.into_iter().map(|(id, leg)| (id, (key, leg))));
        calls.senders.insert(key.0, sender);
    }

    /// Removes a call.
    pub fn remove(&self, key: CallKey) {
        let mut calls = self.calls.lock();
        calls.by_call_id.retain(|_, (k, _)| *k != key);
        calls.senders.remove(&key.0);
    }

    /// Tells a call something; false when it is over.
    pub fn tell(&self, key: CallKey, signal: Signal) -> bool {
        self.calls.lock().senders.get(&key.0).is_some_and(|sender| sender.send(signal).is_ok())
    }

    /// The call and leg a Call-ID belongs to.
    pub fn find(&self, call_id: &str) -> Option<(CallKey, LegId)> {
        self.calls.lock().by_call_id.get(call_id).copied()
    }

    /// Calls in progress.
    pub fn len(&self) -> usize {
        self.calls.lock().senders.len()
    }

    /// Whether no call is in progress.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tells every call that the service stops.
    pub fn shut_down(&self) {
        for sender in self.calls.lock().senders.values() {
            let _ = sender.send(Signal::Shutdown);
        }
    }
}

/// Takes one new transaction.
pub fn route(context: &Arc<Context>, transaction: Transaction) {
    let request = &transaction.original;
    let flow = transaction.connection.as_ref().and_then(|c| context.transports.flow_of(c, request));
    let Some(flow) = flow else {
        debug!(method = %request.method, "request without a way back");
        return;
    };
    let call_id = dialog::call_id(request).unwrap_or_default();
    let of_call = context.registry.find(&call_id);
    match (dialog::to_tag(request), of_call) {
        (Some(_), Some((key, leg))) => {
            let exchange = ExchangeId(NEXT_EXCHANGE.fetch_add(1, Ordering::Relaxed));
            let reporter = context.clone();
            let invite = request.method == Method::Invite;
            let report = move |event: ServerEvent| {
                if invite {
                    reporter.registry.tell(key, Signal::Exchange(leg, event));
                }
            };
            let server = ServerTransaction::drive(transaction, flow, report);
            if !context.registry.tell(key, Signal::Request(server.clone(), exchange)) {
                server.respond(server.response(481, None));
            }
        }
        (Some(_), None) => refuse(ServerTransaction::drive(transaction, flow, |_| {}), 481),
        // Our own request came back, or the same one by two ways (RFC 3261 §8.2.2.2, §16.3).
        (None, Some(_)) if request.method == Method::Invite => {
            info!("looped or merged INVITE refused");
            refuse(ServerTransaction::drive(transaction, flow, |_| {}), 482);
        }
        (None, _) => outside_dialog(context, transaction, flow),
    }
}

fn outside_dialog(context: &Arc<Context>, transaction: Transaction, flow: super::transport::Flow) {
    match transaction.original.method {
        Method::Invite => inbound::begin(context.clone(), transaction, flow),
        Method::Register => context.phones.register(&ServerTransaction::drive(transaction, flow, |_| {})),
        Method::Options => refuse(ServerTransaction::drive(transaction, flow, |_| {}), 200),
        Method::Bye | Method::Update | Method::PRack | Method::Info | Method::Notify => {
            refuse(ServerTransaction::drive(transaction, flow, |_| {}), 481);
        }
        _ => refuse(ServerTransaction::drive(transaction, flow, |_| {}), 405),
    }
}

/// Answers a request that no call takes, with what a peer may want to know of us.
pub fn refuse(transaction: ServerTransaction, status: u16) {
    let tag = rsipstack::transaction::random_text(8);
    let mut response = transaction.response(status, Some(&tag));
    if matches!(status, 200 | 405) {
        capabilities(&mut response);
    }
    transaction.respond(response);
}

fn capabilities(response: &mut Response) {
    response.headers.extend(vec![
        Header::Allow(headers::Allow::new(leg::ALLOW)),
        Header::Accept(headers::Accept::new("application/sdp")),
        Header::Supported(headers::Supported::new(leg::SUPPORTED.join(", "))),
    ]);
}
