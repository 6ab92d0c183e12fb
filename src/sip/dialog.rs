//! One side of a SIP dialog (RFC 3261 §12): identifiers, sequence numbers, route set and remote target, and the
//! requests made from them.
//!
//! Each leg of a call owns one. It never learns of the other leg: nothing of one dialog can leak into the other.

use super::rsip::headers::typed;
use super::rsip::prelude::{HeadersExt, ToTypedHeader};
use super::rsip::{self, Header, Method, Request, Response, Uri, Version};

/// Why a message cannot belong to or begin a dialog.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialogError {
    /// A header that the dialog needs is missing or unreadable; answer 400.
    #[error("header {0} is missing or malformed")]
    Header(&'static str),
    /// An in-dialog request with a sequence number not above the last (RFC 3261 §12.2.2); answer 500.
    #[error("CSeq {got} is not above {last}")]
    OutOfOrder {
        /// The number received.
        got: u32,
        /// The highest seen before.
        last: u32,
    },
}

/// Our end of a dialog.
#[derive(Debug, Clone)]
pub struct Dialog {
    /// Call-ID, one per leg.
    pub call_id: String,
    /// Our tag.
    pub local_tag: String,
    /// The peer's tag; `None` until a response brings it.
    pub remote_tag: Option<String>,
    /// Our name and address without tag, as it goes into From.
    local: String,
    /// The peer's, as it goes into To.
    remote: String,
    /// The last sequence number we used.
    local_seq: u32,
    /// The highest sequence number the peer used.
    remote_seq: Option<u32>,
    /// Where in-dialog requests go: the peer's Contact.
    pub remote_target: Uri,
    /// Routes to it, nearest first (RFC 3261 §12.1.1, §12.1.2).
    route_set: Vec<String>,
}

impl Dialog {
    /// The dialog that an incoming INVITE begins, with our tag for it.
    pub fn of_incoming(invite: &Request, local_tag: String) -> Result<Dialog, DialogError> {
        let from = typed_from(invite)?;
        let to = typed_to(invite)?;
        Ok(Dialog {
            call_id: call_id(invite)?,
            local_tag,
            remote_tag: from.tag().map(|t| t.value().to_string()),
            local: untagged(to.display_name, to.uri),
            remote: untagged(from.display_name.clone(), from.uri.clone()),
            local_seq: 0,
            remote_seq: Some(cseq(invite)?),
            remote_target: contact(invite)?,
            route_set: record_routes(invite),
        })
    }

    /// The dialog that an INVITE of ours will begin. `local` and `remote` are name-addrs without tags.
    pub fn outgoing(call_id: String, local_tag: String, local: String, remote: String, target: Uri) -> Dialog {
        Dialog {
            call_id,
            local_tag,
            remote_tag: None,
            local,
            remote,
            local_seq: 0,
            remote_seq: None,
            remote_target: target,
            route_set: Vec::new(),
        }
    }

    /// Learns the peer's side from a response to our INVITE that creates (or refreshes) the dialog. Route set and tag
    /// are fixed by the 2xx (RFC 3261 §13.2.2.4); the remote target follows every one.
    pub fn learn(&mut self, response: &Response) -> Result<(), DialogError> {
        let to = response.to_header().map_err(|_| DialogError::Header("To"))?;
        if let Ok(Some(tag)) = to.tag() {
            self.remote_tag = Some(tag.value().to_string());
        }
        let mut routes = record_routes(response);
        routes.reverse();
        if !routes.is_empty() {
            self.route_set = routes;
        }
        if let Ok(target) = contact(response) {
            self.remote_target = target;
        }
        Ok(())
    }

    /// Takes in a request within the dialog: checks its order and follows its Contact.
    pub fn accept(&mut self, request: &Request) -> Result<(), DialogError> {
        let got = cseq(request)?;
        if let Some(last) = self.remote_seq
            && got <= last
            && request.method != Method::Ack
        {
            return Err(DialogError::OutOfOrder { got, last });
        }
        self.remote_seq = Some(self.remote_seq.map_or(got, |last| last.max(got)));
        if matches!(request.method, Method::Invite | Method::Update)
            && let Ok(target) = contact(request)
        {
            self.remote_target = target;
        }
        Ok(())
    }

    /// Whether the request is addressed to this dialog by both tags and the Call-ID.
    pub fn matches(&self, request: &Request) -> bool {
        let tag_is = |tag: Option<String>, want: Option<&str>| tag.as_deref() == want;
        call_id(request).is_ok_and(|id| id == self.call_id)
            && tag_is(to_tag(request), Some(&self.local_tag))
            && tag_is(from_tag(request), self.remote_tag.as_deref())
    }

    /// A new request within the dialog (or the INVITE that begins it), complete but for Via and Contact.
    pub fn request(&mut self, method: Method) -> Request {
        self.local_seq += 1;
        self.numbered(method, self.local_seq)
    }

    /// The ACK of a 2xx: its number is that of the INVITE it confirms (RFC 3261 §13.2.2.4).
    pub fn ack(&self, invite_seq: u32) -> Request {
        self.numbered(Method::Ack, invite_seq)
    }

    /// The number of our latest request.
    pub fn last_seq(&self) -> u32 {
        self.local_seq
    }

    fn numbered(&self, method: Method, seq: u32) -> Request {
        let remote_tag = self.remote_tag.as_ref().map(|t| format!(";tag={t}")).unwrap_or_default();
        let mut headers: Vec<Header> =
            self.route_set.iter().map(|r| Header::Route(rsip::headers::Route::new(r.clone()))).collect();
        headers.extend([
            Header::From(rsip::headers::From::new(format!("{};tag={}", self.local, self.local_tag))),
            Header::To(rsip::headers::To::new(format!("{}{remote_tag}", self.remote))),
            Header::CallId(rsip::headers::CallId::new(self.call_id.clone())),
            Header::CSeq(typed::CSeq { seq, method }.into()),
        ]);
        Request { method, uri: self.remote_target.clone(), version: Version::V2, headers: headers.into(), body: vec![] }
    }
}

/// The CANCEL of an INVITE of ours: same Request-URI, Call-ID, To, From, CSeq number, topmost Via and Routes
/// (RFC 3261 §9.1).
pub fn cancel(invite: &Request) -> Request {
    let mut headers: Vec<Header> = invite
        .headers
        .iter()
        .filter(|h| {
            matches!(h, Header::Via(_) | Header::Route(_) | Header::From(_) | Header::To(_) | Header::CallId(_))
        })
        .cloned()
        .collect();
    let seq = cseq(invite).unwrap_or(1);
    headers.push(Header::CSeq(typed::CSeq { seq, method: Method::Cancel }.into()));
    headers.push(Header::MaxForwards(70.into()));
    Request {
        method: Method::Cancel,
        uri: invite.uri.clone(),
        version: Version::V2,
        headers: headers.into(),
        body: vec![],
    }
}

/// The sequence number of a message.
pub fn cseq(message: &impl HeadersExt) -> Result<u32, DialogError> {
    message.cseq_header().ok().and_then(|c| c.seq().ok()).ok_or(DialogError::Header("CSeq"))
}

/// The Call-ID of a message.
pub fn call_id(message: &impl HeadersExt) -> Result<String, DialogError> {
    Ok(message.call_id_header().map_err(|_| DialogError::Header("Call-ID"))?.value().to_string())
}

/// The To tag of a message; `None` outside a dialog.
pub fn to_tag(message: &impl HeadersExt) -> Option<String> {
    message.to_header().ok()?.tag().ok()?.map(|t| t.value().to_string())
}

/// The From tag of a message.
pub fn from_tag(message: &impl HeadersExt) -> Option<String> {
    message.from_header().ok()?.tag().ok()?.map(|t| t.value().to_string())
}

/// The URI of the first Contact.
pub fn contact(message: &impl HeadersExt) -> Result<Uri, DialogError> {
    let contact = message.contact_header().map_err(|_| DialogError::Header("Contact"))?;
    Ok(contact.typed().map_err(|_| DialogError::Header("Contact"))?.uri)
}

fn typed_from(request: &Request) -> Result<typed::From, DialogError> {
    let from = request.from_header().map_err(|_| DialogError::Header("From"))?;
    from.typed().map_err(|_| DialogError::Header("From"))
}

fn typed_to(request: &Request) -> Result<typed::To, DialogError> {
    let to = request.to_header().map_err(|_| DialogError::Header("To"))?;
    to.typed().map_err(|_| DialogError::Header("To"))
}

fn untagged(display_name: Option<String>, uri: Uri) -> String {
    typed::From { display_name, uri, params: vec![] }.to_string()
}

/// Record-Routes in the order they stand, one element each even where several share a line.
fn record_routes(message: &impl HeadersExt) -> Vec<String> {
    let lists = message.record_route_headers();
    lists.iter().flat_map(|line| split_list(line.value())).collect()
}

/// Splits a comma-separated header outside angle brackets and quotes (RFC 3261 §7.3.1).
fn split_list(value: &str) -> Vec<String> {
    let (mut parts, mut part, mut angle, mut quoted) = (Vec::new(), String::new(), false, false);
    for c in value.chars() {
        match c {
            '"' => quoted = !quoted,
            '<' if !quoted => angle = true,
            '>' if !quoted => angle = false,
            ',' if !quoted && !angle => {
                parts.push(std::mem::take(&mut part).trim().to_string());
                continue;
            }
            _ => {}
        }
        part.push(c);
    }
    parts.push(part.trim().to_string());
    parts.retain(|p| !p.is_empty());
    parts
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn invite() -> Request {
        let text = "INVITE sip:line@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\n\
            Record-Route: <sip:192.0.2.7;lr>, <sip:192.0.2.8;lr>\r\nFrom: \"A\" <sip:a@192.0.2.9>;tag=a1\r\n\
            To: <sip:line@192.0.2.1>\r\nCall-ID: x\r\nCSeq: 7 INVITE\r\nContact: <sip:a@192.0.2.9:5070>\r\n\
            Content-Length: 0\r\n\r\n";
        Request::try_from(text).unwrap()
    }

    #[test]
    fn the_callee_side_answers_along_the_record_route() {
        let mut dialog = Dialog::of_incoming(&invite(), "b1".into()).unwrap();
        let bye = dialog.request(Method::Bye);
        assert_eq!(bye.uri.to_string(), "sip:a@192.0.2.9:5070");
        let routes: Vec<_> = bye.route_headers().iter().map(|r| r.value().to_string()).collect();
        assert_eq!(routes, ["<sip:192.0.2.7;lr>", "<sip:192.0.2.8;lr>"]);
        assert_eq!(from_tag(&bye).as_deref(), Some("b1"));
        assert_eq!(to_tag(&bye).as_deref(), Some("a1"));
    }

    #[test]
    fn requests_must_come_in_order() {
        let mut dialog = Dialog::of_incoming(&invite(), "b1".into()).unwrap();
        let mut next = invite();
        next.method = Method::Bye;
        assert_eq!(dialog.accept(&next), Err(DialogError::OutOfOrder { got: 7, last: 7 }));
        next.headers.unique_push(Header::CSeq(typed::CSeq { seq: 8, method: Method::Bye }.into()));
        assert_eq!(dialog.accept(&next), Ok(()));
    }

    #[test]
    fn our_invite_learns_the_peer_from_its_answer() {
        let target = Uri::try_from("sip:phone@192.0.2.20").unwrap();
        let mut dialog = Dialog::outgoing(
            "y".into(),
            "c1".into(),
            "<sip:a@192.0.2.1>".into(),
            "<sip:phone@192.0.2.20>".into(),
            target,
        );
        let invite = dialog.request(Method::Invite);
        assert!(to_tag(&invite).is_none());
        let answer = Response::try_from(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK2\r\nRecord-Route: <sip:p1;lr>\r\n\
             Record-Route: <sip:p2;lr>\r\nFrom: <sip:a@192.0.2.1>;tag=c1\r\nTo: <sip:phone@192.0.2.20>;tag=d1\r\n\
             Call-ID: y\r\nCSeq: 1 INVITE\r\nContact: <sip:phone@192.0.2.20:5099>\r\nContent-Length: 0\r\n\r\n",
        )
        .unwrap();
        dialog.learn(&answer).unwrap();
        let ack = dialog.ack(1);
        assert_eq!(ack.uri.to_string(), "sip:phone@192.0.2.20:5099");
        assert_eq!(ack.route_headers()[0].value(), "<sip:p2;lr>");
        assert_eq!(to_tag(&ack).as_deref(), Some("d1"));
        assert_eq!(cseq(&ack), Ok(1));
    }
}
