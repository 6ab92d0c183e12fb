//! The guard in front of the SIP parser: raw bytes in, one bounded and well-framed message out, or a typed refusal.
//!
//! The parser behind it is lenient in ways that are dangerous on an open port: it accepts invalid UTF-8 by silently
//! dropping headers, it knows no limit on their number, and it does not look at Content-Length. This module never
//! interprets a message beyond its framing (RFC 3261 §7, §18.3) and never panics, whatever the bytes.
//!
//! ```
//! use callward::sip::wire::{Refusal, datagram};
//!
//! let hidden = b"OPTIONS sip:a@192.0.2.1 SIP/2.0\r\nContent-Length: 0\r\n\r\nBYE sip:b@192.0.2.1 SIP/2.0\r\n\r\n";
//! let message = datagram(hidden)?;
//! assert!(message.starts_with(b"OPTIONS") && message.ends_with(b"\r\n\r\n"), "the second message is cut off");
//!
//! assert!(matches!(datagram(b"GET / HTTP/1.1\r\n\r\n"), Err(Refusal::Garbage(_))));
//! # Ok::<(), Refusal>(())
//! ```

use std::ops::Range;

/// Longest message taken from a stream; the largest UDP datagram is smaller anyway.
pub const MAX_MESSAGE: usize = 65_535;
/// Most header lines; real calls carry about 20 to 40.
pub const MAX_HEADERS: usize = 256;
/// Longest header line, folded continuations included. A STIR/SHAKEN Identity is about 1 kB.
pub const MAX_HEADER_LINE: usize = 8_192;

/// Why bytes were refused. The status is what a request deserves; responses and garbage are dropped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not SIP at all: drop it without an answer.
    #[error("not a SIP message: {0}")]
    Garbage(&'static str),
    /// A SIP message that breaks the grammar or our limits.
    #[error("malformed SIP message: {reason}")]
    Malformed {
        /// The status code a request of this kind is answered with (400, 413, 505, …).
        status: u16,
        /// What is wrong, for the reason phrase and the log.
        reason: &'static str,
    },
}

fn malformed(reason: &'static str) -> Refusal {
    Refusal::Malformed { status: 400, reason }
}

/// Checks one datagram. Returns the message within it: leading CRLFs are skipped (RFC 3261 §7.5), bytes after the
/// Content-Length are discarded (§18.3), so a second message hidden behind the first is never parsed.
pub fn datagram(bytes: &[u8]) -> Result<&[u8], Refusal> {
    let start = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n')).ok_or(Refusal::Garbage("only line ends"))?;
    let message = &bytes[start..];
    let head = head_length(message).ok_or(Refusal::Garbage("no empty line after the headers"))?;
    let length = check_head(&message[..head])?;
    let body = message.len() - head;
    match length {
        Some(length) if length > body => Err(malformed("Content-Length exceeds the datagram")),
        Some(length) => Ok(&message[..head + length]),
        None => Ok(message),
    }
}

/// What a stream's buffer holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// Not yet a whole message; read more.
    Incomplete,
    /// A double CRLF: answer it with one CRLF (RFC 5626 §4.4.1). Holds how many bytes to consume.
    Ping(usize),
    /// Stray line ends; consume that many bytes.
    Blank(usize),
    /// A message at this range; consume everything up to its end.
    Message(Range<usize>),
}

/// Looks for the next message in a stream's buffer. A stream has no other framing than Content-Length, so there a
/// missing or unreadable one ends the connection (RFC 3261 §20.14).
pub fn stream(buffer: &[u8]) -> Result<Frame, Refusal> {
    let Some(start) = buffer.iter().position(|b| !matches!(b, b'\r' | b'\n')) else {
        return Ok(match buffer.len() {
            0 => Frame::Incomplete,
            _ if buffer.starts_with(b"\r\n\r\n") => Frame::Ping(4),
            1 | 3 => Frame::Incomplete,
            n => Frame::Blank(n),
        });
    };
    let message = &buffer[start..];
    let Some(head) = head_length(message) else {
        return match message.len() > MAX_MESSAGE {
            true => Err(Refusal::Malformed { status: 513, reason: "headers too large" }),
            false => Ok(Frame::Incomplete),
        };
    };
    let length = check_head(&message[..head])?.ok_or(malformed("Content-Length missing on a stream"))?;
    if head + length > MAX_MESSAGE {
        return Err(Refusal::Malformed { status: 513, reason: "message too large" });
    }
    match message.len() >= head + length {
        true => Ok(Frame::Message(start..start + head + length)),
        false => Ok(Frame::Incomplete),
    }
}

/// Length of start line and headers with the empty line that ends them.
fn head_length(message: &[u8]) -> Option<usize> {
    message.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4)
}

/// Checks start line and headers; returns the Content-Length if there is one.
fn check_head(head: &[u8]) -> Result<Option<usize>, Refusal> {
    let text = std::str::from_utf8(head).map_err(|_| malformed("headers are not UTF-8"))?;
    let mut lines = text.trim_end_matches("\r\n").split("\r\n");
    check_start_line(lines.next().unwrap_or_default())?;
    let (mut count, mut line_length, mut content_length) = (0, 0, None);
    for line in lines {
        let folded = line.starts_with([' ', '\t']);
        line_length = if folded { line_length + line.len() } else { line.len() };
        if line_length > MAX_HEADER_LINE {
            return Err(malformed("header line too long"));
        }
        if line.bytes().any(|b| b == 0 || b == b'\n' || b == b'\r') {
            return Err(malformed("control character in a header"));
        }
        if folded {
            continue;
        }
        count += 1;
        if count > MAX_HEADERS {
            return Err(malformed("too many headers"));
        }
        let (name, value) = line.split_once(':').ok_or(malformed("header without a colon"))?;
        let name = name.trim_end();
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(malformed("bad header name"));
        }
        if name.eq_ignore_ascii_case("content-length") || name.eq_ignore_ascii_case("l") {
            let value = value.trim();
            let length = match value.bytes().all(|b| b.is_ascii_digit()) && value.len() <= 9 {
                true => value.parse::<usize>().map_err(|_| malformed("bad Content-Length"))?,
                false => return Err(malformed("bad Content-Length")),
            };
            // Two different lengths are how messages are smuggled past one reader into another.
            if content_length.replace(length).is_some_and(|earlier| earlier != length) {
                return Err(malformed("two different Content-Lengths"));
            }
        }
    }
    Ok(content_length)
}

fn check_start_line(line: &str) -> Result<(), Refusal> {
    if line.len() > MAX_HEADER_LINE {
        return Err(Refusal::Malformed { status: 414, reason: "start line too long" });
    }
    if line.starts_with("SIP/2.0 ") {
        return Ok(());
    }
    let mut words = line.split(' ');
    let (method, uri, version, rest) = (words.next(), words.next(), words.next(), words.next());
    match (method, uri, version, rest) {
        (Some(method), Some(uri), Some(version), None) if !method.is_empty() && method.bytes().all(is_token) => {
            match (uri.is_empty(), version) {
                (true, _) => Err(malformed("empty Request-URI")),
                (false, version) if version.eq_ignore_ascii_case("SIP/2.0") => Ok(()),
                (false, version) if version.starts_with("SIP/") => {
                    Err(Refusal::Malformed { status: 505, reason: "SIP version not supported" })
                }
                _ => Err(Refusal::Garbage("not a SIP start line")),
            }
        }
        _ if line.ends_with(" SIP/2.0") => Err(malformed("bad request line")),
        _ => Err(Refusal::Garbage("not a SIP start line")),
    }
}

/// RFC 3261 §25.1, `token`.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte)
}

/// Writes the answer to a malformed request straight from its bytes: the parser cannot be asked, so the headers a
/// response must mirror (RFC 3261 §8.2.6.2) are copied as they stand. `None` for anything but a request, for an
/// ACK (never answered) and when a mandatory header is missing.
pub fn refuse(bytes: &[u8], status: u16, reason: &str) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start_matches(['\r', '\n']);
    let mut lines = text.split("\r\n");
    let start = lines.next()?;
    if start.starts_with("SIP/") || start.starts_with("ACK ") || !start.contains(" SIP/") {
        return None;
    }
    let mirrored = [("via", "v"), ("from", "f"), ("to", "t"), ("call-id", "i"), ("cseq", "cseq")];
    let mut seen = [false; 5];
    let mut response = format!("SIP/2.0 {status} {reason}\r\n");
    for line in lines.take_while(|l| !l.is_empty()).take(MAX_HEADERS) {
        let Some((name, value)) = line.split_once(':') else { continue };
        let name = name.trim().to_ascii_lowercase();
        let Some(at) = mirrored.iter().position(|(long, short)| name == *long || name == *short) else { continue };
        if line.len() > MAX_HEADER_LINE || (seen[at] && at != 0) {
            continue;
        }
        seen[at] = true;
        let tag = if at == 2 && !value.contains(";tag=") { ";tag=refused" } else { "" };
        response.push_str(&format!("{}:{value}{tag}\r\n", mirrored[at].0));
    }
    response.push_str("Content-Length: 0\r\n\r\n");
    seen.iter().all(|s| *s).then(|| response.into_bytes())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OPTIONS: &str = "OPTIONS sip:line@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\n\
        From: <sip:a@192.0.2.9>;tag=1\r\nTo: <sip:line@192.0.2.1>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n";

    fn with(extra: &str, body: &str) -> Vec<u8> {
        format!("{OPTIONS}{extra}\r\n{body}").into_bytes()
    }

    #[test]
    fn leading_line_ends_are_skipped_and_trailing_bytes_dropped() {
        let mut bytes = b"\r\n\r\n".to_vec();
        bytes.extend(with("Content-Length: 2\r\n", "hiINVITE sip:smuggled SIP/2.0\r\n\r\n"));
        let message = datagram(&bytes).unwrap();
        assert!(message.starts_with(b"OPTIONS") && message.ends_with(b"\r\n\r\nhi"));
    }

    #[test]
    fn framing_faults_are_refused_with_their_status() {
        let refused = |extra: &str, body: &str| match datagram(&with(extra, body)) {
            Err(Refusal::Malformed { status, .. }) => status,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused("Content-Length: 5\r\n", "hi"), 400);
        assert_eq!(refused("Content-Length: 2\r\nl: 1\r\n", "hi"), 400);
        assert_eq!(refused("Content-Length: -2\r\n", "hi"), 400);
        assert_eq!(refused("no colon here\r\n", ""), 400);
        assert_eq!(refused(&"X: y\r\n".repeat(MAX_HEADERS), ""), 400);
        assert_eq!(refused(&format!("X: {}\r\n", "y".repeat(MAX_HEADER_LINE)), ""), 400);
        let wrong = String::from_utf8(with("", "")).unwrap().replace(" SIP/2.0\r\nVia", " SIP/3.0\r\nVia");
        assert_eq!(
            datagram(wrong.as_bytes()),
            Err(Refusal::Malformed { status: 505, reason: "SIP version not supported" })
        );
        let mut latin = with("", "");
        latin.splice(8..8, [0xe9]);
        assert!(matches!(datagram(&latin), Err(Refusal::Malformed { status: 400, .. })));
    }

    #[test]
    fn a_stream_is_cut_by_content_length() {
        let one = with("Content-Length: 2\r\n", "hi");
        let two = [one.clone(), one.clone()].concat();
        assert_eq!(stream(&two), Ok(Frame::Message(0..one.len())));
        assert_eq!(stream(&one[..one.len() - 1]), Ok(Frame::Incomplete));
        assert_eq!(stream(b"\r\n\r\n"), Ok(Frame::Ping(4)));
        assert!(matches!(stream(&with("", "")), Err(Refusal::Malformed { status: 400, .. })));
        assert!(matches!(stream(&with("Content-Length: 70000\r\n", "")), Err(Refusal::Malformed { status: 513, .. })));
    }

    #[test]
    fn a_refusal_mirrors_the_request() {
        let answer = String::from_utf8(refuse(&with("broken\r\n", ""), 400, "Bad Request").unwrap()).unwrap();
        assert!(answer.starts_with("SIP/2.0 400 Bad Request\r\nvia: SIP/2.0/UDP 192.0.2.9"), "{answer}");
        assert!(answer.contains("to: <sip:line@192.0.2.1>;tag=refused\r\n"));
        assert!(refuse(b"SIP/2.0 200 OK\r\n\r\n", 400, "x").is_none());
        assert!(refuse(b"OPTIONS sip:a SIP/2.0\r\n\r\n", 400, "x").is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = (datagram(&bytes), stream(&bytes), refuse(&bytes, 400, "x"));
        }

        #[test]
        fn a_mutated_message_never_yields_more_than_it_holds(at in 0usize..300, byte: u8) {
            let mut bytes = with("Content-Length: 2\r\n", "hi");
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(message) = datagram(&bytes) {
                prop_assert!(message.len() <= bytes.len());
            }
        }
    }
}
