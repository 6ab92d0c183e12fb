//! Shell: REGISTER of the subscriber's phones.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::leg::{contacts, is_wildcard};
use super::transaction::ServerTransaction;
use super::transport::Flow;
use crate::sip::dialog;
use crate::sip::digest::{Authenticator, Credentials};
use crate::sip::registrar::{Binding, MIN_EXPIRES, RegisterError, Registrar, Wish};
use crate::sip::rsip::prelude::HeadersExt;
use crate::sip::rsip::{Header, Param, Request, headers};

/// The registrar of all lines: credentials and bindings.
pub struct Phones {
    passwords: Vec<(String, String)>,
    state: Mutex<(Authenticator, Registrar<Flow>)>,
    started: Instant,
}

impl Phones {
    /// `passwords` are user names and their passwords.
    pub fn new(authenticator: Authenticator, passwords: Vec<(String, String)>) -> Phones {
        let state = Mutex::new((authenticator, Registrar::default()));
        Phones { passwords, state, started: Instant::now() }
    }

    /// Where a user's phones are now.
    pub fn bindings(&self, user: &str) -> Vec<Binding<Flow>> {
        self.state.lock().1.bindings(user, Instant::now())
    }

    /// Answers a REGISTER.
    pub fn register(&self, transaction: &ServerTransaction) {
        let request = &transaction.request;
        let mut state = self.state.lock();
        let now_s = self.started.elapsed().as_secs();
        let authorization = request.authorization_header().map(|a| a.value().to_string());
        let password_of = |user: &str| self.passwords.iter().find(|(u, _)| u == user).map(|(_, p)| p.as_str());
        let user = match state.0.check(authorization.as_deref(), "REGISTER", now_s, password_of) {
            Credentials::Valid { user } => user,
            Credentials::Challenge { stale } => {
                let challenges = state.0.challenge(now_s, stale);
                let challenges = challenges.into_iter().map(|c| Header::WwwAuthenticate(c.into()));
                return respond(transaction, 401, challenges.collect());
            }
            Credentials::Malformed => return respond(transaction, 400, vec![]),
            Credentials::Wrong => return respond(transaction, 403, vec![]),
        };
        // A phone registers itself and nobody else (RFC 3261 §10.3 step 4).
        if address_of_record(request).as_deref() != Some(user.as_str()) {
            return respond(transaction, 403, vec![]);
        }
        match bind(&mut state.1, &user, transaction, request) {
            Ok(bindings) => respond(transaction, 200, listed(&bindings)),
            Err(RegisterError::TooBrief) => {
                let min = headers::MinExpires::new(MIN_EXPIRES.as_secs().to_string());
                respond(transaction, 423, vec![Header::MinExpires(min)]);
            }
            Err(RegisterError::OutOfOrder) => respond(transaction, 500, vec![]),
            Err(RegisterError::TooMany) => respond(transaction, 403, vec![]),
        }
    }
}

fn address_of_record(request: &Request) -> Option<String> {
    request.to_header().ok()?.uri().ok()?.user().map(str::to_string)
}

fn bind(
    registrar: &mut Registrar<Flow>,
    user: &str,
    transaction: &ServerTransaction,
    request: &Request,
) -> Result<Vec<Binding<Flow>>, RegisterError> {
    let now = Instant::now();
    let expires_header = request.expires_header().and_then(|e| e.value().trim().parse().ok()).map(Duration::from_secs);
    if request.contact_headers().iter().any(|c| is_wildcard(c)) {
        if expires_header == Some(Duration::ZERO) {
            registrar.clear(user);
        }
        return Ok(registrar.bindings(user, now));
    }
    let wishes: Vec<Wish> = contacts(request)
        .into_iter()
        .map(|contact| {
            let own = contact.params.iter().find_map(|p| match p {
                Param::Expires(e) => e.value().parse().ok().map(Duration::from_secs),
                _ => None,
            });
            Wish { contact: contact.uri, expires: own.or(expires_header) }
        })
        .collect();
    let call_id = dialog::call_id(request).unwrap_or_default();
    let cseq = dialog::cseq(request).unwrap_or_default();
    registrar.register(user, transaction.flow.clone(), (&call_id, cseq), &wishes, now)
}

fn listed(bindings: &[Binding<Flow>]) -> Vec<Header> {
    let now = Instant::now();
    let one = |b: &Binding<Flow>| {
        let left = b.expires.saturating_duration_since(now).as_secs();
        Header::Contact(headers::Contact::new(format!("<{}>;expires={left}", b.contact)))
    };
    bindings.iter().map(one).collect()
}

fn respond(transaction: &ServerTransaction, status: u16, headers: Vec<Header>) {
    let tag = rsipstack::transaction::random_text(8);
    let mut response = transaction.response(status, Some(&tag));
    response.headers.extend(headers);
    transaction.respond(response);
}
