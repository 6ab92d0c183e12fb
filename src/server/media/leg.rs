//! One leg's sockets and what belongs to them.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use mio::Token;
use mio::net::UdpSocket;

use super::LegCounters;
use crate::media::dtmf::{KeyPress, KeyReader};
use crate::media::relay::Relay;
use crate::media::rtp::Packet;
use crate::media::source::{SourceLock, StreamId, Verdict};
use crate::media::{Codec, LegId, LegMedia, TapPacket};

/// A leg.
pub(super) struct Leg {
    pub(super) id: LegId,
    pub(super) rtp: UdpSocket,
    pub(super) rtcp: UdpSocket,
    pub(super) tokens: [Token; 2],
    pub(super) peer: Option<LegId>,
    pub(super) source: SourceLock,
    pub(super) control_source: SourceLock,
    pub(super) media: Option<LegMedia>,
    /// The stream towards this leg.
    pub(super) relay: Relay,
    pub(super) tap: Option<rtrb::Producer<TapPacket>>,
    pub(super) keys: KeyReader,
    pub(super) counters: LegCounters,
    /// How many of the tap's losses were told.
    pub(super) tap_lost_told: u64,
    /// When its last packet came, or since when one is owed.
    pub(super) last_packet: Instant,
    pub(super) told_silent: bool,
}

/// What a valid packet of a leg's peer was.
pub(super) struct Received {
    /// It was the first.
    pub(super) first: bool,
    /// It completed a key.
    pub(super) key: Option<KeyPress>,
}

impl Leg {
    pub(super) fn new(id: LegId, rtp: UdpSocket, rtcp: UdpSocket, now: Instant) -> Leg {
        Leg {
            id,
            rtp,
            rtcp,
            tokens: [Token(usize::MAX); 2],
            peer: None,
            source: SourceLock::default(),
            control_source: SourceLock::default(),
            media: None,
            relay: Relay::default(),
            tap: None,
            keys: KeyReader::default(),
            counters: LegCounters::default(),
            tap_lost_told: 0,
            last_packet: now,
            told_silent: false,
        }
    }

    /// Judges a datagram's source and reads its key. `None` for what is dropped.
    pub(super) fn receive(&mut self, packet: &Packet, from: SocketAddr, now: Instant) -> Option<Received> {
        let stream = StreamId { ssrc: packet.ssrc(), sequence: packet.sequence() };
        let verdict = self.source.judge(from, Some(stream), now);
        if verdict == Verdict::Stranger {
            self.counters.strangers += 1;
            return None;
        }
        self.counters.received += 1;
        self.counters.moved += u64::from(verdict == Verdict::Moved);
        (self.last_packet, self.told_silent) = (now, false);
        let event = self.media.as_ref().and_then(|m| m.telephone_event) == Some(packet.payload_type());
        let key = event.then(|| self.keys.push(packet.timestamp(), packet.payload())).flatten();
        Some(Received { first: verdict == Verdict::Locked, key })
    }

    /// Copies a packet into the tap.
    pub(super) fn tap(&mut self, packet: &Packet, now: Instant) {
        let Some(tap) = &mut self.tap else { return };
        let codec_of = |m: &LegMedia| m.payloads.iter().find(|(pt, _)| *pt == packet.payload_type()).map(|(_, c)| *c);
        let Some(codec) = self.media.as_ref().and_then(codec_of) else { return };
        if tap.slots() == 0 {
            self.counters.tap_lost += 1;
            return;
        }
        let payload = match codec {
            Codec::Opaque => Bytes::new(),
            _ => Bytes::copy_from_slice(packet.payload()),
        };
        let (sequence, timestamp, ssrc) = (packet.sequence(), packet.timestamp(), packet.ssrc());
        if tap.push(TapPacket { arrived: now, sequence, timestamp, ssrc, codec, payload }).is_err() {
            self.counters.tap_lost += 1;
        }
    }

    /// Sends RTP to the leg's peer.
    pub(super) fn send(&mut self, packet: &[u8]) -> bool {
        let Some(to) = self.source.destination() else { return false };
        // A full socket buffer drops the packet, as the network would; waiting would delay every other call.
        let sent = self.rtp.send_to(packet, to).is_ok();
        self.counters.sent += u64::from(sent);
        sent
    }
}
