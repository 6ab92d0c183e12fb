//! Offers and answers (RFC 3264) with the media anchored at Callward.
//!
//! What one leg says is passed to the other with three changes: our own addresses and ports, our own origin line
//! (each leg sees one session that only Callward modifies), and every stream but the first plain-RTP audio declined
//! with port 0. Payload types and formats are left alone, so a relayed packet needs no rewriting.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use bytesstr::BytesStr;
use ezk_sdp_types::{
    Connection, Direction, MediaDescription, MediaType, Origin, Rtcp, SessionDescription, TaggedAddress,
    TransportProtocol,
};

use crate::media::{Codec, LegMedia};

/// Why a session description cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// Not SDP; answer 400.
    #[error("session description cannot be parsed: {0}")]
    Malformed(String),
    /// Nothing in it that we can carry; answer 488.
    #[error("no audio over plain RTP with an address")]
    NoAudio,
}

impl SdpError {
    /// The status that a request with this description is answered with.
    pub fn status(&self) -> u16 {
        match self {
            SdpError::Malformed(_) => 400,
            SdpError::NoAudio => 488,
        }
    }
}

/// One leg's offer or answer, with its audio stream found.
#[derive(Debug, Clone)]
pub struct Sdp {
    description: SessionDescription,
    audio: usize,
}

/// Our address of one leg, and the identity of the session we present there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// Where we receive RTP for this leg.
    pub rtp: SocketAddr,
    /// Where we receive RTCP for this leg.
    pub rtcp: SocketAddr,
    /// Session id of the origin line, constant for the leg.
    pub session_id: u64,
    /// Version of the origin line; grows with each description we send (RFC 3264 §8).
    pub version: u64,
}

impl Sdp {
    /// Parses a body of type `application/sdp`.
    pub fn parse(body: &[u8]) -> Result<Sdp, SdpError> {
        let text = std::str::from_utf8(body).map_err(|e| SdpError::Malformed(e.to_string()))?;
        let text = BytesStr::from_utf8_bytes(Bytes::copy_from_slice(text.as_bytes()))
            .map_err(|e| SdpError::Malformed(e.to_string()))?;
        let description = SessionDescription::parse(&text).map_err(|e| SdpError::Malformed(e.to_string()))?;
        let audio = description.media_descriptions.iter().position(is_our_audio).ok_or(SdpError::NoAudio)?;
        let sdp = Sdp { description, audio };
        sdp.rtp().ok_or(SdpError::NoAudio)?;
        Ok(sdp)
    }

    fn stream(&self) -> &MediaDescription {
        &self.description.media_descriptions[self.audio]
    }

    fn address(&self) -> Option<IpAddr> {
        let connection = self.stream().connection.as_ref().or(self.description.connection.as_ref())?;
        match &connection.address {
            TaggedAddress::IP4(ip) => Some(IpAddr::V4(*ip)),
            TaggedAddress::IP6(ip) => Some(IpAddr::V6(*ip)),
            // A host name would need a resolver on the media path; symmetric RTP finds the peer without it.
            TaggedAddress::IP4FQDN(_) => Some(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)),
            TaggedAddress::IP6FQDN(_) => Some(IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED)),
        }
    }

    /// Where the peer wants its RTP.
    pub fn rtp(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.address()?, self.stream().media.port))
    }

    /// Where the peer wants its RTCP: `a=rtcp` (RFC 3605), the RTP port itself when multiplexed (RFC 5761), else the
    /// next port.
    pub fn rtcp(&self) -> Option<SocketAddr> {
        let rtp = self.rtp()?;
        let port = match (&self.stream().rtcp, self.stream().rtcp_mux) {
            (_, true) => rtp.port(),
            (Some(rtcp), _) => rtcp.port,
            _ => rtp.port().checked_add(1)?,
        };
        Some(SocketAddr::new(rtp.ip(), port))
    }

    /// The direction of the stream; the old hold by address 0.0.0.0 (RFC 2543) reads as `sendonly` did later.
    fn direction(&self) -> Direction {
        let said = self.stream().direction;
        match self.address() {
            Some(IpAddr::V4(ip)) if ip.is_unspecified() && said == Direction::SendRecv => Direction::SendOnly,
            _ => said,
        }
    }

    /// What was negotiated for the leg that sent this description.
    pub fn media(&self) -> LegMedia {
        let stream = self.stream();
        let direction = self.direction();
        let name_of = |pt: u8| stream.rtpmap.iter().find(|m| m.payload == pt).map(|m| m.encoding.to_ascii_lowercase());
        let mut payloads = Vec::new();
        let mut telephone_event = None;
        for pt in stream.media.fmts.iter().copied() {
            match (name_of(pt).as_deref(), pt) {
                (Some("telephone-event"), _) => telephone_event = telephone_event.or(Some(pt)),
                (Some("pcmu"), _) | (None, 0) => payloads.push((pt, Codec::Pcmu)),
                (Some("pcma"), _) | (None, 8) => payloads.push((pt, Codec::Pcma)),
                (Some("g722"), _) | (None, 9) => payloads.push((pt, Codec::G722)),
                // Comfort noise (RFC 3389) is no codec of its own.
                (Some("cn"), _) | (None, 13) => {}
                _ => payloads.push((pt, Codec::Opaque)),
            }
        }
        LegMedia {
            payloads,
            telephone_event,
            sends: matches!(direction, Direction::SendRecv | Direction::SendOnly),
            receives: matches!(direction, Direction::SendRecv | Direction::RecvOnly),
        }
    }

    /// The version of the peer's origin line: unchanged means an unchanged session (RFC 3264 §8).
    pub fn version(&self) -> String {
        self.description.origin.session_version.to_string()
    }

    /// This description as the other leg shall see it.
    pub fn anchored(&self, anchor: &Anchor) -> String {
        let mut out = self.description.clone();
        let address = tagged(anchor.rtp.ip());
        out.origin = Origin {
            username: BytesStr::from_static("-"),
            session_id: anchor.session_id.to_string().into(),
            session_version: anchor.version.to_string().into(),
            address: address.clone(),
        };
        out.name = BytesStr::from_static("-");
        out.connection = Some(Connection { address, ttl: None, num: None });
        out.attributes.clear();
        out.group.clear();
        out.ice_options.options.clear();
        (out.ice_ufrag, out.ice_pwd, out.ice_lite, out.setup) = (None, None, false, None);
        out.fingerprint.clear();
        for (index, stream) in out.media_descriptions.iter_mut().enumerate() {
            match index == self.audio {
                true => anchor_stream(stream, anchor, self.direction()),
                false => decline(stream),
            }
        }
        out.to_string()
    }
}

fn is_our_audio(stream: &MediaDescription) -> bool {
    stream.media.media_type == MediaType::Audio
        && stream.media.port != 0
        && matches!(stream.media.proto, TransportProtocol::RtpAvp | TransportProtocol::RtpAvpf)
}

fn tagged(ip: IpAddr) -> TaggedAddress {
    match ip {
        IpAddr::V4(ip) => TaggedAddress::IP4(ip),
        IpAddr::V6(ip) => TaggedAddress::IP6(ip),
    }
}

/// Puts our address into the audio stream and drops what tells of the peer's own network (ICE, SSRCs, keys).
fn anchor_stream(stream: &mut MediaDescription, anchor: &Anchor, direction: Direction) {
    stream.media.port = anchor.rtp.port();
    stream.media.ports_num = None;
    stream.connection = None;
    stream.direction = direction;
    let ordinary = anchor.rtcp.port() == anchor.rtp.port() + 1;
    stream.rtcp = (!ordinary).then(|| Rtcp { port: anchor.rtcp.port(), address: None });
    stream.rtcp_mux = false;
    stream.ice_candidates.clear();
    (stream.ice_ufrag, stream.ice_pwd, stream.ice_end_of_candidates) = (None, None, false);
    stream.ssrc.clear();
    stream.crypto.clear();
    stream.fingerprint.clear();
    stream.setup = None;
    stream.mid = None;
    stream.msid = None;
    stream.extmap.clear();
    stream.attributes.retain(|a| ["ptime", "maxptime", "silenceSupp"].contains(&a.name.as_ref()));
}

/// A declined stream keeps its place and kind with port 0 (RFC 3264 §6).
fn decline(stream: &mut MediaDescription) {
    let (media_type, proto, fmts) = (stream.media.media_type, stream.media.proto.clone(), stream.media.fmts.clone());
    *stream = MediaDescription::rejected(media_type);
    stream.media.proto = proto;
    stream.media.fmts = fmts;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OFFER: &str = "v=0\r\no=alice 12 3 IN IP4 192.0.2.9\r\ns=secret\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n\
        m=audio 5004 RTP/AVP 9 0 8 111 101\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\n\
        a=fmtp:101 0-16\r\na=ptime:20\r\na=candidate:1 1 UDP 2130706431 10.0.0.7 5004 typ host\r\n\
        m=video 5006 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n";

    fn anchor() -> Anchor {
        Anchor {
            rtp: "198.51.100.1:10000".parse().unwrap(),
            rtcp: "198.51.100.1:10001".parse().unwrap(),
            session_id: 5,
            version: 1,
        }
    }

    #[test]
    fn an_offer_is_read() {
        let sdp = Sdp::parse(OFFER.as_bytes()).unwrap();
        assert_eq!(sdp.rtp().unwrap(), "192.0.2.9:5004".parse().unwrap());
        assert_eq!(sdp.rtcp().unwrap(), "192.0.2.9:5005".parse().unwrap());
        let media = sdp.media();
        assert_eq!(media.payloads, [(9, Codec::G722), (0, Codec::Pcmu), (8, Codec::Pcma), (111, Codec::Opaque)]);
        assert_eq!(media.telephone_event, Some(101));
        assert!(media.sends && media.receives);
    }

    #[test]
    fn the_other_leg_sees_only_us() {
        let text = Sdp::parse(OFFER.as_bytes()).unwrap().anchored(&anchor());
        assert!(text.contains("c=IN IP4 198.51.100.1\r\n") && text.contains("m=audio 10000 RTP/AVP 9 0 8 111 101\r\n"));
        assert!(text.contains("m=video 0 RTP/AVP 96\r\n") && text.contains("a=ptime:20"), "{text}");
        for secret in ["192.0.2.9", "10.0.0.7", "alice", "secret", "candidate"] {
            assert!(!text.contains(secret), "{secret} leaked: {text}");
        }
        assert!(Sdp::parse(text.as_bytes()).is_ok());
    }

    #[test]
    fn holds_of_both_kinds_are_read() {
        let hold = OFFER.replace("a=ptime:20", "a=sendonly");
        let media = Sdp::parse(hold.as_bytes()).unwrap().media();
        assert!(media.sends && !media.receives);
        let old = OFFER.replace("c=IN IP4 192.0.2.9", "c=IN IP4 0.0.0.0");
        assert!(!Sdp::parse(old.as_bytes()).unwrap().media().receives);
    }

    #[test]
    fn useless_descriptions_are_refused_with_their_status() {
        assert_eq!(Sdp::parse(b"v=0\r\nhello").unwrap_err().status(), 400);
        assert_eq!(Sdp::parse(&[0xff, 0xfe]).unwrap_err().status(), 400);
        let only_video = OFFER.replace("m=audio 5004", "m=audio 0");
        assert_eq!(Sdp::parse(only_video.as_bytes()).unwrap_err().status(), 488);
        let secured = OFFER.replace("m=audio 5004 RTP/AVP", "m=audio 5004 RTP/SAVP");
        assert_eq!(Sdp::parse(secured.as_bytes()).unwrap_err().status(), 488);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Sdp::parse(&bytes);
        }

        #[test]
        fn a_mutated_offer_is_read_or_refused(at in 0usize..500, byte: u8) {
            let mut bytes = OFFER.as_bytes().to_vec();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(sdp) = Sdp::parse(&bytes) {
                let _ = (sdp.media(), sdp.rtcp(), sdp.anchored(&anchor()));
            }
        }
    }
}
