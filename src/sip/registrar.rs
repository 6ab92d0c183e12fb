//! The registrar's bindings: which phones a user is reachable at, and until when (RFC 3261 §10.3).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::rsip::Uri;

/// Shortest registration we grant; a shorter wish is answered 423 with Min-Expires (RFC 3261 §10.3 step 7).
pub const MIN_EXPIRES: Duration = Duration::from_secs(60);
/// Longest registration we grant.
pub const MAX_EXPIRES: Duration = Duration::from_secs(3600);
/// Most phones of one user.
pub const MAX_BINDINGS: usize = 10;

/// Where a registered phone is reached.
#[derive(Debug, Clone)]
pub struct Binding<F> {
    /// The Contact it registered: the Request-URI of calls to it.
    pub contact: Uri,
    /// The flow its REGISTER came over. Calls go back the same way, which is what reaches a phone behind NAT
    /// (RFC 5626 §5.3).
    pub flow: F,
    /// When the registration ends.
    pub expires: Instant,
    call_id: String,
    cseq: u32,
}

/// One contact of a REGISTER.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The Contact URI.
    pub contact: Uri,
    /// Its `expires` parameter or the Expires header; zero removes the binding.
    pub expires: Option<Duration>,
}

/// Why a REGISTER was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// Answer 423 with Min-Expires.
    #[error("registrations shorter than {} s are not taken", MIN_EXPIRES.as_secs())]
    TooBrief,
    /// Answer 500: it came after a later one of the same client (RFC 3261 §10.3 step 7).
    #[error("REGISTER out of order")]
    OutOfOrder,
    /// Answer 403.
    #[error("more than {MAX_BINDINGS} phones registered")]
    TooMany,
}

/// All bindings, by user. `F` is how the shell names a flow.
#[derive(Debug)]
pub struct Registrar<F> {
    users: HashMap<String, Vec<Binding<F>>>,
}

impl<F> Default for Registrar<F> {
    fn default() -> Self {
        Registrar { users: HashMap::new() }
    }
}

impl<F: Clone> Registrar<F> {
    /// Takes a REGISTER's contacts and returns the user's bindings afterwards. Nothing changes when it is refused.
    pub fn register(
        &mut self,
        user: &str,
        flow: F,
        (call_id, cseq): (&str, u32),
        wishes: &[Wish],
        now: Instant,
    ) -> Result<Vec<Binding<F>>, RegisterError> {
        let mut bindings = self.bindings(user, now);
        for wish in wishes {
            let expires = wish.expires.unwrap_or(MAX_EXPIRES).min(MAX_EXPIRES);
            if !expires.is_zero() && expires < MIN_EXPIRES {
                return Err(RegisterError::TooBrief);
            }
            if let Some(at) = bindings.iter().position(|b| b.contact == wish.contact) {
                let old = bindings.remove(at);
                if old.call_id == call_id && old.cseq >= cseq {
                    return Err(RegisterError::OutOfOrder);
                }
            }
            if expires.is_zero() {
                continue;
            }
            let contact = wish.contact.clone();
            let (flow, call_id) = (flow.clone(), call_id.to_string());
            bindings.push(Binding { contact, flow, expires: now + expires, call_id, cseq });
        }
        if bindings.len() > MAX_BINDINGS {
            return Err(RegisterError::TooMany);
        }
        self.users.insert(user.to_string(), bindings.clone());
        Ok(bindings)
    }

    /// Removes all of a user's bindings (`Contact: *`).
    pub fn clear(&mut self, user: &str) {
        self.users.remove(user);
    }

    /// The user's live bindings.
    pub fn bindings(&self, user: &str, now: Instant) -> Vec<Binding<F>> {
        let all = self.users.get(user).map(Vec::as_slice).unwrap_or_default();
        all.iter().filter(|b| b.expires > now).cloned().collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn wish(contact: &str, seconds: u64) -> Wish {
        Wish { contact: Uri::try_from(contact).unwrap(), expires: Some(Duration::from_secs(seconds)) }
    }

    #[test]
    fn bindings_come_move_and_expire() {
        let (mut registrar, t0) = (Registrar::default(), Instant::now());
        registrar.register("kitchen", 1, ("a", 1), &[wish("sip:k@192.0.2.5", 120)], t0).unwrap();
        registrar.register("kitchen", 2, ("b", 1), &[wish("sip:k@192.0.2.6", 60)], t0).unwrap();
        assert_eq!(registrar.bindings("kitchen", t0).len(), 2);
        assert_eq!(registrar.bindings("kitchen", t0 + Duration::from_secs(61)).len(), 1);
        registrar.register("kitchen", 3, ("a", 2), &[wish("sip:k@192.0.2.5", 120)], t0).unwrap();
        assert_eq!(registrar.bindings("kitchen", t0)[1].flow, 3, "the latest flow counts");
        registrar.register("kitchen", 3, ("a", 3), &[wish("sip:k@192.0.2.5", 0)], t0).unwrap();
        assert_eq!(registrar.bindings("kitchen", t0).len(), 1);
        registrar.clear("kitchen");
        assert!(registrar.bindings("kitchen", t0).is_empty());
    }

    #[test]
    fn a_refused_register_changes_nothing() {
        let (mut registrar, t0) = (Registrar::default(), Instant::now());
        registrar.register("kitchen", 1, ("a", 5), &[wish("sip:k@192.0.2.5", 120)], t0).unwrap();
        let brief = registrar.register("kitchen", 1, ("a", 6), &[wish("sip:k@192.0.2.5", 5)], t0);
        assert_eq!(brief.unwrap_err(), RegisterError::TooBrief);
        let late = registrar.register("kitchen", 1, ("a", 5), &[wish("sip:k@192.0.2.5", 0)], t0);
        assert_eq!(late.unwrap_err(), RegisterError::OutOfOrder);
        let many: Vec<_> = (0..11).map(|i| wish(&format!("sip:k@192.0.2.{i}"), 120)).collect();
        assert_eq!(registrar.register("kitchen", 1, ("c", 1), &many, t0).unwrap_err(), RegisterError::TooMany);
        assert_eq!(registrar.bindings("kitchen", t0).len(), 1);
    }
}
