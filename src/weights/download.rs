//! Downloads a file over HTTP, going on where an earlier try was cut (RFC 9110 section 14: range requests).
//!
//! It only brings bytes; whether they are the right ones is for the caller to check.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body};

use super::WeightsError;

const CONNECT_LIMIT: Duration = Duration::from_secs(20);
/// A connection that is silent for so long is given up and resumed.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);

/// An HTTP client for large files.
pub(super) fn agent() -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT_LIMIT))
        .timeout_per_read(Some(SILENCE_LIMIT))
        // Compressed, the ranges would count other bytes.
        .accept_encoding("identity");
    Agent::new_with_config(config.build())
}

/// Brings what is missing of `part` until it has `size` bytes; what came before a failure stays in it.
pub(super) fn go_on(
    agent: &Agent,
    url: &str,
    part: &Path,
    size: u64,
    advanced: &mut dyn FnMut(u64),
) -> Result<(), WeightsError> {
    let have = match length(part) {
        // It is no part of this file.
        longer if longer > size => discard(part)?,
        have if have == size => return Ok(()),
        have => have,
    };
    advanced(have);
    let mut request = agent.get(url);
    if have > 0 {
        request = request.header(header::RANGE, format!("bytes={have}-"));
    }
    let response = request.call().map_err(|error| failure(url, error, false))?;
    let start = accept(url, &response, have, part)?;
    copy(url, response, part, start, size, advanced)
}

/// Bytes there are.
pub(super) fn length(part: &Path) -> u64 {
    fs::metadata(part).map_or(0, |metadata| metadata.len())
}

fn discard(part: &Path) -> Result<u64, WeightsError> {
    fs::remove_file(part).map_err(WeightsError::io("remove", part)).map(|()| 0)
}

fn failure(url: &str, reason: impl ToString, lasting: bool) -> WeightsError {
    WeightsError::Download { url: url.into(), reason: reason.to_string(), lasting }
}

/// Where in the file the response's body begins.
fn accept(url: &str, response: &Response<Body>, have: u64, part: &Path) -> Result<u64, WeightsError> {
    match response.status() {
        StatusCode::OK => Ok(0),
        StatusCode::PARTIAL_CONTENT if first_byte(response) == Some(have) => Ok(have),
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
            discard(part)?;
            Err(failure(url, "the server did not go on where it was asked to", false))
        }
        status => {
            let passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
            Err(failure(
                url,
                format!("the server answered {status}"),
                !status.is_server_error() && !passing.contains(&status),
            ))
        }
    }
}

/// From `Content-Range: bytes 100-199/200`.
fn first_byte(response: &Response<Body>) -> Option<u64> {
    let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

fn copy(
    url: &str,
    response: Response<Body>,
    part: &Path,
    start: u64,
    size: u64,
    advanced: &mut dyn FnMut(u64),
) -> Result<(), WeightsError> {
    let mut file = File::options().create(true).append(true).open(part).map_err(WeightsError::io("write", part))?;
    file.set_len(start).map_err(WeightsError::io("write", part))?;
    // One byte more than there may be tells a longer file.
    let mut body = response.into_body().into_reader().take(size - start + 1);
    let mut buffer = vec![0; 1 << 16];
    let mut there = start;
    loop {
        let read = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) => return Err(failure(url, format!("cut after {there} of {size} bytes ({error})"), false)),
        };
        file.write_all(&buffer[..read]).map_err(WeightsError::io("write", part))?;
        there += read as u64;
        advanced(there.min(size));
    }
    if there > size {
        discard(part)?;
        return Err(failure(url, format!("it is longer than the {size} bytes of the manifest"), true));
    }
    match there == size {
        true => Ok(()),
        false => Err(failure(url, format!("cut after {there} of {size} bytes"), false)),
    }
}
