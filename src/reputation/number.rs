//! Telephone numbers as what they are: E.164 where they are numbers, and not where they are not.

use phonenumber::{Mode, country};

/// Who called, for the purpose of remembering.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Number {
    /// A valid number in E.164, with its plus.
    E164(String),
    /// Digits that are no valid subscriber number: short codes, internal extensions.
    Short(String),
    /// A name instead of a number (`sip:alice@…`, alphanumeric senders).
    Name(String),
    /// The caller withheld it.
    Withheld,
}

/// Longest name or digits kept; E.164 has at most 15 digits.
const LONGEST: usize = 64;

impl Number {
    /// Reads what signalling gives: in any spelling people use, with a home region (ISO 3166) for numbers without a
    /// country code.
    pub fn of_caller(signalled: Option<&str>, region: &str) -> Number {
        let Some(text) = signalled.map(str::trim).filter(|t| !t.is_empty()) else { return Number::Withheld };
        let text: String = text.chars().take(LONGEST).collect();
        let text = match text.strip_prefix("00") {
            Some(rest) if !rest.is_empty() => format!("+{rest}"),
            _ => text,
        };
        let dialled = text.chars().all(|c| c.is_ascii_digit() || "+-.() /".contains(c));
        if !dialled {
            return Number::Name(text.to_ascii_lowercase());
        }
        let home = region.parse::<country::Id>().ok();
        match phonenumber::parse(home, &text) {
            Ok(number) if plausible(&number) => Number::E164(number.format().mode(Mode::E164).to_string()),
            _ => Number::Short(text.chars().filter(char::is_ascii_digit).collect()),
        }
    }

    /// E.164 with its plus, where it is such a number.
    pub fn e164(&self) -> Option<&str> {
        match self {
            Number::E164(number) => Some(number),
            _ => None,
        }
    }

    /// What it is stored under; `None` for a withheld number, of which nothing can be remembered.
    pub fn key(&self) -> Option<String> {
        match self {
            Number::E164(number) => Some(number.clone()),
            Number::Short(digits) => Some(format!("short:{digits}")),
            Number::Name(name) => Some(format!("name:{name}")),
            Number::Withheld => None,
        }
    }
}

/// Of a possible length for its country. Reserved ranges (+1 555 01xx, +44 1632 960xxx) are assigned to nobody and would
/// fail a stricter check, yet they are what documentation and tests use.
fn plausible(number: &phonenumber::PhoneNumber) -> bool {
    let digits = number.national().to_string().len() + number.country().code().to_string().len();
    (8..=15).contains(&digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_meet_in_one_number() {
        for spelling in ["+1 555 010 0199", "15550100199", "(555) 010-0199", "0015550100199"] {
            let number = Number::of_caller(Some(spelling), "US");
            assert!(number.e164().is_some_and(|n| n.starts_with("+1")), "{spelling}: {number:?}");
        }
        let home = Number::of_caller(Some("01632 960123"), "GB");
        assert_eq!(home.e164(), Some("+441632960123"));
    }

    #[test]
    fn what_is_no_number_is_kept_apart() {
        assert_eq!(Number::of_caller(None, "US"), Number::Withheld);
        assert_eq!(Number::of_caller(Some("  "), "US"), Number::Withheld);
        assert_eq!(Number::of_caller(Some("Alice"), "US"), Number::Name("alice".into()));
        assert_eq!(Number::of_caller(Some("112"), "DE"), Number::Short("112".into()));
        let absurd = "9".repeat(500);
        assert!(matches!(Number::of_caller(Some(&absurd), "US"), Number::Short(_)));
        assert!(Number::of_caller(Some("'; DROP TABLE calls;--"), "US").key().is_some());
    }
}
