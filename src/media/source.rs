//! From whom a leg's packets are taken: the first valid source and no other.
//!
//! Behind NAT the address in the session description is wrong, so the first packet tells the right one and we answer
//! there (symmetric RTP, RFC 4961). Anyone who can guess the port could send that packet later and take the call over
//! (RFC 7362 §4), so after the first nobody else is listened to until the peer negotiates a new address.
//!
//! One exception keeps calls alive: a NAT that lost its binding gives the same stream a new address. A source that goes
//! on with the same SSRC, at the sequence number the stream would have reached, after the old one fell silent, is taken
//! for the same; a stranger who was not on the path cannot know these 48 bits.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The known source must have been silent for so long before its stream may come from elsewhere.
const REBOUND_AFTER: Duration = Duration::from_secs(3);
/// Most packets a second of a stream that moved (10 ms packets, RFC 3551 §4.2, and as much again).
const PACKETS_PER_SECOND: u128 = 200;

/// Whose packet it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The first packet: the source is now locked.
    Locked,
    /// From the source.
    Known,
    /// From the source at a new address: its NAT gave it another.
    Moved,
    /// From somebody else; drop it.
    Stranger,
}

/// What tells one RTP stream from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamId {
    /// Synchronisation source.
    pub ssrc: u32,
    /// Sequence number.
    pub sequence: u16,
}

/// The lock of one socket.
#[derive(Debug, Default, Clone)]
pub struct SourceLock {
    said: Option<SocketAddr>,
    locked: Option<SocketAddr>,
    last: Option<(Instant, StreamId)>,
}

impl SourceLock {
    /// The peer negotiated an address; a new one opens the lock.
    pub fn negotiated(&mut self, said: SocketAddr) {
        if self.said != Some(said) {
            self.said = Some(said);
            (self.locked, self.last) = (None, None);
        }
    }

    /// Judges a valid packet; RTCP has no stream to tell. Nothing is accepted before anything was negotiated.
    pub fn judge(&mut self, from: SocketAddr, stream: Option<StreamId>, now: Instant) -> Verdict {
        let verdict = match self.locked {
            Some(locked) if locked == from => Verdict::Known,
            Some(_) if self.has_moved(stream, now) => Verdict::Moved,
            Some(_) => Verdict::Stranger,
            None if self.said.is_none() => Verdict::Stranger,
            None => Verdict::Locked,
        };
        if verdict != Verdict::Stranger {
            self.locked = Some(from);
            self.last = stream.map(|stream| (now, stream));
        }
        verdict
    }

    fn has_moved(&self, stream: Option<StreamId>, now: Instant) -> bool {
        let (Some((at, last)), Some(stream)) = (self.last, stream) else { return false };
        let silent = now.saturating_duration_since(at);
        let possible = silent.as_millis() * PACKETS_PER_SECOND / 1000;
        let ahead = u128::from(stream.sequence.wrapping_sub(last.sequence));
        silent >= REBOUND_AFTER && stream.ssrc == last.ssrc && (1..=possible.min(1 << 14)).contains(&ahead)
    }

    /// Where to send: to the source, or where the peer said until it is known.
    pub fn destination(&self) -> Option<SocketAddr> {
        self.locked.or(self.said.filter(|a| !a.ip().is_unspecified() && a.port() != 0))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn stream(ssrc: u32, sequence: u16) -> Option<StreamId> {
        Some(StreamId { ssrc, sequence })
    }

    #[test]
    fn the_first_source_wins_until_the_peer_moves() {
        let (mut lock, now) = (SourceLock::default(), Instant::now());
        assert_eq!(lock.judge(at(1), stream(9, 1), now), Verdict::Stranger, "nothing was negotiated");
        lock.negotiated(at(4000));
        assert_eq!(lock.destination(), Some(at(4000)));
        assert_eq!(lock.judge(at(7000), stream(9, 1), now), Verdict::Locked, "NAT");
        assert_eq!(lock.judge(at(4000), stream(9, 2), now), Verdict::Stranger);
        assert_eq!(lock.destination(), Some(at(7000)));
        lock.negotiated(at(4000));
        assert_eq!(lock.judge(at(7000), stream(9, 2), now), Verdict::Known, "the same address again changes nothing");
        lock.negotiated(at(5000));
        assert_eq!(lock.judge(at(5000), stream(9, 3), now), Verdict::Locked);
    }

    #[test]
    fn only_the_same_stream_may_come_from_a_new_address_and_only_after_silence() {
        let (mut lock, t0) = (SourceLock::default(), Instant::now());
        lock.negotiated(at(4000));
        lock.judge(at(4000), stream(9, 65_500), t0);
        let later = t0 + Duration::from_secs(4);
        assert_eq!(
            lock.judge(at(5000), stream(9, 65_501), t0 + Duration::from_secs(1)),
            Verdict::Stranger,
            "not silent"
        );
        assert_eq!(lock.judge(at(5000), stream(8, 65_501), later), Verdict::Stranger, "another stream");
        assert_eq!(lock.judge(at(5000), stream(9, 65_400), later), Verdict::Stranger, "runs backwards");
        assert_eq!(lock.judge(at(5000), stream(9, 5_000), later), Verdict::Stranger, "too far ahead");
        assert_eq!(lock.judge(at(5000), stream(9, 164), later), Verdict::Moved);
        assert_eq!(lock.destination(), Some(at(5000)));
        assert_eq!(lock.judge(at(4000), stream(9, 165), later), Verdict::Stranger);
        assert_eq!(lock.judge(at(6000), None, later + Duration::from_secs(9)), Verdict::Stranger, "RTCP never moves");
    }
}
