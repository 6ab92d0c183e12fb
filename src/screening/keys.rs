//! Pure: the callee's keys during a call (RFC 4733 digits): `*7` ends the call and reports it, `*9` says it is no
//! scam, `*0` asks for more. The star keeps them apart from the single digits that menus ask for.

use std::time::{Duration, Instant};

/// The digit must follow the star within this time.
const PAIR_WITHIN: Duration = Duration::from_secs(3);

/// What the callee asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// `*7`: end the call and report the caller.
    EndAndReport,
    /// `*9`: this is no scam.
    NotAScam,
    /// `*0`: say more.
    More,
}

/// Reads digits one by one.
#[derive(Debug, Default)]
pub struct Keys {
    star_at: Option<Instant>,
}

impl Keys {
    /// Takes one digit; returns what it completes.
    pub fn press(&mut self, digit: char, at: Instant) -> Option<Key> {
        if digit == '*' {
            self.star_at = Some(at);
            return None;
        }
        let star_at = self.star_at.take()?;
        if at.saturating_duration_since(star_at) > PAIR_WITHIN {
            return None;
        }
        match digit {
            '7' => Some(Key::EndAndReport),
            '9' => Some(Key::NotAScam),
            '0' => Some(Key::More),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_star_and_its_digit_count() {
        let (mut keys, t0) = (Keys::default(), Instant::now());
        assert_eq!(keys.press('7', t0), None);
        assert_eq!(keys.press('*', t0), None);
        assert_eq!(keys.press('7', t0 + Duration::from_secs(1)), Some(Key::EndAndReport));
        assert_eq!(keys.press('9', t0), None, "the star was used up");
        keys.press('*', t0);
        assert_eq!(keys.press('9', t0 + Duration::from_secs(4)), None, "too late");
        keys.press('*', t0);
        assert_eq!(keys.press('1', t0), None);
    }
}
