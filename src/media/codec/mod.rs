//! The codecs that are heard and spoken: payload to samples and back. Each keeps the state of one stream.

use super::Codec;

mod g711;
mod g722;

/// Reads one stream's payloads.
pub trait Decode: Send {
    /// Samples of a payload, at [`sample_rate`] of the codec.
    fn decode(&mut self, payload: &[u8]) -> Vec<i16>;
}

/// Writes one stream's payloads.
pub trait Encode: Send {
    /// The payload of samples at [`sample_rate`] of the codec.
    fn encode(&mut self, samples: &[i16]) -> Vec<u8>;
}

/// Samples a second of the audio; `None` for a codec that is only relayed.
pub fn sample_rate(codec: Codec) -> Option<u32> {
    match codec {
        Codec::Pcmu | Codec::Pcma => Some(8_000),
        Codec::G722 => Some(16_000),
        Codec::Opaque => None,
    }
}

/// Ticks a second of the RTP clock of the codecs we know; all three run at 8 kHz (RFC 3551 §4.5.2 for G.722).
pub const RTP_CLOCK: u32 = 8_000;

/// A decoder for a new stream.
pub fn decoder(codec: Codec) -> Option<Box<dyn Decode>> {
    match codec {
        Codec::Pcmu => Some(Box::new(g711::MuLaw)),
        Codec::Pcma => Some(Box::new(g711::ALaw)),
        Codec::G722 => Some(Box::new(g722::Decoder::default())),
        Codec::Opaque => None,
    }
}

/// An encoder for a new stream.
pub fn encoder(codec: Codec) -> Option<Box<dyn Encode>> {
    match codec {
        Codec::Pcmu => Some(Box::new(g711::MuLaw)),
        Codec::Pcma => Some(Box::new(g711::ALaw)),
        Codec::G722 => Some(Box::new(g722::Encoder::default())),
        Codec::Opaque => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_survives_every_codec() {
        for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722] {
            let rate = sample_rate(codec).unwrap();
            let tone: Vec<i16> = (0..rate)
                .map(|i| (8_000.0 * (i as f32 * 440.0 * std::f32::consts::TAU / rate as f32).sin()) as i16)
                .collect();
            let (mut encoder, mut decoder) = (encoder(codec).unwrap(), decoder(codec).unwrap());
            let mut heard = Vec::new();
            for frame in tone.chunks(rate as usize / 50) {
                let payload = encoder.encode(frame);
                assert_eq!(payload.len(), 160, "{codec:?}: 20 ms at 64 kbit/s");
                heard.extend(decoder.decode(&payload));
            }
            assert_eq!(heard.len(), tone.len());
            let power = |s: &[i16]| s.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / s.len() as f64;
            let ratio = power(&heard[rate as usize / 4..]) / power(&tone[rate as usize / 4..]);
            assert!((0.8..1.25).contains(&ratio), "{codec:?} {ratio}");
        }
    }
}
