//! Who is calling, as far as SIP says so, and how the call is presented to the phones.
//!
//! P-Asserted-Identity counts only from peers we were told to trust (RFC 3325 §5); From is a claim anyone can make. A
//! caller who asked for privacy (RFC 3323) stays anonymous on the phone's display, whatever we know.

use super::rsip::headers::typed;
use super::rsip::prelude::{HeadersExt, ToTypedHeader};
use super::rsip::{Request, Scheme, Uri};

/// The caller of an INVITE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// User part or tel number as signalled, from the best source; `None` when withheld.
    pub number: Option<String>,
    /// Display name, if one was given and no privacy asked.
    pub display_name: Option<String>,
    /// Whether the caller asked not to be shown.
    pub anonymous: bool,
    /// Whether the number comes from an asserted identity of a trusted peer.
    pub asserted: bool,
}

impl Caller {
    /// Reads an INVITE; `trusted` says whether the peer it came from may assert identities.
    pub fn of(invite: &Request, trusted: bool) -> Caller {
        let from = invite.from_header().ok().and_then(|f| f.typed().ok());
        let asserted = trusted
            .then(|| invite.p_asserted_identity_header())
            .flatten()
            .and_then(|h| typed::From::parse(h.value().split(',').next().unwrap_or_default()).ok());
        let wants_privacy = invite
            .privacy_header()
            .is_some_and(|p| p.value().split(';').any(|v| ["id", "user", "header", "critical"].contains(&v.trim())));
        let from_number = from.as_ref().and_then(|f| number(&f.uri));
        let anonymous = wants_privacy || from_number.is_none();
        let display_name = from.and_then(|f| f.display_name).filter(|n| !anonymous && !n.is_empty());
        let asserted_number = asserted.and_then(|a| number(&a.uri));
        Caller { asserted: asserted_number.is_some(), number: asserted_number.or(from_number), display_name, anonymous }
    }

    /// The name-addr, without tag, that the phones see in From. `host` is our own domain or address.
    pub fn from_header(&self, host: &str) -> String {
        let safe = |text: &str| {
            text.chars().filter(|c| !matches!(c, '"' | '\\' | '<' | '>') && !c.is_control()).collect::<String>()
        };
        match (&self.number, self.anonymous) {
            (Some(number), false) => {
                let name = self.display_name.as_deref().map(|n| format!("\"{}\" ", safe(n))).unwrap_or_default();
                format!("{name}<sip:{}@{host}>", user_part(number))
            }
            _ => "\"Anonymous\" <sip:anonymous@anonymous.invalid>".to_string(),
        }
    }
}

/// The number or user of a URI; `None` for the anonymous ones of RFC 3323 §4.1.1.3.
fn number(uri: &Uri) -> Option<String> {
    let user = match (&uri.scheme, uri.user()) {
        (Some(Scheme::Other(scheme)), _) if scheme.eq_ignore_ascii_case("tel") => uri.host_with_port.host.to_string(),
        (_, Some(user)) => user.split(';').next().unwrap_or_default().to_string(),
        _ => return None,
    };
    let anonymous = user.eq_ignore_ascii_case("anonymous") || user.eq_ignore_ascii_case("restricted");
    let host_hidden = uri.host_with_port.host.to_string().ends_with(".invalid");
    (!user.is_empty() && !anonymous && !host_hidden).then_some(user)
}

/// Keeps what may stand unescaped in a SIP user part (RFC 3261 §25.1).
fn user_part(number: &str) -> String {
    number.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.!~*'()&=+$,;?/%".contains(*c)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn invite(from: &str, extra: &str) -> Request {
        let text = format!(
            "INVITE sip:line@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\nFrom: {from};tag=1\r\n\
             To: <sip:line@192.0.2.1>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n{extra}Content-Length: 0\r\n\r\n"
        );
        Request::try_from(text.as_str()).unwrap()
    }

    #[test]
    fn an_asserted_identity_counts_only_from_a_trusted_peer() {
        let invite =
            invite("\"Bob\" <sip:+15550100@x.example>", "P-Asserted-Identity: <sip:+15550199@carrier.example>\r\n");
        assert_eq!(Caller::of(&invite, true).number.as_deref(), Some("+15550199"));
        let stranger = Caller::of(&invite, false);
        assert_eq!((stranger.number.as_deref(), stranger.asserted), (Some("+15550100"), false));
        assert_eq!(stranger.from_header("home"), "\"Bob\" <sip:+15550100@home>");
    }

    #[test]
    fn privacy_hides_the_caller_from_the_phone_but_not_from_us() {
        let invite = invite("\"Bob\" <sip:+15550100@x.example>", "Privacy: id\r\n");
        let caller = Caller::of(&invite, false);
        assert_eq!(caller.number.as_deref(), Some("+15550100"));
        assert_eq!(caller.from_header("home"), "\"Anonymous\" <sip:anonymous@anonymous.invalid>");
    }

    #[test]
    fn withheld_numbers_are_none() {
        let withheld = invite("\"Anonymous\" <sip:anonymous@anonymous.invalid>", "");
        assert_eq!(Caller::of(&withheld, true).number, None);
    }
}
