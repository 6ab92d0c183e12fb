//! The adaptive jitter buffer of the listening copy (RFC 3550 §6.4.1 for the jitter estimate).
//!
//! It orders packets, drops duplicates, waits for late ones a little longer than the network's jitter asks, and tells
//! what is missing so that it can be concealed. Recognition tolerates delay better than gaps, but a warning must come
//! in time, so the wait is bounded. Memory is bounded whatever arrives.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::TapPacket;
use super::codec::RTP_CLOCK;

/// Least and most time a packet is waited for.
const WAIT: (Duration, Duration) = (Duration::from_millis(40), Duration::from_millis(200));
/// Most packets held.
const CAPACITY: usize = 128;
/// A leap in time beyond this is a new beginning, not loss: two seconds.
const LEAP: i64 = 2 * RTP_CLOCK as i64;

/// What comes next in the stream.
#[derive(Debug)]
pub enum Entry {
    /// A packet, in order.
    Packet(TapPacket),
    /// So many RTP clock ticks are missing.
    Gap(u32),
    /// The stream begins anew: another source, a leap in time.
    Restart(TapPacket),
}

/// The buffer of one stream.
#[derive(Debug, Default)]
pub struct JitterBuffer {
    held: BTreeMap<i64, TapPacket>,
    ssrc: Option<u32>,
    /// Extended timestamp of the packet that was taken in last, for unwrapping.
    newest: i64,
    /// Extended timestamp that comes next.
    next: Option<i64>,
    /// Arrival and extended timestamp of the packet before, and the jitter estimate in ticks (RFC 3550 §6.4.1).
    before: Option<(Instant, i64)>,
    jitter: f64,
    restart: bool,
}

impl JitterBuffer {
    /// Takes in a packet.
    pub fn push(&mut self, packet: TapPacket) {
        if self.ssrc != Some(packet.ssrc) {
            self.begin(&packet);
        }
        let mut at = self.extend(packet.timestamp);
        if (at - self.newest).abs() > LEAP {
            self.begin(&packet);
            at = self.extend(packet.timestamp);
        }
        self.estimate(&packet, at);
        self.newest = self.newest.max(at);
        let late = self.next.is_some_and(|next| at < next);
        if !late && self.held.len() < CAPACITY {
            self.held.entry(at).or_insert(packet);
        }
    }

    /// How long packets are waited for now.
    pub fn wait(&self) -> Duration {
        let milliseconds = 4.0 * self.jitter * 1000.0 / f64::from(RTP_CLOCK);
        Duration::from_micros((milliseconds * 1000.0) as u64).clamp(WAIT.0, WAIT.1)
    }

    /// What comes next, if it is there or has been waited for long enough.
    pub fn pull(&mut self, now: Instant) -> Option<Entry> {
        let (&at, first) = self.held.first_key_value()?;
        let waited = now.saturating_duration_since(first.arrived) >= self.wait() || self.held.len() >= CAPACITY / 2;
        let expected = match self.next {
            None => {
                if !waited {
                    return None;
                }
                at
            }
            Some(next) => next,
        };
        if at > expected {
            if !waited {
                return None;
            }
            self.next = Some(at);
            return Some(Entry::Gap((at - expected) as u32));
        }
        let packet = self.held.remove(&at)?;
        self.next = Some(at + packet.payload.len() as i64);
        Some(match std::mem::take(&mut self.restart) {
            true => Entry::Restart(packet),
            false => Entry::Packet(packet),
        })
    }

    fn begin(&mut self, packet: &TapPacket) {
        self.held.clear();
        self.ssrc = Some(packet.ssrc);
        self.newest = i64::from(packet.timestamp);
        self.next = None;
        self.before = None;
        self.restart = true;
    }

    fn extend(&self, timestamp: u32) -> i64 {
        self.newest + i64::from(timestamp.wrapping_sub(self.newest as u32) as i32)
    }

    fn estimate(&mut self, packet: &TapPacket, at: i64) {
        if let Some((arrived, timestamp)) = self.before {
            let apart = packet.arrived.saturating_duration_since(arrived).as_secs_f64() * f64::from(RTP_CLOCK);
            let difference = (apart - (at - timestamp) as f64).abs();
            // A pause that the sender's clock did not count is no jitter.
            self.jitter += (difference.min(LEAP as f64 / 2.0) - self.jitter) / 16.0;
        }
        self.before = Some((packet.arrived, at));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::media::Codec;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn packet(n: u32, arrived: Instant) -> TapPacket {
        TapPacket {
            arrived,
            sequence: n as u16,
            timestamp: n.wrapping_mul(160),
            ssrc: 1,
            codec: Codec::Pcmu,
            payload: Bytes::from_static(&[0xff; 160]),
        }
    }

    fn drain(buffer: &mut JitterBuffer, now: Instant) -> Vec<i64> {
        std::iter::from_fn(|| buffer.pull(now))
            .map(|entry| match entry {
                Entry::Packet(p) | Entry::Restart(p) => i64::from(p.sequence),
                Entry::Gap(ticks) => -i64::from(ticks / 160),
            })
            .collect()
    }

    #[test]
    fn order_is_restored_duplicates_dropped_and_loss_told() {
        let (mut buffer, t0) = (JitterBuffer::default(), Instant::now());
        for n in [0, 2, 1, 1, 5] {
            buffer.push(packet(n, t0));
        }
        assert_eq!(drain(&mut buffer, t0 + Duration::from_millis(300)), [0, 1, 2, -2, 5]);
        buffer.push(packet(3, t0));
        assert!(drain(&mut buffer, t0 + Duration::from_secs(1)).is_empty(), "too late");
    }

    #[test]
    fn a_missing_packet_is_waited_for() {
        let (mut buffer, t0) = (JitterBuffer::default(), Instant::now());
        buffer.push(packet(0, t0));
        let t1 = t0 + Duration::from_millis(60);
        assert_eq!(drain(&mut buffer, t1), [0]);
        buffer.push(packet(2, t1));
        assert!(drain(&mut buffer, t1 + Duration::from_millis(10)).is_empty());
        buffer.push(packet(1, t1 + Duration::from_millis(20)));
        assert_eq!(drain(&mut buffer, t1 + Duration::from_millis(20)), [1, 2]);
    }

    #[test]
    fn the_wait_follows_the_networks_jitter_within_bounds() {
        let (mut buffer, t0) = (JitterBuffer::default(), Instant::now());
        let mut arrive = |n: u32, late: u64| {
            buffer.push(packet(n, t0 + Duration::from_millis(20 * u64::from(n) + late)));
            buffer.wait()
        };
        assert_eq!((0..100).map(|n| arrive(n, 0)).max(), Some(WAIT.0));
        let shaky = (100..300).map(|n| arrive(n, u64::from(n % 3) * 15)).last();
        assert!(shaky > Some(Duration::from_millis(60)) && shaky < Some(WAIT.1), "{shaky:?}");
        assert_eq!((300..500).map(|n| arrive(n, 0)).last(), Some(WAIT.0));
        assert_eq!((500..600).map(|n| arrive(n, u64::from(n % 2) * 500)).last(), Some(WAIT.1));
    }

    #[test]
    fn another_source_or_a_leap_begins_anew() {
        let (mut buffer, t0) = (JitterBuffer::default(), Instant::now());
        buffer.push(packet(0, t0));
        drain(&mut buffer, t0 + Duration::from_secs(1));
        buffer.push(packet(4_000_000, t0));
        assert!(matches!(buffer.pull(t0 + Duration::from_secs(2)), Some(Entry::Restart(_))));
        buffer.push(TapPacket { ssrc: 2, ..packet(3, t0) });
        assert!(matches!(buffer.pull(t0 + Duration::from_secs(3)), Some(Entry::Restart(_))));
    }

    proptest! {
        #[test]
        fn whatever_arrives_comes_out_in_order_within_bounds(
            arrivals in proptest::collection::vec((any::<u32>(), 0u64..100, 0u32..3), 0..300)
        ) {
            let (mut buffer, mut now) = (JitterBuffer::default(), Instant::now());
            for (count, (n, after, ssrc)) in arrivals.iter().copied().enumerate() {
                now += Duration::from_millis(after);
                let small = if n % 7 == 0 { n } else { count as u32 };
                buffer.push(TapPacket { ssrc, ..packet(small, now) });
                prop_assert!(buffer.held.len() <= CAPACITY);
                while buffer.pull(now).is_some() {}
            }
        }

        #[test]
        fn a_shuffled_stream_is_whole_again(order in Just((0u32..40).collect::<Vec<_>>()).prop_shuffle()) {
            let (mut buffer, t0) = (JitterBuffer::default(), Instant::now());
            for n in order {
                buffer.push(packet(n, t0));
            }
            prop_assert_eq!(drain(&mut buffer, t0 + Duration::from_secs(1)), (0..40).collect::<Vec<i64>>());
        }
    }
}
