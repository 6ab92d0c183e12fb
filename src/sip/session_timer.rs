//! Session timers (RFC 4028), negotiated on each leg for itself, so that a call whose phone vanished ends.

use std::time::{Duration, Instant};

use super::rsip::prelude::HasHeaders;
use super::rsip::{Header, Headers};

/// Shortest interval anyone may ask for (RFC 4028 §5).
pub const MIN_SE: u32 = 90;

/// Who sends the refreshes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresher {
    /// We do.
    Us,
    /// The peer does.
    Peer,
}

/// What a message says about session timers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Proposal {
    /// Session-Expires in seconds.
    pub expires: Option<u32>,
    /// Its refresher parameter: `true` for uac.
    pub refresher_is_uac: Option<bool>,
    /// Min-SE in seconds.
    pub min_se: Option<u32>,
    /// Whether `timer` is in Supported.
    pub supported: bool,
}

impl Proposal {
    /// Reads a message's headers.
    pub fn of(message: &impl HasHeaders) -> Proposal {
        let mut proposal = Proposal::default();
        for header in message.headers().iter() {
            match (header.name().to_ascii_lowercase().as_str(), header.value()) {
                ("session-expires" | "x", value) => {
                    let mut parts = value.split(';').map(str::trim);
                    proposal.expires = parts.next().and_then(|s| s.parse().ok());
                    proposal.refresher_is_uac = parts
                        .filter_map(|p| p.split_once('='))
                        .find(|(k, _)| k.trim().eq_ignore_ascii_case("refresher"))
                        .map(|(_, v)| v.trim().eq_ignore_ascii_case("uac"));
                }
                ("min-se", value) => proposal.min_se = value.split(';').next().and_then(|s| s.trim().parse().ok()),
                ("supported" | "k", value) => {
                    proposal.supported |= value.split(',').any(|t| t.trim().eq_ignore_ascii_case("timer"));
                }
                _ => {}
            }
        }
        proposal
    }
}

/// A running timer of one leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionTimer {
    /// The interval.
    pub expires: Duration,
    /// Who refreshes.
    pub refresher: Refresher,
    /// When the session began or was last refreshed.
    refreshed: Instant,
}

/// What a timer asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Send a refresh.
    Refresh,
    /// The session has expired: BYE.
    Expired,
}

impl SessionTimer {
    /// As the answering side of a request: what we grant. `None` when the peer neither asked nor could refresh; the
    /// caller of this then sends no Session-Expires.
    pub fn answer(request: &Proposal, wanted: u32, now: Instant) -> Option<SessionTimer> {
        let floor = request.min_se.unwrap_or(MIN_SE).max(MIN_SE);
        let expires = request.expires.unwrap_or(wanted.max(floor)).min(wanted.max(floor)).max(floor);
        // A peer that names itself refresher stays it; one that can refresh does; otherwise we do (RFC 4028 §9).
        let refresher = match (request.refresher_is_uac, request.supported) {
            (Some(false), _) | (_, false) => Refresher::Us,
            _ => Refresher::Peer,
        };
        (request.expires.is_some() || request.supported).then(|| SessionTimer::new(expires, refresher, now))
    }

    /// As the asking side: what the 2xx granted us (RFC 4028 §7.2).
    pub fn granted(response: &Proposal, now: Instant) -> Option<SessionTimer> {
        let refresher = if response.refresher_is_uac == Some(false) { Refresher::Peer } else { Refresher::Us };
        response.expires.map(|expires| SessionTimer::new(expires.max(MIN_SE), refresher, now))
    }

    fn new(expires_s: u32, refresher: Refresher, now: Instant) -> SessionTimer {
        SessionTimer { expires: Duration::from_secs(expires_s.into()), refresher, refreshed: now }
    }

    /// The Session-Expires header of our 2xx, where the peer is the uac.
    pub fn header(&self) -> Header {
        let refresher = if self.refresher == Refresher::Us { "uas" } else { "uac" };
        Header::SessionExpires(format!("{};refresher={refresher}", self.expires.as_secs()).into())
    }

    /// The session was refreshed by either side.
    pub fn refresh(&mut self, now: Instant) {
        self.refreshed = now;
    }

    /// When something is due: half way for the refresher; for the other, a third of the interval (32 s at most)
    /// before its end (RFC 4028 §10).
    pub fn deadline(&self) -> Instant {
        match self.refresher {
            Refresher::Us => self.refreshed + self.expires / 2,
            Refresher::Peer => self.refreshed + self.expires - (self.expires / 3).min(Duration::from_secs(32)),
        }
    }

    /// What is due at `now`.
    pub fn due(&self, now: Instant) -> Option<Due> {
        (now >= self.deadline()).then_some(match self.refresher {
            Refresher::Us => Due::Refresh,
            Refresher::Peer => Due::Expired,
        })
    }
}

/// The headers with which our own INVITE or refresh asks for a timer.
pub fn ask(expires_s: u32) -> [Header; 2] {
    [Header::SessionExpires(expires_s.max(MIN_SE).to_string().into()), Header::MinSE(MIN_SE.to_string().into())]
}

/// Whether a request asks for less than we accept: answer 422 with Min-SE (RFC 4028 §9).
pub fn too_small(headers: &Headers) -> bool {
    let expires = headers.iter().find(|h| h.name().eq_ignore_ascii_case("Session-Expires"));
    expires
        .and_then(|h| h.value().split(';').next().and_then(|s| s.trim().parse::<u32>().ok()))
        .is_some_and(|seconds| seconds < MIN_SE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refresher_refreshes_half_way_and_the_other_ends_the_call() {
        let t0 = Instant::now();
        let asked = Proposal { expires: Some(1800), supported: true, ..Default::default() };
        let theirs = SessionTimer::answer(&asked, 600, t0);
        assert_eq!(theirs.map(|t| (t.expires.as_secs(), t.refresher)), Some((600, Refresher::Peer)));
        assert_eq!(theirs.map(|t| t.due(t0 + Duration::from_secs(567))), Some(None));
        assert_eq!(theirs.and_then(|t| t.due(t0 + Duration::from_secs(568))), Some(Due::Expired));
        let ours = SessionTimer::answer(&Proposal { expires: Some(200), ..Default::default() }, 600, t0);
        assert_eq!(ours.and_then(|t| t.due(t0 + Duration::from_secs(100))), Some(Due::Refresh));
        assert_eq!(SessionTimer::answer(&Proposal::default(), 600, t0), None);
    }

    #[test]
    fn small_intervals_are_refused() {
        assert!(too_small(&Headers(vec![Header::SessionExpires("30;refresher=uac".to_string().into())])));
        assert!(!too_small(&Headers(vec![Header::SessionExpires("90".to_string().into())])));
    }
}
