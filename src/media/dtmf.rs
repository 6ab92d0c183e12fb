//! Reading telephone events (RFC 4733 §2.5): each key once, however many packets tell of it.

/// Key names by event code (RFC 4733 §3.2).
const KEYS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#', 'A', 'B', 'C', 'D'];
/// A packet of an event that began this little before the newest is a late one of an event already told: 2 s.
const LATE: u32 = 16_000;
/// Longest duration of one segment of an event; a longer event goes on as another segment (RFC 4733 §2.5.1.3).
const SEGMENT: u32 = 0xffff;

/// Reads the events of one stream. All packets of an event carry the timestamp of its beginning, which identifies it;
/// the first packet that arrives counts, so a lost end packet loses no key.
#[derive(Debug, Default, Clone)]
pub struct KeyReader {
    newest: Option<Pressed>,
}

/// The event that began last.
#[derive(Debug, Clone, Copy)]
struct Pressed {
    began: u32,
    event: u8,
    ended: bool,
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
        let &[event, flags, high, low, ..] = payload else { return None };
        let digit = *KEYS.get(usize::from(event))?;
        let ended = flags & 0x80 != 0;
        if let Some(newest) = &mut self.newest {
            if newest.began == timestamp {
                newest.ended |= ended;
                return None;
            }
            if newest.began.wrapping_sub(timestamp) <= LATE {
                return None;
            }
            let goes_on = newest.event == event && !newest.ended && timestamp.wrapping_sub(newest.began) == SEGMENT;
            if goes_on {
                (newest.began, newest.ended) = (timestamp, ended);
                return None;
            }
        }
        self.newest = Some(Pressed { began: timestamp, event, ended });
        Some(KeyPress { digit, duration: u16::from_be_bytes([high, low]) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(packets: &[(u32, u8, u8)]) -> Vec<char> {
        let mut reader = KeyReader::default();
        let told = packets.iter().filter_map(|&(at, key, end)| reader.push(at, &[key, end | 10, 0, 160]));
        told.map(|press| press.digit).collect()
    }

    #[test]
    fn a_key_counts_once() {
        let end = 0x80;
        let packets = [(100, 10, 0), (100, 10, 0), (100, 10, end), (100, 10, end), (900, 7, end), (1700, 7, 0)];
        assert_eq!(read(&packets), ['*', '7', '7']);
        assert_eq!(read(&[(5, 200, 0)]), Vec::<char>::new());
        assert_eq!(KeyReader::default().push(5, &[1]), None);
    }

    #[test]
    fn late_packets_of_an_older_key_and_segments_of_a_long_one_are_not_keys() {
        assert_eq!(read(&[(100, 1, 0), (2_000, 2, 0), (100, 1, 0x80), (2_000, 2, 0x80)]), ['1', '2']);
        assert_eq!(read(&[(0, 1, 0), (65_535, 1, 0), (131_070, 1, 0x80), (140_000, 1, 0)]), ['1', '1']);
        assert_eq!(read(&[(u32::MAX - 10, 3, 0x80), (9_000, 4, 0)]), ['3', '4'], "the clock wraps");
    }
}
