//! RTP packets as bytes (RFC 3550 §5.1): checked once, then read and patched in place, so that a relayed packet is
//! never rebuilt.

/// Fixed header length.
pub const HEADER: usize = 12;

/// Why bytes are not RTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RtpError {
    /// Shorter than its header, its lists or its padding say.
    #[error("RTP packet cut short")]
    Short,
    /// Not version 2.
    #[error("not RTP version 2")]
    Version,
    /// RTCP on the RTP port (RFC 5761 §4).
    #[error("RTCP, not RTP")]
    Rtcp,
}

/// A checked packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'b> {
    bytes: &'b [u8],
    payload: (usize, usize),
}

impl<'b> Packet<'b> {
    /// Checks version, lists, extension and padding.
    pub fn parse(bytes: &'b [u8]) -> Result<Packet<'b>, RtpError> {
        if bytes.len() < HEADER {
            return Err(RtpError::Short);
        }
        if bytes[0] >> 6 != 2 {
            return Err(RtpError::Version);
        }
        if (192..=223).contains(&bytes[1]) {
            return Err(RtpError::Rtcp);
        }
        let mut start = HEADER + 4 * usize::from(bytes[0] & 0x0f);
        if bytes[0] & 0x10 != 0 {
            let words = bytes.get(start + 2..start + 4).ok_or(RtpError::Short)?;
            start += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
        }
        let mut end = bytes.len();
        if bytes[0] & 0x20 != 0 {
            let padding = usize::from(bytes[end - 1]);
            if padding == 0 || padding > end {
                return Err(RtpError::Short);
            }
            end -= padding;
        }
        match start <= end {
            true => Ok(Packet { bytes, payload: (start, end) }),
            false => Err(RtpError::Short),
        }
    }

    /// The whole packet.
    pub fn bytes(&self) -> &'b [u8] {
        self.bytes
    }

    /// Payload without padding.
    pub fn payload(&self) -> &'b [u8] {
        &self.bytes[self.payload.0..self.payload.1]
    }

    /// Header with lists and extension.
    pub fn header(&self) -> &'b [u8] {
        &self.bytes[..self.payload.0]
    }

    /// Payload type.
    pub fn payload_type(&self) -> u8 {
        self.bytes[1] & 0x7f
    }

    /// Sequence number.
    pub fn sequence(&self) -> u16 {
        u16::from_be_bytes([self.bytes[2], self.bytes[3]])
    }

    /// Timestamp in the codec's RTP clock.
    pub fn timestamp(&self) -> u32 {
        word(self.bytes, 4)
    }

    /// Synchronisation source.
    pub fn ssrc(&self) -> u32 {
        word(self.bytes, 8)
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// What may change in a relayed packet's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patch {
    /// Payload type of the receiving leg.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
}

impl Patch {
    /// A patch that changes nothing.
    pub fn none(packet: &Packet) -> Patch {
        Patch {
            payload_type: packet.payload_type(),
            sequence: packet.sequence(),
            timestamp: packet.timestamp(),
            ssrc: packet.ssrc(),
        }
    }

    /// Writes it over a packet's header; the marker stays.
    pub fn apply(&self, packet: &mut [u8]) {
        packet[1] = (packet[1] & 0x80) | (self.payload_type & 0x7f);
        packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        packet[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        packet[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
    }

    /// A packet of its own with this header.
    pub fn packet(&self, marker: bool, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + payload.len());
        bytes.extend([0x80, if marker { 0x80 } else { 0 }, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        self.apply(&mut bytes);
        bytes.extend_from_slice(payload);
        bytes
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_extension_and_padding_are_skipped() {
        let mut bytes = vec![0xb1, 0x80, 0, 7, 0, 0, 0, 9, 0, 0, 0, 5, 1, 1, 1, 1, 0, 0, 0, 1, 2, 2, 2, 2];
        bytes.extend(b"hello");
        bytes.extend([0, 0, 3]);
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!((packet.payload(), packet.sequence(), packet.timestamp(), packet.ssrc()), (&b"hello"[..], 7, 9, 5));
    }

    #[test]
    fn what_is_not_rtp_is_told_apart() {
        assert_eq!(Packet::parse(&[0x80; 11]), Err(RtpError::Short));
        assert_eq!(Packet::parse(&[0; 12]), Err(RtpError::Version));
        assert_eq!(Packet::parse(&[0x80, 200, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Err(RtpError::Rtcp));
        assert_eq!(Packet::parse(&[0x8f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Err(RtpError::Short));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(packet) = Packet::parse(&bytes) {
                let _ = (packet.payload(), packet.header(), Patch::none(&packet));
            }
        }
    }
}
