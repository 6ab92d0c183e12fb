//! Reliable provisional responses, server side (RFC 3262): numbered, repeated until the PRACK comes.
//!
//! Each leg does this for itself. The phone's reliable responses are acknowledged by us at once, the caller's are
//! repeated by us; nothing about them crosses.

use std::time::{Duration, Instant};

/// First repetition after T1, then doubling (RFC 3262 §3).
const T1: Duration = Duration::from_millis(500);

/// Provisional responses of one INVITE that the caller wants acknowledged. `R` is the response.
#[derive(Debug)]
pub struct ReliableProvisionals<R> {
    next: u32,
    pending: Option<Pending<R>>,
    queued: Vec<R>,
}

#[derive(Debug)]
struct Pending<R> {
    response: R,
    rseq: u32,
    repeat_at: Instant,
    interval: Duration,
    give_up_at: Instant,
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub enum Poll<R> {
    /// Send this response with this RSeq.
    Send(R, u32),
    /// No PRACK for 64·T1: refuse the INVITE with a 5xx (RFC 3262 §3).
    GiveUp,
    /// Nothing until the deadline.
    Wait,
}

impl<R: Clone> ReliableProvisionals<R> {
    /// `first` is a random first RSeq in 1..2^31.
    pub fn new(first: u32) -> Self {
        ReliableProvisionals { next: first.clamp(1, i32::MAX as u32 - 1024), pending: None, queued: Vec::new() }
    }

    /// Queues a response; the next waits until the one before is acknowledged.
    pub fn push(&mut self, response: R) {
        self.queued.push(response);
    }

    /// Takes in the RSeq that a PRACK names; false means 481.
    pub fn acknowledge(&mut self, rseq: u32) -> bool {
        let known = self.pending.as_ref().is_some_and(|p| p.rseq == rseq);
        if known {
            self.pending = None;
        }
        known
    }

    /// Whether a response is still to be acknowledged or sent.
    pub fn is_busy(&self) -> bool {
        self.pending.is_some() || !self.queued.is_empty()
    }

    /// When to poll again.
    pub fn deadline(&self) -> Option<Instant> {
        self.pending.as_ref().map(|p| p.repeat_at.min(p.give_up_at))
    }

    /// What is due at `now`.
    pub fn poll(&mut self, now: Instant) -> Poll<R> {
        if let Some(pending) = &mut self.pending {
            if now >= pending.give_up_at {
                self.pending = None;
                return Poll::GiveUp;
            }
            if now < pending.repeat_at {
                return Poll::Wait;
            }
            pending.interval *= 2;
            pending.repeat_at = now + pending.interval;
            return Poll::Send(pending.response.clone(), pending.rseq);
        }
        if self.queued.is_empty() {
            return Poll::Wait;
        }
        let (response, rseq) = (self.queued.remove(0), self.next);
        self.next += 1;
        let (repeat_at, give_up_at) = (now + T1, now + T1 * 64);
        self.pending = Some(Pending { response: response.clone(), rseq, repeat_at, interval: T1, give_up_at });
        Poll::Send(response, rseq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_repeated_until_acknowledged_and_holds_back_the_next() {
        let (mut reliable, t0) = (ReliableProvisionals::new(40), Instant::now());
        reliable.push("183");
        reliable.push("180");
        assert_eq!(reliable.poll(t0), Poll::Send("183", 40));
        assert_eq!(reliable.poll(t0), Poll::Wait);
        assert_eq!(reliable.poll(t0 + T1), Poll::Send("183", 40));
        assert_eq!(reliable.poll(t0 + T1 * 2), Poll::Wait, "the interval doubles");
        assert!(!reliable.acknowledge(39));
        assert!(reliable.acknowledge(40));
        assert_eq!(reliable.poll(t0 + T1 * 2), Poll::Send("180", 41));
        assert_eq!(reliable.poll(t0 + T1 * 100), Poll::GiveUp);
        assert!(!reliable.is_busy());
    }
}
