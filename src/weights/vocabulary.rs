//! Whisper's vocabulary, from the printable spelling of byte-pair encoders to the bytes that a token stands for. Pure.
//!
//! Those encoders write every byte as one visible character: printable Latin-1 as itself, the other 68 bytes, in order,
//! as U+0100 and on (a space is "Ġ"). Only ordinary tokens are kept: whisper.cpp numbers the special ones itself.

use super::ctranslate2::ModelError;

/// The first special token; ordinary ones stand before it.
const END_OF_TEXT: &str = "<|endoftext|>";

/// The ordinary tokens of a list with one spelt token a line, `expected` lines in all.
pub fn tokens(list: &str, expected: usize) -> Result<Vec<Vec<u8>>, ModelError> {
    // Not `lines()`: a token is never broken by it, but one that ends in a carriage return would lose it.
    let spelt: Vec<&str> = list.strip_suffix('\n').unwrap_or(list).split('\n').collect();
    if spelt.len() != expected {
        return Err(ModelError::Vocabulary(format!("it lists {} tokens, the model has {expected}", spelt.len())));
    }
    let ordinary = spelt.iter().position(|token| *token == END_OF_TEXT);
    let ordinary = ordinary.ok_or_else(|| ModelError::Vocabulary(format!("it has no {END_OF_TEXT}")))?;
    spelt[..ordinary].iter().enumerate().map(|(number, token)| bytes(number, token)).collect()
}

fn bytes(number: usize, token: &str) -> Result<Vec<u8>, ModelError> {
    let spelt = |c| ModelError::Vocabulary(format!("token {number} {token:?} holds {c:?}, which spells no byte"));
    token.chars().map(|c| byte(c).ok_or_else(|| spelt(c))).collect()
}

fn byte(spelling: char) -> Option<u8> {
    let code = u32::from(spelling);
    match u8::try_from(code) {
        Ok(byte) => is_visible(byte).then_some(byte),
        Err(_) => (0..=u8::MAX).filter(|byte| !is_visible(*byte)).nth(usize::try_from(code - 0x100).ok()?),
    }
}

/// Bytes that spell themselves: ASCII without space, Latin-1 without no-break space and soft hyphen.
fn is_visible(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn spellings_become_bytes() {
        let tokens = tokens("!\nĠthe\nĊ\nÃ©\n\n<|endoftext|>\n<|en|>\n", 7).unwrap();
        assert_eq!(tokens, [b"!".to_vec(), b" the".to_vec(), b"\n".to_vec(), "é".as_bytes().to_vec(), vec![]]);
    }

    #[test]
    fn every_byte_has_one_spelling() {
        let mut all: Vec<u8> = (0u32..0x200).filter_map(|c| byte(char::from_u32(c).unwrap())).collect();
        all.sort_unstable();
        assert_eq!(all, (0..=u8::MAX).collect::<Vec<_>>());
    }

    #[test]
    fn a_wrong_list_is_refused() {
        assert!(tokens("a\nb\n", 3).unwrap_err().to_string().contains("lists 2 tokens, the model has 3"));
        assert!(tokens("a\nb\n", 2).unwrap_err().to_string().contains("no <|endoftext|>"));
        assert!(tokens("日\n<|endoftext|>\n", 2).unwrap_err().to_string().contains("spells no byte"));
        assert!(tokens("a b\n<|endoftext|>\n", 2).is_err());
        assert!(tokens("", 1).is_err());
    }
}
