//! From whom a leg's packets are taken: the first valid source and no other.
//!
//! Behind NAT the address in the session description is wrong, so the first packet tells the right one and we answer
//! there (symmetric RTP, RFC 4961). Anyone who can guess the port could send that packet later and take the call over
//! (RFC 7362 §4), so after the first nobody else is listened to until the peer negotiates a new address.

use std::net::SocketAddr;

/// Whose packet it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The first packet: the source is now locked.
    Locked,
    /// From the source.
    Known,
    /// From somebody else; drop it.
    Stranger,
}

/// The lock of one socket.
#[derive(Debug, Default, Clone)]
pub struct SourceLock {
    said: Option<SocketAddr>,
    locked: Option<SocketAddr>,
}

impl SourceLock {
    /// The peer negotiated an address; a new one opens the lock.
    pub fn negotiated(&mut self, said: SocketAddr) {
        if self.said != Some(said) {
            self.said = Some(said);
            self.locked = None;
        }
    }

    /// Judges a valid packet. Nothing is accepted before anything was negotiated.
    pub fn judge(&mut self, from: SocketAddr) -> Verdict {
        match self.locked {
            Some(locked) if locked == from => Verdict::Known,
            Some(_) => Verdict::Stranger,
            None if self.said.is_none() => Verdict::Stranger,
            None => {
                self.locked = Some(from);
                Verdict::Locked
            }
        }
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

    #[test]
    fn the_first_source_wins_until_the_peer_moves() {
        let at = |port: u16| SocketAddr::from(([192, 0, 2, 1], port));
        let mut lock = SourceLock::default();
        assert_eq!(lock.judge(at(1)), Verdict::Stranger, "nothing was negotiated");
        lock.negotiated(at(4000));
        assert_eq!(lock.destination(), Some(at(4000)));
        assert_eq!(lock.judge(at(7000)), Verdict::Locked, "NAT");
        assert_eq!(lock.judge(at(4000)), Verdict::Stranger);
        assert_eq!(lock.destination(), Some(at(7000)));
        lock.negotiated(at(4000));
        assert_eq!(lock.judge(at(7000)), Verdict::Known, "the same address again changes nothing");
        lock.negotiated(at(5000));
        assert_eq!(lock.judge(at(5000)), Verdict::Locked);
    }
}
