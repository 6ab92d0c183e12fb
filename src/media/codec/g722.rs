//! G.722 at 64 kbit/s: sub-band ADPCM, two samples a byte, with state over the whole stream.

use ezk_g722::libg722::{Bitrate, decoder, encoder};

use super::{Decode, Encode};

/// Decoder state.
pub(super) struct Decoder(decoder::Decoder);
/// Encoder state.
pub(super) struct Encoder(encoder::Encoder);

impl Default for Decoder {
    fn default() -> Self {
        Decoder(decoder::Decoder::new(Bitrate::Mode1_64000, false, false))
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Encoder(encoder::Encoder::new(Bitrate::Mode1_64000, false, false))
    }
}

impl Decode for Decoder {
    fn decode(&mut self, payload: &[u8]) -> Vec<i16> {
        self.0.decode(payload)
    }
}

impl Encode for Encoder {
    fn encode(&mut self, samples: &[i16]) -> Vec<u8> {
        // The codec takes samples in pairs.
        self.0.encode(&samples[..samples.len() & !1])
    }
}
