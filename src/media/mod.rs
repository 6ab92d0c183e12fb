//! Pure: what happens to RTP. Packets and a clock in, packets and samples out; nothing here opens a socket, takes a
//! lock or asks the time.
//!
//! A packet's way through a leg: [`rtp`] (is it one?) → [`source`] (is it from whom we talk to?) → [`relay`]:
//! untouched, unless a [`prompt`] is being mixed in → a copy to the tap. The listening copy then goes [`jitter`] →
//! decode ([`codec`], lost frames by [`conceal`]) → 16 kHz ([`listening`]). Keys are read by [`dtmf`].

use std::time::Instant;

use bytes::Bytes;

pub mod codec;
pub mod conceal;
pub mod dtmf;
pub mod jitter;
pub mod listening;
pub mod prompt;
pub mod recording;
pub mod relay;
pub mod rtp;
pub mod source;

/// Which leg of a call: 0 is the caller, 1.. are the branches to the subscriber's phones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LegId(pub u8);

impl LegId {
    /// Leg A: the party that placed the call.
    pub const CALLER: LegId = LegId(0);
}

/// A voice codec as negotiated in SDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// G.711 µ-law, RTP clock 8 kHz (RFC 3551).
    Pcmu,
    /// G.711 A-law, RTP clock 8 kHz (RFC 3551).
    Pcma,
    /// G.722 at 64 kbit/s: 16 kHz audio on an RTP clock of 8 kHz, by historical error (RFC 3551 §4.5.2).
    G722,
    /// Anything else: relayed, not heard.
    Opaque,
}

/// What was negotiated for one leg: how to read what it sends and how to write what it hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegMedia {
    /// RTP payload type and its codec, in order of preference; payload types as this leg's SDP maps them.
    pub payloads: Vec<(u8, Codec)>,
    /// Payload type of telephone-event (RFC 4733) on this leg.
    pub telephone_event: Option<u8>,
    /// Whether this leg sends to us (false while it holds the call: `recvonly`, `inactive`).
    pub sends: bool,
    /// Whether this leg wants to hear us (false for `sendonly`, `inactive`).
    pub receives: bool,
}

/// The listening copy of one RTP packet, handed out of the media thread through a bounded ring that may lose it.
#[derive(Debug, Clone)]
pub struct TapPacket {
    /// When it arrived.
    pub arrived: Instant,
    /// RTP sequence number.
    pub sequence: u16,
    /// RTP timestamp, in the codec's RTP clock.
    pub timestamp: u32,
    /// RTP synchronisation source.
    pub ssrc: u32,
    /// How the payload is coded.
    pub codec: Codec,
    /// The payload, padding removed.
    pub payload: Bytes,
}
