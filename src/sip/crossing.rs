//! Which headers cross from one leg to the other.
//!
//! A back-to-back user agent ends one dialog and begins another; a header it does not know belongs to the leg it came
//! from (RFC 7092). So crossing is by list: what describes the call to a person crosses, what describes the path, the
//! peer's software or its dialogs does not.

use super::rsip::{Header, Headers};

/// Headers of an INVITE that describe the call itself.
const INVITE: [&str; 8] =
    ["Subject", "Priority", "Date", "Identity", "Alert-Info", "Accept-Language", "In-Reply-To", "User-to-User"];
/// Headers of requests and responses inside a call.
const MID_CALL: [&str; 12] = [
    "Reason",
    "Refer-To",
    "Referred-By",
    "Refer-Sub",
    "Event",
    "Subscription-State",
    "Info-Package",
    "Recv-Info",
    "Content-Disposition",
    "Retry-After",
    "Warning",
    "User-to-User",
];

/// Headers of the caller's INVITE that go to the subscriber's phones. `Privacy` crosses too (RFC 3323 §5).
pub fn of_invite(headers: &Headers) -> Vec<Header> {
    pick(headers, |name| INVITE.iter().any(|n| n.eq_ignore_ascii_case(name)) || name.eq_ignore_ascii_case("Privacy"))
}

/// Headers of a request or response within the call that go to the other leg.
pub fn of_mid_call(headers: &Headers) -> Vec<Header> {
    pick(headers, |name| MID_CALL.iter().any(|n| n.eq_ignore_ascii_case(name)))
}

/// Headers of a phone's refusal that go to the caller: when to try again, whom else to call, why.
pub fn of_refusal(headers: &Headers) -> Vec<Header> {
    pick(headers, |name| ["Retry-After", "Warning", "Reason"].iter().any(|n| n.eq_ignore_ascii_case(name)))
}

fn pick(headers: &Headers, crosses: impl Fn(&str) -> bool) -> Vec<Header> {
    headers.iter().filter(|h| crosses(h.name())).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_headers_cross() {
        let headers = Headers(vec![
            Header::Subject("hello".to_string().into()),
            Header::UserAgent("secret/1.0".to_string().into()),
            Header::Other("X-Internal".into(), "1".into()),
            Header::RecordRoute("<sip:192.0.2.1;lr>".to_string().into()),
        ]);
        let names: Vec<_> = of_invite(&headers).iter().map(|h| h.name().to_string()).collect();
        assert_eq!(names, ["Subject"]);
        assert!(of_mid_call(&headers).is_empty());
    }
}
