//! From a tap's packets to what a recogniser hears: ordered, decoded, gaps concealed, 16 kHz, on the call's clock.

use std::time::Instant;

use super::codec::{self, Decode, RTP_CLOCK};
use super::conceal::Concealer;
use super::jitter::{Entry, JitterBuffer};
use super::{Codec, TapPacket};

/// Longest silence put in for one gap: a sender that paused for an hour must not become an hour of samples. The jitter
/// buffer begins anew after a leap of the same length.
const LONGEST_GAP_MS: usize = 2_000;
/// Samples a second that come out.
const RATE: usize = 16_000;

/// One stretch of sound.
#[derive(Debug, Clone, PartialEq)]
pub struct Sound {
    /// Where it begins, in milliseconds since the origin given to [`Listening::new`].
    pub start_ms: u64,
    /// Samples at 16 kHz in -1..=1.
    pub samples: Vec<f32>,
}

/// What turns a codec's payloads into sound.
struct Voice {
    codec: Codec,
    rate: usize,
    decoder: Box<dyn Decode>,
    concealer: Concealer,
}

impl Voice {
    fn new(codec: Codec) -> Option<Voice> {
        let (decoder, rate) = codec::decoder(codec).zip(codec::sample_rate(codec))?;
        Some(Voice { codec, rate: rate as usize, decoder, concealer: Concealer::new(rate) })
    }
}

/// The listening chain of one leg.
pub struct Listening {
    origin: Instant,
    buffer: JitterBuffer,
    voice: Option<Voice>,
    upsampler: Upsampler,
    /// Samples given out since the stream's anchor, and the anchor itself.
    given: u64,
    anchor_ms: u64,
    /// Packets whose codec is not known to us.
    unheard: u64,
}

impl Listening {
    /// `origin` is the call's time zero.
    pub fn new(origin: Instant) -> Listening {
        Listening {
            origin,
            buffer: JitterBuffer::default(),
            voice: None,
            upsampler: Upsampler::default(),
            given: 0,
            anchor_ms: 0,
            unheard: 0,
        }
    }

    /// Takes in a packet of the tap.
    pub fn push(&mut self, packet: TapPacket) {
        match packet.codec {
            Codec::Opaque => self.unheard += 1,
            _ => self.buffer.push(packet),
        }
    }

    /// Packets that could not be heard because of their codec.
    pub fn unheard(&self) -> u64 {
        self.unheard
    }

    /// The next stretch of sound that is ready.
    pub fn pull(&mut self, now: Instant) -> Option<Sound> {
        let (packet, restart) = match self.buffer.pull(now)? {
            Entry::Gap(ticks) => return Some(self.conceal(ticks)),
            Entry::Packet(packet) => (packet, false),
            Entry::Restart(packet) => (packet, true),
        };
        if restart || self.drifted(&packet) {
            self.anchor_ms = packet.arrived.saturating_duration_since(self.origin).as_millis() as u64;
            self.given = 0;
        }
        let samples = self.decode(&packet);
        Some(self.give(&samples))
    }

    /// Whether sample count and clock have come apart: a sender whose clock runs fast or slow, or one that sent nothing
    /// during silence (RFC 3551 §4.1) and whose pause was cut.
    fn drifted(&self, packet: &TapPacket) -> bool {
        let arrived = packet.arrived.saturating_duration_since(self.origin).as_millis() as u64;
        let counted = self.anchor_ms + self.given * 1000 / RATE as u64;
        arrived.abs_diff(counted) > 1_000
    }

    fn decode(&mut self, packet: &TapPacket) -> Vec<i16> {
        if self.voice.as_ref().is_none_or(|voice| voice.codec != packet.codec) {
            self.voice = Voice::new(packet.codec);
            self.upsampler = Upsampler::default();
        }
        let Some(voice) = &mut self.voice else { return Vec::new() };
        let mut samples = voice.decoder.decode(&packet.payload);
        voice.concealer.heard(&mut samples);
        samples
    }

    fn conceal(&mut self, ticks: u32) -> Sound {
        let missing = match &mut self.voice {
            Some(voice) => {
                let samples = ticks as usize * voice.rate / RTP_CLOCK as usize;
                voice.concealer.missing(samples.min(LONGEST_GAP_MS * voice.rate / 1000))
            }
            None => Vec::new(),
        };
        self.give(&missing)
    }

    fn give(&mut self, samples: &[i16]) -> Sound {
        let start_ms = self.anchor_ms + self.given * 1000 / RATE as u64;
        let samples = match self.voice.as_ref().map(|voice| voice.rate) {
            Some(RATE) => samples.iter().map(|s| f32::from(*s) / 32_768.0).collect(),
            _ => self.upsampler.push(samples),
        };
        self.given += samples.len() as u64;
        Sound { start_ms, samples }
    }
}

/// Taps each side of the interpolated sample.
const HALF: usize = 8;

/// 8 to 16 kHz: a half-band windowed sinc, which leaves every second sample as it is.
#[derive(Debug, Default)]
struct Upsampler {
    history: Vec<f32>,
}

impl Upsampler {
    fn push(&mut self, samples: &[i16]) -> Vec<f32> {
        if self.history.is_empty() {
            self.history = vec![0.0; 2 * HALF - 1];
        }
        let mut line = std::mem::take(&mut self.history);
        line.extend(samples.iter().map(|s| f32::from(*s) / 32_768.0));
        let mut out = Vec::with_capacity(2 * samples.len());
        for window in line.windows(2 * HALF) {
            out.push(window[HALF - 1]);
            out.push(interpolate(window));
        }
        self.history = line.split_off(line.len() - (2 * HALF - 1));
        out
    }
}

/// The sample half way between the two in the middle of the window.
fn interpolate(window: &[f32]) -> f32 {
    let mut sum = 0.0;
    for (tap, sample) in window.iter().enumerate() {
        let x = tap as f32 - (HALF as f32 - 0.5);
        let sinc = (std::f32::consts::PI * x).sin() / (std::f32::consts::PI * x);
        let hann = 0.5 + 0.5 * (std::f32::consts::PI * x / HALF as f32).cos();
        sum += sample * sinc * hann;
    }
    sum
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::time::Duration;

    fn tone(codec: Codec, packets: u32, skip: &[u32]) -> Vec<f32> {
        let t0 = Instant::now();
        let rate = codec::sample_rate(codec).unwrap();
        let mut encoder = codec::encoder(codec).unwrap();
        let mut listening = Listening::new(t0);
        let mut heard = Vec::new();
        for n in 0..packets {
            let frame = rate / 50;
            let wave = |i: u32| (n * frame + i) as f32 * 440.0 * std::f32::consts::TAU / rate as f32;
            let samples: Vec<i16> = (0..frame).map(|i| (8_000.0 * wave(i).sin()) as i16).collect();
            let payload = Bytes::from(encoder.encode(&samples));
            let now = t0 + Duration::from_millis(20 * u64::from(n));
            if !skip.contains(&n) {
                listening.push(TapPacket {
                    arrived: now,
                    sequence: n as u16,
                    timestamp: n * 160,
                    ssrc: 9,
                    codec,
                    payload,
                });
            }
            while let Some(sound) = listening.pull(now) {
                heard.extend(sound.samples);
            }
        }
        while let Some(sound) = listening.pull(t0 + Duration::from_secs(100)) {
            heard.extend(sound.samples);
        }
        heard
    }

    fn frequency(samples: &[f32]) -> f32 {
        let rising = samples.windows(2).filter(|w| w[0] <= 0.0 && w[1] > 0.0).count();
        rising as f32 * RATE as f32 / samples.len() as f32
    }

    #[test]
    fn every_codec_is_heard_at_its_pitch() {
        for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722] {
            let heard = tone(codec, 50, &[]);
            assert_eq!(heard.len(), RATE, "{codec:?}");
            assert!((frequency(&heard[RATE / 4..]) - 440.0).abs() < 5.0, "{codec:?}");
        }
    }

    #[test]
    fn a_lost_packet_costs_no_time() {
        assert_eq!(tone(Codec::Pcmu, 50, &[20, 21]).len(), RATE);
    }

    #[test]
    fn a_change_of_codec_and_bytes_of_any_kind_are_survived() {
        let t0 = Instant::now();
        let mut listening = Listening::new(t0);
        let mut heard = 0;
        for n in 0..200u32 {
            let codec = [Codec::Pcmu, Codec::G722, Codec::Opaque, Codec::Pcma][n as usize / 10 % 4];
            let now = t0 + Duration::from_millis(20 * u64::from(n));
            let payload = Bytes::from(vec![n as u8 ^ 0x5a; if n % 13 == 0 { 1 } else { 160 }]);
            listening.push(TapPacket { arrived: now, sequence: n as u16, timestamp: n * 160, ssrc: 9, codec, payload });
            while let Some(sound) = listening.pull(now) {
                assert!(sound.samples.iter().all(|s| s.abs() <= 1.5));
                heard += sound.samples.len();
            }
        }
        assert_eq!(listening.unheard(), 50);
        assert!(heard.abs_diff(4 * RATE) < RATE / 4, "gaps of what is not heard are silence: {heard}");
    }

    #[test]
    fn a_long_pause_is_cut_and_the_clock_follows() {
        let t0 = Instant::now();
        let mut listening = Listening::new(t0);
        let packet = |n: u32, ms: u64| TapPacket {
            arrived: t0 + Duration::from_millis(ms),
            sequence: n as u16,
            timestamp: n * 160,
            ssrc: 9,
            codec: Codec::Pcmu,
            payload: Bytes::from_static(&[0xff; 160]),
        };
        listening.push(packet(0, 0));
        let first = listening.pull(t0 + Duration::from_secs(1)).unwrap();
        listening.push(packet(500, 10_000));
        let mut last = first.clone();
        while let Some(sound) = listening.pull(t0 + Duration::from_secs(20)) {
            last = sound;
        }
        assert_eq!((first.start_ms, last.start_ms), (0, 10_000));
    }
}
