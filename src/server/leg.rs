//! Shell: one leg's SIP messages. Turns what the call decided ([`Outgoing`]) into requests and responses of the leg's
//! own dialog, and what arrives into what the call understands.

use std::net::{IpAddr, SocketAddr};

use super::ServerError;
use super::transport::{Flow, Transports};
use crate::call::{Body, MidCall, Outgoing, Reply};
use crate::sip::crossing;
use crate::sip::dialog::Dialog;
use crate::sip::rsip::prelude::{HasHeaders, HeadersExt, ToTypedHeader};
use crate::sip::rsip::{Header, Method, Param, Request, Response, Transport, Uri, headers, typed};
use crate::sip::sdp::{Sdp, SdpError};
use crate::sip::session_timer::Proposal;

/// The methods we take, for Allow.
pub const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK, REFER, NOTIFY, MESSAGE";
/// The extensions we know, for Supported and for checking Require.
pub const SUPPORTED: [&str; 2] = ["100rel", "timer"];

/// A leg's dialog and the way to its peer.
pub struct Leg {
    /// The dialog.
    pub dialog: Dialog,
    /// How the peer is reached.
    pub flow: Flow,
    /// Sequence number of our latest INVITE, for its ACK.
    pub invite_seq: u32,
    /// The INVITE as sent, for CANCEL.
    pub invite: Option<Request>,
    /// The latest reliable provisional response seen (RFC 3262 §4).
    pub last_rseq: Option<u32>,
    /// What the session description of ours that the peer has not answered yet is; see [`Leg::body_of`].
    pub max_forwards: u32,
}

impl Leg {
    /// A leg on a dialog.
    pub fn new(dialog: Dialog, flow: Flow, max_forwards: u32) -> Leg {
        Leg { dialog, flow, invite_seq: 0, invite: None, last_rseq: None, max_forwards }
    }

    /// A request of this leg, complete but for its Via, which the transaction adds.
    pub fn request(&mut self, method: Method, outgoing: &Outgoing) -> Request {
        let mut request = self.dialog.request(method);
        if method == Method::Invite {
            self.invite_seq = self.dialog.last_seq();
        }
        if matches!(method, Method::Invite | Method::Update | Method::Refer | Method::Notify) {
            request.headers.push(Header::Contact(headers::Contact::new(self.flow.contact())));
        }
        if matches!(method, Method::Invite | Method::Update) {
            request.headers.push(Header::Allow(headers::Allow::new(ALLOW)));
        }
        self.finish(&mut request, outgoing);
        request
    }

    /// The ACK of our latest INVITE, with a Via: it is no transaction of its own.
    pub fn ack(&self, outgoing: &Outgoing, flow: &Flow) -> Request {
        let mut ack = self.dialog.ack(self.invite_seq);
        ack.headers.push_front(Header::Via(super::transaction::via(flow)));
        self.finish(&mut ack, outgoing);
        ack
    }

    fn finish(&self, request: &mut Request, outgoing: &Outgoing) {
        request.headers.push(Header::MaxForwards(self.max_forwards.into()));
        request.headers.extend(outgoing.headers.clone());
        request.body = put_body(&mut request.headers, outgoing);
    }

    /// The flow a request of this dialog takes: to its first route, or its target. A private address behind a public
    /// source is a phone behind NAT, reached only the way it came (RFC 5626 §5.3, RFC 3581).
    pub async fn flow_for(&self, request: &Request, transports: &Transports) -> Result<Flow, ServerError> {
        if self.flow.transport != Transport::Udp {
            return Ok(self.flow.clone());
        }
        match address_of(&request.destination()) {
            Some((transport, address))
                if address != self.flow.remote && !behind_nat(address.ip(), self.flow.remote.ip()) =>
            {
                transports.flow_to(transport, address).await
            }
            _ => Ok(self.flow.clone()),
        }
    }
}

/// Adds what every 2xx and reliable response of ours within a dialog carries.
pub fn dress(response: &mut Response, flow: &Flow, outgoing: &Outgoing) {
    response.headers.push(Header::Contact(headers::Contact::new(flow.contact())));
    response.headers.push(Header::Allow(headers::Allow::new(ALLOW)));
    response.headers.push(Header::Supported(headers::Supported::new(SUPPORTED.join(", "))));
    response.headers.extend(outgoing.headers.clone());
    response.body = put_body(&mut response.headers, outgoing);
}

/// Sets Content-Type and Content-Length and returns the body.
pub fn put_body(headers: &mut crate::sip::rsip::Headers, outgoing: &Outgoing) -> Vec<u8> {
    let (content_type, body) = match (&outgoing.sdp, &outgoing.body) {
        (Some(sdp), _) => (Some("application/sdp".to_string()), sdp.clone().into_bytes()),
        (None, Some(body)) => (Some(body.content_type.clone()), body.bytes.clone()),
        (None, None) => (None, Vec::new()),
    };
    if let Some(content_type) = content_type {
        headers.push(Header::ContentType(headers::ContentType::new(content_type)));
    }
    headers.unique_push(Header::ContentLength((body.len() as u32).into()));
    body
}

/// What a body holds.
pub struct Content {
    /// A session description.
    pub sdp: Option<Sdp>,
    /// Anything else.
    pub body: Option<Body>,
}

/// Reads a message's body by its Content-Type.
pub fn content(message: &impl HasHeaders, bytes: &[u8]) -> Result<Content, SdpError> {
    if bytes.is_empty() {
        return Ok(Content { sdp: None, body: None });
    }
    let content_type = message.headers().iter().find_map(|h| match h {
        Header::ContentType(content_type) => Some(content_type.value().to_string()),
        _ => None,
    });
    let content_type = content_type.unwrap_or_else(|| "application/sdp".to_string());
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    match essence.eq_ignore_ascii_case("application/sdp") {
        true => Ok(Content { sdp: Some(Sdp::parse(bytes)?), body: None }),
        false => Ok(Content { sdp: None, body: Some(Body { content_type, bytes: bytes.to_vec() }) }),
    }
}

/// A response as the call understands it. An unusable description counts as none: the call then decides.
pub fn reply(response: &Response) -> Reply {
    let status = response.status_code.code();
    let content = content(response, &response.body).unwrap_or(Content { sdp: None, body: None });
    let headers = match status {
        300.. => crossing::of_refusal(&response.headers),
        _ => crossing::of_mid_call(&response.headers),
    };
    Reply {
        status,
        sdp: content.sdp,
        body: content.body,
        headers,
        timer: Proposal::of(response),
        allows_update: allows_update(response),
    }
}

/// A request within the call as the call understands it.
pub fn mid_call(request: &Request) -> Result<MidCall, SdpError> {
    let content = content(request, &request.body)?;
    Ok(MidCall {
        method: request.method,
        sdp: content.sdp,
        body: content.body,
        headers: crossing::of_mid_call(&request.headers),
        timer: Proposal::of(request),
    })
}

/// Whether a message's Allow names UPDATE.
pub fn allows_update(message: &impl HasHeaders) -> bool {
    message
        .headers()
        .iter()
        .any(|h| matches!(h, Header::Allow(allow) if allow.value().to_ascii_uppercase().contains("UPDATE")))
}

/// Whether a list header (Require, Supported) holds a token.
pub fn lists(message: &impl HeadersExt, header: &str, token: &str) -> bool {
    message.header_contains_token(header, token)
}

/// The RSeq of a provisional response that wants a PRACK.
pub fn wants_prack(response: &Response) -> Option<u32> {
    let provisional = (101..200).contains(&response.status_code.code());
    (provisional && lists(response, "Require", "100rel")).then(|| response.rseq_value()).flatten()
}

/// Transport and address of a URI whose host is an IP address.
pub fn address_of(uri: &Uri) -> Option<(Transport, SocketAddr)> {
    let transport = uri.params.iter().find_map(|p| match p {
        Param::Transport(t) => Some(*t),
        _ => None,
    });
    let ip = IpAddr::try_from(uri.host().clone()).ok()?;
    let port = uri.host_with_port.port.map_or(5060, u16::from);
    Some((transport.unwrap_or(Transport::Udp), SocketAddr::new(ip, port)))
}

fn behind_nat(said: IpAddr, seen: IpAddr) -> bool {
    let private = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified(),
    };
    private(said) && !private(seen)
}

/// Whether a Contact is the wildcard `*`.
pub fn is_wildcard(contact: &headers::Contact) -> bool {
    contact.value().trim() == "*"
}

/// The contacts of a message, one each even where several share a line.
pub fn contacts(message: &impl HeadersExt) -> Vec<typed::Contact> {
    message.contact_headers().iter().filter_map(|c| c.typed().ok()).collect()
}
