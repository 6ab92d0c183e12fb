//! Pure: a transcript file's bytes into turns.
//!
//! Two forms: JSON lines `{"speaker":"caller"|"callee"|"unknown","text":…,"start_ms":…}` (start optional) and plain lines
//! `Caller: …`, `Callee: …`, `Speaker 1: …`. The first line that is not blank decides which. Never guesses: a line of
//! neither form is an error with its number and a remedy.
//!
//! ```
//! use callward::screening::{Speaker, transcript};
//!
//! let turns = transcript::parse(b"Callee: Hello?\nCaller: Your computer has a virus.\n")?;
//! assert_eq!((turns[1].speaker, turns[1].start_ms), (Speaker::Caller, None));
//!
//! let wrong = transcript::parse(b"Callee: Hello?\nnobody said this\n").unwrap_err();
//! assert!(wrong.to_string().starts_with("line 2: no speaker"));
//! # Ok::<(), transcript::TranscriptError>(())
//! ```

use serde::Deserialize;

use super::Speaker;

/// The largest file, in bytes: a week of talk.
pub const MAX_BYTES: usize = 8 * 1024 * 1024;
/// The most turns.
pub const MAX_TURNS: usize = 20_000;
/// The longest turn, in bytes.
pub const MAX_TURN_BYTES: usize = 32 * 1024;

/// One turn of a transcript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TranscriptTurn {
    /// Who said it.
    pub speaker: Speaker,
    /// What was said; may be empty.
    pub text: String,
    /// When it began, milliseconds since the call was answered, if the transcript says so.
    pub start_ms: Option<u64>,
}

/// Why a transcript was refused. `line` counts from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TranscriptError {
    /// Nothing in it.
    #[error("the transcript holds no turn; write lines such as `Caller: Hello.`")]
    Empty,
    /// More than [`MAX_BYTES`].
    #[error("the transcript has {0} bytes; split it into files of at most {MAX_BYTES}")]
    TooLarge(usize),
    /// More than [`MAX_TURNS`].
    #[error("line {line}: more than {MAX_TURNS} turns; split the transcript, one call a file")]
    TooManyTurns {
        /// The first line too many.
        line: usize,
    },
    /// More than [`MAX_TURN_BYTES`].
    #[error("line {line}: longer than {MAX_TURN_BYTES} bytes; write one turn a line")]
    TurnTooLong {
        /// Where.
        line: usize,
    },
    /// Not UTF-8.
    #[error("line {line}: not UTF-8; save the transcript as UTF-8 text")]
    Encoding {
        /// Where.
        line: usize,
    },
    /// A JSON line of the wrong shape.
    #[error(
        "line {line}: {reason}; write {{\"speaker\":\"caller\",\"text\":\"…\"}} with speaker caller, callee or unknown"
    )]
    Json {
        /// Where.
        line: usize,
        /// What the parser said.
        reason: String,
    },
    /// A plain line that names no speaker.
    #[error("line {line}: no speaker; begin it with `Caller:`, `Callee:`, `Unknown:` or `Speaker 1:`")]
    NoSpeaker {
        /// Where.
        line: usize,
    },
}

#[derive(Deserialize)]
struct JsonTurn {
    speaker: Speaker,
    text: String,
    #[serde(default)]
    start_ms: Option<u64>,
}

/// Reads a transcript. Blank lines are skipped; a byte-order mark and CRLF line ends are accepted.
pub fn parse(bytes: &[u8]) -> Result<Vec<TranscriptTurn>, TranscriptError> {
    if bytes.len() > MAX_BYTES {
        return Err(TranscriptError::TooLarge(bytes.len()));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        TranscriptError::Encoding { line: 1 + before.iter().filter(|b| **b == b'\n').count() }
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let is_json = text.trim_start().starts_with('{');
    let mut turns = Vec::new();
    for (line, content) in (1..).zip(text.lines()).filter(|(_, content)| !content.trim().is_empty()) {
        if turns.len() == MAX_TURNS {
            return Err(TranscriptError::TooManyTurns { line });
        }
        if content.len() > MAX_TURN_BYTES {
            return Err(TranscriptError::TurnTooLong { line });
        }
        turns.push(if is_json { json_turn(content, line)? } else { plain_turn(content, line)? });
    }
    if turns.is_empty() { Err(TranscriptError::Empty) } else { Ok(turns) }
}

fn json_turn(content: &str, line: usize) -> Result<TranscriptTurn, TranscriptError> {
    let turn: JsonTurn = serde_json::from_str(content).map_err(|error| TranscriptError::Json {
        line,
        // The parser counts lines within this one; its column is what helps.
        reason: error.to_string().replace(" at line 1 column", " at column"),
    })?;
    Ok(TranscriptTurn { speaker: turn.speaker, text: turn.text.trim().to_owned(), start_ms: turn.start_ms })
}

fn plain_turn(content: &str, line: usize) -> Result<TranscriptTurn, TranscriptError> {
    let named = content.split_once(':').and_then(|(label, text)| Some((speaker(label)?, text)));
    let (speaker, text) = named.ok_or(TranscriptError::NoSpeaker { line })?;
    Ok(TranscriptTurn { speaker, text: text.trim().to_owned(), start_ms: None })
}

fn speaker(label: &str) -> Option<Speaker> {
    let label = label.trim().to_ascii_lowercase();
    match label.as_str() {
        "caller" => Some(Speaker::Caller),
        "callee" => Some(Speaker::Callee),
        "unknown" | "speaker" => Some(Speaker::Unknown),
        _ => {
            let number = label.strip_prefix("speaker")?.trim_start_matches([' ', '_', '-']);
            let numbered = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
            numbered.then_some(Speaker::Unknown)
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn turn(speaker: Speaker, text: &str, start_ms: Option<u64>) -> TranscriptTurn {
        TranscriptTurn { speaker, text: text.to_owned(), start_ms }
    }

    #[test]
    fn plain_lines_name_their_speaker() {
        let turns =
            parse(b"\xef\xbb\xbfCaller: Hello: you?\r\n\r\ncallee:Yes\r\nSpeaker 12: Hm\r\nSPEAKER_00: \n").unwrap();
        assert_eq!(
            turns,
            [
                turn(Speaker::Caller, "Hello: you?", None),
                turn(Speaker::Callee, "Yes", None),
                turn(Speaker::Unknown, "Hm", None),
                turn(Speaker::Unknown, "", None),
            ]
        );
    }

    #[test]
    fn json_lines_may_give_times_and_more() {
        let text = "\n{\"speaker\":\"caller\",\"text\":\" Hi \",\"start_ms\":40,\"x\":1}\n{\"speaker\":\"unknown\",\"text\":\"é\"}";
        let expected = [turn(Speaker::Caller, "Hi", Some(40)), turn(Speaker::Unknown, "é", None)];
        assert_eq!(parse(text.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn faults_name_their_line_and_a_remedy() {
        assert_eq!(parse(b""), Err(TranscriptError::Empty));
        assert_eq!(parse(b" \n\n"), Err(TranscriptError::Empty));
        assert_eq!(parse(b"Caller: a\nhello"), Err(TranscriptError::NoSpeaker { line: 2 }));
        assert_eq!(parse(b"Caller: a\n\nBob: hello"), Err(TranscriptError::NoSpeaker { line: 3 }));
        assert_eq!(parse(b"Caller: a\nCallee: \xff"), Err(TranscriptError::Encoding { line: 2 }));
        let json = parse(b"{\"speaker\":\"caller\",\"text\":\"a\"}\n{\"speaker\":\"dog\",\"text\":\"a\"}").unwrap_err();
        let said = json.to_string();
        assert!(said.starts_with("line 2: ") && said.contains("caller, callee or unknown"), "{said}");
        assert!(matches!(parse(b"{\"speaker\":\"caller\"}"), Err(TranscriptError::Json { line: 1, .. })));
        assert!(matches!(
            parse(b"{\"speaker\":\"caller\",\"text\":\"a\",\"start_ms\":-1}"),
            Err(TranscriptError::Json { line: 1, .. })
        ));
    }

    #[test]
    fn limits_hold() {
        let long = format!("Caller: {}", "a".repeat(MAX_TURN_BYTES));
        assert_eq!(parse(long.as_bytes()), Err(TranscriptError::TurnTooLong { line: 1 }));
        let many = "Caller: a\n".repeat(MAX_TURNS + 1);
        assert_eq!(parse(many.as_bytes()), Err(TranscriptError::TooManyTurns { line: MAX_TURNS + 1 }));
        assert_eq!(parse(&vec![b'a'; MAX_BYTES + 1]), Err(TranscriptError::TooLarge(MAX_BYTES + 1)));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn what_is_written_is_read(texts in prop::collection::vec("[a-z][a-z :{}\"]{0,30}[a-z]", 1..20)) {
            let file: String = texts.iter().map(|text| format!("Callee: {text}\n")).collect();
            let read: Vec<String> = parse(file.as_bytes()).unwrap().into_iter().map(|turn| turn.text).collect();
            prop_assert_eq!(read, texts);
        }
    }
}
