//! What one leg is sent: the other leg's packets untouched, or with a prompt mixed in, as one continuous stream.
//!
//! While nothing is mixed, a packet goes on byte for byte. Under a prompt only its payload is replaced: sequence
//! number, timestamp and SSRC stay the sender's, so the stream is continuous by construction. When the sender is silent
//! the prompt cannot wait for its packets; frames are then made by the clock. Sequence numbers count packets, so what
//! was inserted is added to those of every later packet; timestamps count time (RFC 3550 §5.1), so a sender whose clock
//! ran on through its pause keeps its own, and only packets whose time was already filled are dropped. Otherwise the
//! call's delay would grow with every pause.
//!
//! It must never let a prompt reach the other leg, and never alter a packet without a prompt or its after-effects.

use std::time::{Duration, Instant};

use super::codec::{self, Decode, Encode, RTP_CLOCK};
use super::prompt::{Playing, Prompt};
use super::rtp::{Packet, Patch};
use super::{Codec, LegMedia};

/// A generated frame's length.
const FRAME: Duration = Duration::from_millis(20);
const FRAME_TICKS: u32 = RTP_CLOCK / 50;
/// The sender counts as silent when its next packet is overdue by this much.
const OVERDUE: Duration = Duration::from_millis(40);
/// Packets of the sender that come this little too late for a time already filled are a burst after a stall, and
/// dropped; beyond it the sender's clock stood still while it was silent.
const BURST: i32 = RTP_CLOCK as i32 / 5;
/// A timestamp this far ahead of the clock is a leap, not a pause.
const LEAP: i32 = 2 * RTP_CLOCK as i32;
/// Past so many packets nothing of before a join can come any more.
const REORDERED: i16 = 1_000;

/// What became of a packet or a tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The first sound of this prompt is in the packet just produced.
    PromptHeard(u64),
    /// The prompt was played to its end, or stopped.
    PromptEnded(u64),
}

/// Why a prompt cannot be played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The call or the leg is over, or never was.
    #[error("no such leg")]
    NoSuchLeg,
    /// The leg has no media yet; play it once the call is answered.
    #[error("nothing is negotiated with the leg yet")]
    NotNegotiated,
    /// The call uses a codec that is only relayed; offer G.711 or G.722 only, to be able to warn.
    #[error("the call's codec is relayed, not spoken")]
    Codec,
}

/// A packet to send on; borrowed when it is the one that came.
pub type Outgoing<'b> = std::borrow::Cow<'b, [u8]>;

/// What a packet of the sender carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Sound in a codec we speak.
    Sound(Codec),
    /// Sound in a codec we only relay.
    Opaque,
    /// A key (RFC 4733).
    Key,
    /// Comfort noise (RFC 3389) and whatever else.
    Other,
}

/// How far the stream towards the receiver is.
#[derive(Debug, Clone, Copy)]
struct Sent {
    /// When the last packet of any kind left.
    at: Instant,
    sequence: u16,
    ssrc: u32,
    /// When the last sound left, or nominally should have, its timestamp and length.
    sound_at: Instant,
    timestamp: u32,
    ticks: u32,
    /// The sender's next packet does not follow by its own number and must be joined.
    rejoin: bool,
}

impl Sent {
    /// RTP clock ticks from the last sound to now.
    fn elapsed(&self, now: Instant) -> u32 {
        now.saturating_duration_since(self.sound_at).as_millis() as u32 * (RTP_CLOCK / 1000)
    }

    /// The timestamp of a sound that begins now.
    fn clock(&self, now: Instant) -> u32 {
        self.timestamp.wrapping_add(self.elapsed(now).max(self.ticks))
    }

    /// When the sender counts as silent.
    fn silent_at(&self) -> Instant {
        self.at + OVERDUE + Duration::from_millis(u64::from(self.ticks) * 1000 / u64::from(RTP_CLOCK))
    }
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
    /// What the sender speaks now.
    spoken: Option<Kind>,
    sent: Option<Sent>,
    /// The sender's SSRC as last seen.
    source: Option<u32>,
    /// Added to the sender's sequence numbers and timestamps.
    shift: (u16, u32),
    /// The receiver knows the stream by the SSRC that we began or kept, not by the sender's.
    renamed: bool,
    /// The last number before the sender was joined, or of a prompt: what comes late and would fall before it is lost.
    floor: Option<u16>,
    mixing: Option<Mixing>,
    events: Vec<Event>,
}

impl Relay {
    /// What the receiving leg negotiated. A prompt that plays goes on in the new codec if it can.
    pub fn receiver_negotiated(&mut self, media: LegMedia) {
        let first = media.payloads.first().map(|(_, codec)| *codec);
        let kept = self.mixing.as_ref().is_none_or(|m| find(&media, |(_, codec)| *codec == m.codec).is_some());
        self.receiver = Some(media);
        if !kept && first.and_then(|codec| self.mixing.as_mut()?.retune(codec)).is_none() {
            self.cut();
        }
    }

    /// What the sending leg negotiated.
    pub fn sender_negotiated(&mut self, media: LegMedia) {
        self.sender = Some(media);
        self.spoken = None;
    }

    /// What happened since the last call.
    pub fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Whether ticks are needed.
    pub fn is_playing(&self) -> bool {
        self.mixing.is_some()
    }

    /// Whether the receiver sees the sender's own numbers, so that RTCP reports about them hold on both sides.
    pub fn is_untouched(&self) -> bool {
        self.shift == (0, 0) && !self.renamed && self.sent.is_none_or(|sent| !sent.rejoin)
    }

    /// Begins a prompt; replaces one that plays.
    pub fn play(&mut self, prompt: Prompt, duck_db: f32, now: Instant) -> Result<(), Refused> {
        let gain = self.mixing.as_ref().map(|m| m.playing.gain());
        self.cut();
        let receiver = self.receiver.as_ref().ok_or(Refused::NotNegotiated)?;
        let codec = match (self.spoken, receiver.payloads.first()) {
            (Some(Kind::Sound(codec)), _) if find(receiver, |(_, c)| *c == codec).is_some() => codec,
            (Some(Kind::Opaque), _) => Codec::Opaque,
            (_, Some((_, codec))) => *codec,
            (_, None) => return Err(Refused::NotNegotiated),
        };
        let rate = codec::sample_rate(codec).ok_or(Refused::Codec)?;
        let (decoder, encoder) = codec::decoder(codec).zip(codec::encoder(codec)).ok_or(Refused::Codec)?;
        let next_frame = self.sent.map_or(now, |sent| sent.silent_at().max(now));
        let mut playing = Playing::new(prompt, rate, duck_db);
        if let Some(gain) = gain {
            playing.set_gain(gain);
        }
        self.mixing = Some(Mixing { playing, codec, decoder, encoder, heard: false, next_frame });
        Ok(())
    }

    /// Fades the prompt that plays out; at once where nothing is heard anyway.
    pub fn stop(&mut self) {
        match (&mut self.mixing, &self.receiver) {
            (Some(mixing), Some(receiver)) if receiver.receives && mixing.heard => mixing.playing.fade_out(),
            _ => self.cut(),
        }
    }

    /// Ends the prompt that plays at once.
    pub fn cut(&mut self) {
        if let Some(mixing) = self.mixing.take() {
            self.events.push(Event::PromptEnded(mixing.playing.id()));
            if mixing.heard {
                self.floor = self.sent.map(|sent| sent.sequence);
            }
        }
    }

    /// Takes the sender's packet; `None` when the receiver cannot, does not want to or must not hear it.
    pub fn forward<'b>(&mut self, packet: &Packet<'b>, now: Instant) -> Option<Outgoing<'b>> {
        if !self.receiver.as_ref()?.receives {
            return None;
        }
        let kind = self.kind_of(packet.payload_type());
        let payload_type = self.receivers_type(packet.payload_type(), kind)?;
        match kind {
            Kind::Sound(_) => self.spoken = Some(kind),
            Kind::Opaque => {
                self.spoken = Some(kind);
                self.cut();
            }
            // Comfort noise under a prompt would make the receiver leave our sound for it.
            Kind::Other if self.mixing.is_some() => {
                self.sent.iter_mut().for_each(|sent| sent.rejoin = true);
                return None;
            }
            Kind::Key | Kind::Other => {}
        }
        let patch = self.number(packet, payload_type, kind, now)?;
        let mixed = match kind {
            Kind::Sound(codec) if !packet.payload().is_empty() => self.mix(codec, packet.payload()),
            _ => None,
        };
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
    /// of the sender's yet: sequence number, timestamp, SSRC, all random (RFC 3550 §5.1).
    pub fn tick(&mut self, now: Instant, fresh: impl FnOnce() -> (u16, u32, u32)) -> Option<Vec<u8>> {
        let receiver = self.receiver.as_ref()?;
        let mixing = self.mixing.as_mut()?;
        if !receiver.receives || now < mixing.next_frame {
            return None;
        }
        let (payload_type, _) = find(receiver, |(_, c)| *c == mixing.codec)?;
        let samples = codec::sample_rate(mixing.codec)? as usize / 50;
        // After a hold or a stalled thread the prompt goes on from now; it does not hurry to catch up.
        let behind = now.saturating_duration_since(mixing.next_frame) > 2 * FRAME;
        mixing.next_frame = if behind { now } else { mixing.next_frame } + FRAME;
        let first = self.sent.is_none();
        let (sequence, timestamp, ssrc, sound_at) = match self.sent {
            None => {
                let (sequence, timestamp, ssrc) = fresh();
                (sequence, timestamp, ssrc, now)
            }
            Some(sent) => {
                let lag = sent.elapsed(now).saturating_sub(sent.ticks);
                let paused = if lag >= 2 * FRAME_TICKS { lag - lag % FRAME_TICKS } else { 0 };
                let step = sent.ticks + paused;
                let nominal = sent.sound_at + Duration::from_millis(u64::from(step) * 1000 / u64::from(RTP_CLOCK));
                (sent.sequence.wrapping_add(1), sent.timestamp.wrapping_add(step), sent.ssrc, nominal)
            }
        };
        self.sent = Some(Sent { at: now, sequence, ssrc, sound_at, timestamp, ticks: FRAME_TICKS, rejoin: true });
        let payload = self.speak(vec![0; samples])?;
        Some(Patch { payload_type, sequence, timestamp, ssrc }.packet(first, &payload))
    }

    /// The numbers a packet of the sender bears towards the receiver; `None` for one that has no place any more.
    fn number(&mut self, packet: &Packet, payload_type: u8, kind: Kind, now: Instant) -> Option<Patch> {
        if !self.join(packet, kind, now) {
            // Heard from all the same: the prompt waits for its packets.
            if let Some(mixing) = &mut self.mixing {
                mixing.next_frame = now + FRAME + OVERDUE;
            }
            return None;
        }
        let sequence = packet.sequence().wrapping_add(self.shift.0);
        let timestamp = packet.timestamp().wrapping_add(self.shift.1);
        let ssrc = self.sent.filter(|_| self.renamed).map_or(packet.ssrc(), |sent| sent.ssrc);
        if let Some(floor) = self.floor {
            match sequence.wrapping_sub(floor) as i16 {
                ..=0 => return None,
                REORDERED.. => self.floor = None,
                _ => {}
            }
        }
        let patch = Patch { payload_type, sequence, timestamp, ssrc };
        let late = self.sent.filter(|s| s.ssrc == ssrc && sequence.wrapping_sub(s.sequence) as i16 <= 0).is_some();
        if late {
            // Its place in the prompt has passed, or, a duplicate, was taken: mixing it would cost a piece of prompt.
            let prompted = self.mixing.is_some() && matches!(kind, Kind::Sound(_));
            return (!prompted).then_some(patch);
        }
        self.remember(&patch, kind, packet.payload().len(), now);
        Some(patch)
    }

    /// Joins the sender's packet to what was sent before it, if we continued the stream meanwhile. False when its time
    /// was already filled.
    fn join(&mut self, packet: &Packet, kind: Kind, now: Instant) -> bool {
        let same = self.source.replace(packet.ssrc()) == Some(packet.ssrc());
        let Some(sent) = self.sent else { return true };
        if same && !sent.rejoin {
            return true;
        }
        if !sent.rejoin && !self.renamed {
            // The sender changed its source itself; the receiver sees that as it is.
            (self.shift, self.floor) = ((0, 0), None);
            return true;
        }
        let mapped = packet.timestamp().wrapping_add(self.shift.1);
        let spare = mapped.wrapping_sub(sent.timestamp.wrapping_add(sent.ticks)) as i32;
        let ahead = mapped.wrapping_sub(sent.clock(now)) as i32;
        match (same, kind) {
            // All packets of an event bear its beginning (RFC 4733 §2.5.1.2), which may lie before our last frame.
            (true, Kind::Key) => {}
            (true, _) if spare >= 0 && ahead < LEAP => {}
            (true, _) if spare < 0 && spare > -BURST => return false,
            _ => self.shift.1 = sent.clock(now).wrapping_sub(packet.timestamp()),
        }
        self.shift.0 = sent.sequence.wrapping_add(1).wrapping_sub(packet.sequence());
        self.renamed = packet.ssrc() != sent.ssrc;
        self.floor = Some(sent.sequence);
        true
    }

    fn remember(&mut self, patch: &Patch, kind: Kind, length: usize, now: Instant) {
        let Patch { sequence, timestamp, ssrc, .. } = *patch;
        let key_of_stream = self.sent.filter(|s| s.ssrc == ssrc && kind == Kind::Key);
        let (sound_at, timestamp, ticks) = match (key_of_stream, kind) {
            // An event's timestamp stands still: time is counted from the last sound.
            (Some(sent), _) => (sent.sound_at, sent.timestamp, sent.ticks),
            // All codecs we speak run at 64 kbit/s on a clock of 8 kHz: a tick a byte.
            (None, Kind::Sound(_)) => (now, timestamp, length as u32),
            (None, _) => (now, timestamp, FRAME_TICKS),
        };
        let rejoin = key_of_stream.is_some_and(|sent| sent.rejoin);
        let sent = Sent { at: now, sequence, ssrc, sound_at, timestamp, ticks, rejoin };
        self.sent = Some(sent);
        if let Some(mixing) = &mut self.mixing {
            mixing.next_frame = sent.silent_at();
        }
    }

    /// The sender's voice with the prompt over it.
    fn mix(&mut self, codec: Codec, payload: &[u8]) -> Option<Vec<u8>> {
        let mixing = self.mixing.as_mut()?;
        if mixing.codec != codec {
            mixing.retune(codec)?;
        }
        let voice = mixing.decoder.decode(payload);
        self.speak(voice)
    }

    fn speak(&mut self, mut samples: Vec<i16>) -> Option<Vec<u8>> {
        let mixing = self.mixing.as_mut()?;
        mixing.playing.mix_into(&mut samples);
        let payload = mixing.encoder.encode(&samples);
        if !std::mem::replace(&mut mixing.heard, true) {
            self.events.push(Event::PromptHeard(mixing.playing.id()));
        }
        if mixing.playing.is_over() {
            self.cut();
        }
        Some(payload)
    }

    fn kind_of(&self, payload_type: u8) -> Kind {
        let Some(sender) = &self.sender else { return Kind::Other };
        if sender.telephone_event == Some(payload_type) {
            return Kind::Key;
        }
        match find(sender, |(pt, _)| *pt == payload_type) {
            Some((_, Codec::Opaque)) => Kind::Opaque,
            Some((_, codec)) => Kind::Sound(codec),
            None => Kind::Other,
        }
    }

    /// The receiver's payload type for what the sender's means.
    fn receivers_type(&self, payload_type: u8, kind: Kind) -> Option<u8> {
        let receiver = self.receiver.as_ref()?;
        match kind {
            Kind::Key => receiver.telephone_event.or(Some(payload_type)),
            Kind::Sound(codec) => find(receiver, |(pt, c)| *pt == payload_type && *c == codec)
                .or_else(|| find(receiver, |(_, c)| *c == codec))
                .map(|(pt, _)| pt),
            // What we do not know (Opus, comfort noise) has the number both sides agreed on.
            Kind::Opaque | Kind::Other => Some(payload_type),
        }
    }
}

impl Mixing {
    /// Goes on in another codec.
    fn retune(&mut self, codec: Codec) -> Option<()> {
        let (decoder, encoder) = codec::decoder(codec).zip(codec::encoder(codec))?;
        self.playing.set_rate(codec::sample_rate(codec)?);
        (self.decoder, self.encoder, self.codec) = (decoder, encoder, codec);
        Some(())
    }
}

fn find(media: &LegMedia, wanted: impl Fn(&(u8, Codec)) -> bool) -> Option<(u8, Codec)> {
    media.payloads.iter().copied().find(wanted)
}

#[cfg(test)]
#[path = "relay_tests.rs"]
mod tests;
