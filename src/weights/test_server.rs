//! An HTTP server on loopback that misbehaves on demand, for the tests of fetching.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// How one request for the content is answered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Reply {
    /// As asked for, ranges included.
    Whole,
    /// As asked for, but the connection closes after so many bytes of the body.
    CutAfter(usize),
    /// From the beginning, whatever range was asked for.
    NoRanges,
    /// Only a status.
    Status(u16),
    /// The right length, other bytes.
    Other,
    /// One byte too many.
    Longer,
}

#[derive(Default)]
struct Script {
    replies: VecDeque<Reply>,
    /// The range of each request for the content.
    asked: Vec<Option<usize>>,
}

/// The server; it answers with [`Reply::Whole`] when its script is at an end.
pub(super) struct Server {
    address: String,
    script: Arc<Mutex<Script>>,
}

impl Server {
    /// Serves `content` under every path but `/`, where a page links to `file`.
    pub(super) fn start(file: &str, content: Vec<u8>, replies: &[Reply]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let script = Arc::new(Mutex::new(Script { replies: replies.iter().copied().collect(), asked: Vec::new() }));
        let (shared, page) =
            (script.clone(), format!("<!DOCTYPE html><html><body><a href=\"{file}\">{file}</a></body></html>"));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // A client that hangs up early is part of some tests.
                let _ = answer(stream, &shared, &content, &page);
            }
        });
        Server { address, script }
    }

    /// Address of a path that begins with a slash.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    /// The first byte asked for by each request, where it asked for a range.
    pub(super) fn asked(&self) -> Vec<Option<usize>> {
        self.script.lock().unwrap().asked.clone()
    }
}

fn answer(stream: TcpStream, script: &Mutex<Script>, content: &[u8], page: &str) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let mut from = None;
    for line in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {
        if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse().ok();
        }
    }
    if request.contains(" / ") {
        return send(stream, "200 OK", "Content-Type: text/html\r\n", page.as_bytes(), page.len());
    }
    let reply = {
        let mut script = script.lock().unwrap();
        script.asked.push(from);
        script.replies.pop_front().unwrap_or(Reply::Whole)
    };
    let start = if reply == Reply::NoRanges { 0 } else { from.unwrap_or(0).min(content.len()) };
    let body = &content[start..];
    let (status, range) = match start {
        0 => ("200 OK", String::new()),
        _ => {
            ("206 Partial Content", format!("Content-Range: bytes {start}-{}/{}\r\n", content.len() - 1, content.len()))
        }
    };
    match reply {
        Reply::Whole | Reply::NoRanges => send(stream, status, &range, body, body.len()),
        Reply::CutAfter(bytes) => send(stream, status, &range, &body[..bytes.min(body.len())], body.len()),
        Reply::Status(code) => send(stream, &format!("{code} Because"), "", b"", 0),
        Reply::Other => send(stream, status, &range, &vec![b'?'; body.len()], body.len()),
        Reply::Longer => send(stream, status, &range, &[body, b"?"].concat(), body.len() + 1),
    }
}

fn send(mut stream: TcpStream, status: &str, headers: &str, body: &[u8], length: usize) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}Connection: close\r\n\r\n")?;
    stream.write_all(body)
}
