//! What one leg is sent: the other leg's packets untouched, or with a prompt mixed in, as one continuous stream.
//!
//! While nothing is mixed, a packet goes on byte for byte. Under a prompt only its payload is replaced: sequence
//! number, timestamp and SSRC stay the sender's, so the stream is continuous by construction. When the sender is silent
//! the prompt cannot wait for its packets; frames are then made by the clock, and what was inserted is added to the
//! numbers of every later packet (RFC 3550 §5.1 wants both to grow by what was sent).

use std::time::{Duration, Instant};

use super::codec::{self, Decode, Encode, RTP_CLOCK};
use super::prompt::{Playing, Prompt};
use super::rtp::{Packet, Patch};
use super::{Codec, LegMedia};

/// A generated frame's length.
const FRAME: Duration = Duration::from_millis(20);
const FRAME_TICKS: u32 = RTP_CLOCK / 50;
/// The sender counts as silent after this long without a packet.
const SILENT_AFTER: Duration = Duration::from_millis(60);

/// What became of a packet or a tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The first sound of this prompt is in the packet just produced.
    PromptHeard(u64),
    /// The prompt was played to its end, or stopped.
    PromptEnded(u64),
}

/// A packet to send on; borrowed when it is the one that came.
pub type Outgoing<'b> = std::borrow::Cow<'b, [u8]>;

/// The last packet sent.
#[derive(Debug, Clone, Copy)]
struct Sent {
    at: Instant,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    ticks: u32,
    /// Made by us, so that the sender's next packet must be joined to it.
    ours: bool,
}

struct Mixing {
    playing: Playing,
    codec: Codec,
    decoder: Box<dyn Decode>,
    encoder: Box<dyn Encode>,
    heard: bool,
    next_frame: Instant,
}

/// The stream towards one leg.
#[derive(Default)]
pub struct Relay {
    receiver: Option<LegMedia>,
    sender: Option<LegMedia>,
    sent: Option<Sent>,
    /// Added to the sender's numbers.
    shift: (u16, u32),
    /// The sender's SSRC and ours, once they differ.
    renamed: Option<(u32, u32)>,
    mixing: Option<Mixing>,
    events: Vec<Event>,
}

impl Relay {
    /// What the receiving leg negotiated.
    pub fn receiver_negotiated(&mut self, media: LegMedia) {
        self.receiver = Some(media);
    }

    /// What the sending leg negotiated. Another sender begins another stream.
    pub fn sender_negotiated(&mut self, media: LegMedia) {
        self.sender = Some(media);
    }

    /// What happened since the last call.
    pub fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Whether ticks are needed.
    pub fn is_playing(&self) -> bool {
        self.mixing.is_some()
    }

    /// The codec of a payload type of the sender.
    pub fn codec_of(&self, payload_type: u8) -> Option<Codec> {
        find(self.sender.as_ref()?, |(pt, _)| *pt == payload_type).map(|(_, codec)| codec)
    }

    /// Begins a prompt; replaces one that plays. False when the call's codec cannot be written.
    pub fn play(&mut self, prompt: Prompt, duck_db: f32, now: Instant) -> bool {
        self.stop();
        let Some((_, codec)) = self.receiver.as_ref().and_then(|m| m.payloads.first().copied()) else { return false };
        let (Some(rate), Some(decoder), Some(encoder)) =
            (codec::sample_rate(codec), codec::decoder(codec), codec::encoder(codec))
        else {
            return false;
        };
        let silent_at = self.sent.map_or(now, |sent| sent.at + SILENT_AFTER);
        let playing = Playing::new(prompt, rate, duck_db);
        self.mixing = Some(Mixing { playing, codec, decoder, encoder, heard: false, next_frame: silent_at.max(now) });
        true
    }

    /// Ends the prompt that plays.
    pub fn stop(&mut self) {
        if let Some(mixing) = self.mixing.take() {
            self.events.push(Event::PromptEnded(mixing.playing.id()));
        }
    }

    /// Takes the sender's packet; `None` when the receiver cannot or does not want to hear it.
    pub fn forward<'b>(&mut self, packet: &Packet<'b>, now: Instant) -> Option<Outgoing<'b>> {
        let receiver = self.receiver.as_ref()?;
        if !receiver.receives {
            return None;
        }
        let codec = self.codec_of(packet.payload_type());
        let mut patch = Patch::none(packet);
        patch.payload_type = self.receivers_type(packet.payload_type(), codec)?;
        self.join(packet);
        patch.sequence = patch.sequence.wrapping_add(self.shift.0);
        patch.timestamp = patch.timestamp.wrapping_add(self.shift.1);
        if let Some((from, to)) = self.renamed
            && from == patch.ssrc
        {
            patch.ssrc = to;
        }
        let audio = codec.is_some_and(|c| c != Codec::Opaque);
        let ticks = if audio { ticks_of(packet.payload().len()) } else { FRAME_TICKS };
        self.remember(&patch, ticks, false, now);
        let mixed = if audio { self.mix(codec, packet.payload()) } else { None };
        if let Some(payload) = mixed {
            let mut bytes = packet.header().to_vec();
            // The new payload has no padding.
            bytes[0] &= !0x20;
            patch.apply(&mut bytes);
            bytes.extend(payload);
            return Some(bytes.into());
        }
        if patch == Patch::none(packet) {
            return Some(packet.bytes().into());
        }
        let mut bytes = packet.bytes().to_vec();
        patch.apply(&mut bytes);
        Some(bytes.into())
    }

    /// Makes a frame of the prompt if one is due and the sender is silent. `fresh` numbers a stream that has no packet
    /// of the sender's yet.
    pub fn tick(&mut self, now: Instant, fresh: impl FnOnce() -> (u16, u32, u32)) -> Option<Vec<u8>> {
        let receiver = self.receiver.as_ref()?;
        let mixing = self.mixing.as_ref()?;
        if !receiver.receives || now < mixing.next_frame {
            return None;
        }
        let (payload_type, codec) = find(receiver, |(_, c)| *c == mixing.codec)?;
        let samples = codec::sample_rate(codec)? as usize / 50;
        let first = self.sent.is_none();
        let sent = self.sent.unwrap_or_else(|| {
            let (sequence, timestamp, ssrc) = fresh();
            Sent { at: now, sequence, timestamp, ssrc, ticks: 0, ours: true }
        });
        // A pause of the sender has passed on the callee's clock too.
        let paused = now.saturating_duration_since(sent.at).as_millis() as u32 * (RTP_CLOCK / 1000);
        let step = if paused > 4 * sent.ticks.max(FRAME_TICKS) { paused } else { sent.ticks };
        let patch = Patch {
            payload_type,
            sequence: sent.sequence.wrapping_add(1),
            timestamp: sent.timestamp.wrapping_add(step),
            ssrc: sent.ssrc,
        };
        let payload = self.speak(vec![0; samples])?;
        let next_frame = self.mixing.as_ref().map(|m| m.next_frame + FRAME);
        self.remember(&patch, FRAME_TICKS, true, now);
        if let (Some(mixing), Some(next_frame)) = (&mut self.mixing, next_frame) {
            mixing.next_frame = next_frame;
        }
        Some(patch.packet(first, &payload))
    }

    /// Joins the sender's packet to what was sent before it, if we continued the stream meanwhile or it comes from a new
    /// source while we are the one the receiver knows.
    fn join(&mut self, packet: &Packet) {
        let Some(sent) = self.sent else { return };
        let known = match self.renamed {
            Some((theirs, ours)) if ours == sent.ssrc => theirs,
            _ => sent.ssrc,
        };
        if !sent.ours && packet.ssrc() == known {
            return;
        }
        if !sent.ours && self.renamed.is_none() {
            // The sender changed its source itself; the receiver sees that as it is.
            self.shift = (0, 0);
            return;
        }
        self.shift.0 = sent.sequence.wrapping_add(1).wrapping_sub(packet.sequence());
        self.shift.1 = sent.timestamp.wrapping_add(sent.ticks).wrapping_sub(packet.timestamp());
        self.renamed = (packet.ssrc() != sent.ssrc).then_some((packet.ssrc(), sent.ssrc));
    }

    fn remember(&mut self, patch: &Patch, ticks: u32, ours: bool, now: Instant) {
        // A packet that comes late must not turn the clock back.
        let late = self.sent.is_some_and(|s| {
            s.ssrc == patch.ssrc && (patch.sequence.wrapping_sub(s.sequence) as i16) <= 0
        });
        if late {
            return;
        }
        let Patch { sequence, timestamp, ssrc, .. } = *patch;
        self.sent = Some(Sent { at: now, sequence, timestamp, ssrc, ticks, ours });
        if let Some(mixing) = &mut self.mixing {
            mixing.next_frame = now + SILENT_AFTER;
        }
    }

    /// The sender's voice with the prompt over it.
    fn mix(&mut self, codec: Option<Codec>, payload: &[u8]) -> Option<Vec<u8>> {
        let codec = codec?;
        let mixing = self.mixing.as_mut()?;
        if mixing.codec != codec {
            let rate = codec::sample_rate(codec)?;
            mixing.playing.set_rate(rate);
            (mixing.decoder, mixing.encoder) = (codec::decoder(codec)?, codec::encoder(codec)?);
            mixing.codec = codec;
        }
        let voice = mixing.decoder.decode(payload);
        self.speak(voice)
    }

    fn speak(&mut self, mut samples: Vec<i16>) -> Option<Vec<u8>> {
        let mixing = self.mixing.as_mut()?;
        mixing.playing.mix_into(&mut samples);
        let payload = mixing.encoder.encode(&samples);
        let id = mixing.playing.id();
        if !mixing.heard {
            mixing.heard = true;
            self.events.push(Event::PromptHeard(id));
        }
        if mixing.playing.is_over() {
            self.stop();
        }
        Some(payload)
    }

    /// The receiver's payload type for what the sender's means.
    fn receivers_type(&self, payload_type: u8, codec: Option<Codec>) -> Option<u8> {
        let (sender, receiver) = (self.sender.as_ref(), self.receiver.as_ref()?);
        if sender.is_some_and(|s| s.telephone_event == Some(payload_type)) {
            return receiver.telephone_event.or(Some(payload_type));
        }
        match codec {
            Some(codec) if codec != Codec::Opaque => {
                find(receiver, |(pt, c)| *pt == payload_type && *c == codec)
                    .or_else(|| find(receiver, |(_, c)| *c == codec))
                    .map(|(pt, _)| pt)
            }
            // What we do not know (Opus, comfort noise) has the number both sides agreed on.
            _ => Some(payload_type),
        }
    }
}

fn find(media: &LegMedia, wanted: impl Fn(&(u8, Codec)) -> bool) -> Option<(u8, Codec)> {
    media.payloads.iter().copied().find(wanted)
}

/// RTP clock ticks of a payload at 64 kbit/s: one a byte, for G.711 and G.722 alike.
fn ticks_of(payload: usize) -> u32 {
    payload as u32
}

#[cfg(test)]
#[path = "relay_tests.rs"]
mod tests;
