//! G.711, both laws: stateless, a byte a sample.

use audio_codec_algorithms::{decode_alaw, decode_ulaw, encode_alaw, encode_ulaw};

use super::{Decode, Encode};

/// µ-law.
pub(super) struct MuLaw;
/// A-law.
pub(super) struct ALaw;

impl Decode for MuLaw {
    fn decode(&mut self, payload: &[u8]) -> Vec<i16> {
        payload.iter().map(|&b| decode_ulaw(b)).collect()
    }
}

impl Encode for MuLaw {
    fn encode(&mut self, samples: &[i16]) -> Vec<u8> {
        samples.iter().map(|&s| encode_ulaw(s)).collect()
    }
}

impl Decode for ALaw {
    fn decode(&mut self, payload: &[u8]) -> Vec<i16> {
        payload.iter().map(|&b| decode_alaw(b)).collect()
    }
}

impl Encode for ALaw {
    fn encode(&mut self, samples: &[i16]) -> Vec<u8> {
        samples.iter().map(|&s| encode_alaw(s)).collect()
    }
}
