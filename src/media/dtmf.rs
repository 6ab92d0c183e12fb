//! Reading telephone events (RFC 4733 §2.5): each key once, however many packets tell of it.

/// Key names by event code (RFC 4733 §3.2).
const KEYS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#', 'A', 'B', 'C', 'D'];

/// Reads the events of one stream. All packets of an event carry the timestamp of its beginning, which identifies it;
/// the first packet that arrives counts, so a lost end packet loses no key.
#[derive(Debug, Default, Clone)]
pub struct KeyReader {
    last: Option<u32>,
}

/// A key that was pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPress {
    /// The key.
    pub digit: char,
    /// How long it had been down when told, in RTP clock ticks.
    pub duration: u16,
}

impl KeyReader {
    /// Takes one telephone-event payload with its packet's timestamp.
    pub fn push(&mut self, timestamp: u32, payload: &[u8]) -> Option<KeyPress> {
        let &[event, _volume, high, low, ..] = payload else { return None };
        let digit = *KEYS.get(usize::from(event))?;
        if self.last == Some(timestamp) {
            return None;
        }
        self.last = Some(timestamp);
        Some(KeyPress { digit, duration: u16::from_be_bytes([high, low]) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_counts_once() {
        let mut reader = KeyReader::default();
        let digits: Vec<char> = [(100, 10, 0), (100, 10, 0), (100, 10, 0x80), (100, 10, 0x80), (900, 7, 0x80), (1700, 7, 0)]
            .into_iter()
            .filter_map(|(at, key, end)| reader.push(at, &[key, end | 10, 0, 160]))
            .map(|press| press.digit)
            .collect();
        assert_eq!(digits, ['*', '7', '7']);
        assert_eq!(reader.push(5, &[200, 0, 0, 0]), None);
        assert_eq!(reader.push(5, &[1]), None);
    }
}
