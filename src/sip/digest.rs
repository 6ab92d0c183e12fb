//! Digest authentication of REGISTER, server side (RFC 3261 §22, RFC 7616, RFC 8760).
//!
//! Nonces are not stored: each carries its time and a keyed hash of it, so a flood of requests costs no memory. What is
//! remembered is the highest nonce count used with a live nonce, which makes a captured request useless.

use std::collections::HashMap;
use std::time::Duration;

use digest_auth::{AlgorithmType, AuthContext, AuthorizationHeader, HttpMethod};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// How long a nonce is good for; phones re-register more often, and are told `stale` rather than refused.
const NONCE_LIFETIME: Duration = Duration::from_secs(600);
/// Most nonces whose counts are remembered; beyond it the oldest become stale.
const MAX_COUNTED: usize = 10_000;

/// A hash that phones may authenticate with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HashAlgorithm {
    /// What every phone knows. Many, baresip 1.0 among them, give up on a challenge that also offers another.
    #[serde(rename = "md5")]
    Md5,
    /// RFC 8760.
    #[serde(rename = "sha-256")]
    Sha256,
}

impl HashAlgorithm {
    fn name(self) -> &'static str {
        match self {
            HashAlgorithm::Md5 => "MD5",
            HashAlgorithm::Sha256 => "SHA-256",
        }
    }

    fn is(self, kind: AlgorithmType) -> bool {
        kind == match self {
            HashAlgorithm::Md5 => AlgorithmType::MD5,
            HashAlgorithm::Sha256 => AlgorithmType::SHA2_256,
        }
    }
}

/// What the credentials of a request are worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// They prove this user.
    Valid {
        /// The user name.
        user: String,
    },
    /// None, too old or already used: challenge (again).
    Challenge {
        /// Whether they were right but their nonce was not fresh (RFC 7616 §3.3).
        stale: bool,
    },
    /// Unreadable: answer 400.
    Malformed,
    /// Wrong user or password: answer 403 after a challenge was answered wrongly.
    Wrong,
}

/// Issues challenges and checks the answers.
pub struct Authenticator {
    realm: String,
    algorithms: Vec<HashAlgorithm>,
    secret: [u8; 32],
    counts: HashMap<String, (u64, u32)>,
}

impl Authenticator {
    /// `algorithms` are offered in this order, the preferred first; `secret` must be random and stay in the process.
    pub fn new(realm: String, algorithms: Vec<HashAlgorithm>, secret: [u8; 32]) -> Authenticator {
        Authenticator { realm, algorithms, secret, counts: HashMap::new() }
    }

    /// The WWW-Authenticate values of a 401, one per algorithm (RFC 8760 §2.3). `now_s` is any monotone clock in
    /// seconds, the same one that [`Authenticator::check`] is given.
    pub fn challenge(&self, now_s: u64, stale: bool) -> Vec<String> {
        let nonce = self.nonce(now_s);
        let stale = if stale { ", stale=true" } else { "" };
        let challenge = |algorithm: &HashAlgorithm| {
            let name = algorithm.name();
            format!("Digest realm=\"{}\", nonce=\"{nonce}\", algorithm={name}, qop=\"auth\"{stale}", self.realm)
        };
        self.algorithms.iter().map(challenge).collect()
    }

    /// Checks an Authorization value for a request of this method; `password_of` yields a user's password.
    pub fn check<'p>(
        &mut self,
        authorization: Option<&str>,
        method: &str,
        now_s: u64,
        password_of: impl FnOnce(&str) -> Option<&'p str>,
    ) -> Credentials {
        let Some(authorization) = authorization else { return Credentials::Challenge { stale: false } };
        let Ok(header) = AuthorizationHeader::parse(authorization) else { return Credentials::Malformed };
        // An algorithm that was not offered would let an attacker choose the weakest.
        if header.realm != self.realm || !self.algorithms.iter().any(|a| a.is(header.algorithm.algo)) {
            return Credentials::Challenge { stale: false };
        }
        let Some(password) = password_of(&header.username) else { return Credentials::Wrong };
        let mut expected = header.clone();
        let method = HttpMethod::from(method);
        expected.digest(&AuthContext::new_with_method(&header.username, password, &header.uri, None::<&[u8]>, method));
        if !equal_in_constant_time(expected.response.as_bytes(), header.response.as_bytes()) {
            return Credentials::Wrong;
        }
        match self.fresh(&header.nonce, header.qop.is_some().then_some(header.nc), now_s) {
            true => Credentials::Valid { user: header.username },
            false => Credentials::Challenge { stale: true },
        }
    }

    fn nonce(&self, issued_s: u64) -> String {
        let mut hash = Sha256::new();
        hash.update(self.secret);
        hash.update(issued_s.to_be_bytes());
        let tag: String = hash.finalize().iter().take(12).map(|b| format!("{b:02x}")).collect();
        format!("{issued_s:x}-{tag}")
    }

    /// Whether we issued the nonce, lately, and this count of it was not used before. A client without qop sends no
    /// count; its nonce serves once.
    fn fresh(&mut self, nonce: &str, count: Option<u32>, now_s: u64) -> bool {
        let issued = nonce.split('-').next().and_then(|t| u64::from_str_radix(t, 16).ok());
        let Some(issued) = issued.filter(|&t| self.nonce(t) == nonce && t <= now_s) else { return false };
        if now_s - issued > NONCE_LIFETIME.as_secs() {
            return false;
        }
        if self.counts.len() >= MAX_COUNTED {
            self.counts.retain(|_, (t, _)| now_s.saturating_sub(*t) <= NONCE_LIFETIME.as_secs() / 2);
        }
        let used = self.counts.entry(nonce.to_string()).or_insert((issued, 0));
        let count = count.unwrap_or(1);
        let fresh = count > used.1;
        used.1 = used.1.max(count);
        fresh
    }
}

fn equal_in_constant_time(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |diff, (x, y)| diff | (x ^ y)) == 0
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const BOTH: [HashAlgorithm; 2] = [HashAlgorithm::Sha256, HashAlgorithm::Md5];

    fn authenticator(secret: u8, algorithms: &[HashAlgorithm]) -> Authenticator {
        Authenticator::new("home".into(), algorithms.to_vec(), [secret; 32])
    }

    fn answer(challenge: &str, password: &str, count: u32) -> String {
        let mut prompt = digest_auth::parse(challenge).unwrap();
        prompt.nc = count - 1;
        let context = AuthContext::new_with_method("kitchen", password, "sip:home", None::<&[u8]>, "REGISTER".into());
        prompt.respond(&context).unwrap().to_header_string()
    }

    fn check(auth: &mut Authenticator, header: &str, now: u64) -> Credentials {
        auth.check(Some(header), "REGISTER", now, |user| (user == "kitchen").then_some("pepper"))
    }

    #[test]
    fn right_answers_of_both_algorithms_are_valid_once_per_count() {
        let mut auth = authenticator(7, &BOTH);
        let valid = Credentials::Valid { user: "kitchen".into() };
        for challenge in auth.challenge(100, false) {
            let header = answer(&challenge, "pepper", 1);
            // Both challenges share a nonce, so the second algorithm needs the next count.
            let header2 = answer(&challenge, "pepper", 2);
            if challenge.contains("SHA-256") {
                assert_eq!(check(&mut auth, &header, 101), valid);
                assert_eq!(check(&mut auth, &header, 102), Credentials::Challenge { stale: true }, "replayed");
            } else {
                assert_eq!(check(&mut auth, &header2, 103), valid);
            }
        }
    }

    #[test]
    fn an_algorithm_that_was_not_offered_proves_nothing() {
        let offered = authenticator(7, &BOTH).challenge(100, false);
        let mut strict = authenticator(7, &[HashAlgorithm::Sha256]);
        assert_eq!(check(&mut strict, &answer(&offered[1], "pepper", 1), 101), Credentials::Challenge { stale: false });
        assert!(matches!(check(&mut strict, &answer(&offered[0], "pepper", 1), 101), Credentials::Valid { .. }));
    }

    #[test]
    fn wrong_old_foreign_and_broken_answers_are_told_apart() {
        let mut auth = authenticator(7, &BOTH);
        let challenge = auth.challenge(100, false).remove(0);
        assert_eq!(check(&mut auth, &answer(&challenge, "salt", 1), 101), Credentials::Wrong);
        assert_eq!(check(&mut auth, &answer(&challenge, "pepper", 1), 9_999), Credentials::Challenge { stale: true });
        let foreign = authenticator(8, &BOTH).challenge(100, false).remove(0);
        assert_eq!(check(&mut auth, &answer(&foreign, "pepper", 1), 101), Credentials::Challenge { stale: true });
        assert_eq!(check(&mut auth, "Digest nonsense", 101), Credentials::Malformed);
        assert_eq!(auth.check(None, "REGISTER", 101, |_| None), Credentials::Challenge { stale: false });
    }
}
