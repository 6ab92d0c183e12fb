//! What a caller's number is. A SIP user part can be anything; this says which of it is a telephone number, in E.164
//! (ITU-T E.164, RFC 3966 §5.1.4), and keeps apart what is not: short codes, SIP user names, nonsense and nothing at all.
//!
//! It must never make two callers one: what is not surely a national number of the home region stays what it was.

use phonenumber::country;

/// E.164 allows 15 digits (ITU-T E.164 §6.1); shorter than seven after the `+` there are only service codes.
const INTERNATIONAL_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;
/// Digits of a short code such as 112, 611 or 116123.
const SHORT_DIGITS: std::ops::RangeInclusive<usize> = 2..=6;
/// More of an identity than this is never kept.
const MAX_LENGTH: usize = 64;
/// User parts that say "no number" (RFC 3323 §4.1.1.3 and what gateways make of a withheld number).
const WITHHELD: [&str; 6] = ["anonymous", "restricted", "unavailable", "unknown", "withheld", "private"];

/// Who called, as far as a number can say.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Number(Kind);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind {
    E164(String),
    Short { region: String, digits: String },
    User(String),
    Invalid(String),
    Withheld,
}

impl Number {
    /// Reads a caller's identity: a user part, a tel number without its scheme, or nothing. `region` is the subscriber's
    /// ISO 3166-1 alpha-2 country, in which national numbers are read.
    ///
    /// ```
    /// use callward::reputation::Number;
    ///
    /// let number = Number::of_caller(Some("(202) 555-0143"), "US");
    /// assert_eq!(number.e164(), Some("+12025550143"));
    /// assert_eq!(number, Number::of_caller(Some("+1 202 555 0143"), "GB"));
    /// assert!(Number::of_caller(None, "GB").is_withheld());
    /// ```
    pub fn of_caller(identity: Option<&str>, region: &str) -> Number {
        Number(identity.map_or(Kind::Withheld, |text| kind_of(text, region)))
    }

    /// The number in E.164 with its leading `+`; `None` for everything that is not one.
    pub fn e164(&self) -> Option<&str> {
        match &self.0 {
            Kind::E164(number) => Some(number),
            _ => None,
        }
    }

    /// Whether the caller gave no number.
    pub fn is_withheld(&self) -> bool {
        self.0 == Kind::Withheld
    }

    /// What it is remembered under; `None` for withheld numbers, which are many people's and thus nobody's.
    pub fn key(&self) -> Option<String> {
        match &self.0 {
            Kind::E164(number) => Some(number.clone()),
            Kind::Short { region, digits } => Some(format!("short:{region}:{digits}")),
            Kind::User(user) => Some(format!("sip:{user}")),
            Kind::Invalid(text) => Some(format!("invalid:{text}")),
            Kind::Withheld => None,
        }
    }

    /// What kind of identity this is, in a word for people and programs.
    pub fn kind(&self) -> &'static str {
        match self.0 {
            Kind::E164(_) => "number",
            Kind::Short { .. } => "short_code",
            Kind::User(_) => "sip_user",
            Kind::Invalid(_) => "invalid",
            Kind::Withheld => "withheld",
        }
    }
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Kind::E164(text) | Kind::User(text) | Kind::Invalid(text) | Kind::Short { digits: text, .. } => {
                f.write_str(text)
            }
            Kind::Withheld => f.write_str("withheld"),
        }
    }
}

/// Whether `region` is a country whose national numbers can be read. The first question loads the tables of all countries,
/// which takes long enough (a tenth of a second) to be asked before the first call comes.
pub fn is_region(region: &str) -> bool {
    region.parse::<country::Id>().is_ok() && phonenumber::metadata::DATABASE.by_id(region).is_some()
}

fn kind_of(text: &str, region: &str) -> Kind {
    // Parameters (phone-context, isub, …) and an escaped plus come along from SIP and tel URIs.
    let text = text.split(';').next().unwrap_or_default().trim().replace("%2B", "+").replace("%2b", "+");
    let text: String = text.chars().filter(|c| !c.is_control()).take(MAX_LENGTH).collect();
    if text.is_empty() || WITHHELD.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return Kind::Withheld;
    }
    // RFC 3966's visual separators, and the space that people write.
    let dialled: String = text.chars().filter(|c| !"-.() ".contains(*c)).collect();
    match dialled.strip_prefix('+') {
        Some(digits) if is_digits(digits) => international(digits).unwrap_or(Kind::Invalid(dialled)),
        None if is_digits(&dialled) => national(&dialled, region),
        _ => Kind::User(text),
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Whether a number is assigned changes from month to month; that it has the form of E.164 is enough where the caller says
/// so with a plus.
fn international(digits: &str) -> Option<Kind> {
    let formed = INTERNATIONAL_DIGITS.contains(&digits.len()) && !digits.starts_with('0');
    formed.then(|| Kind::E164(format!("+{digits}")))
}

/// Digits without a plus: a national number of the home region, else an international number as many trunks send it.
fn national(digits: &str, region: &str) -> Kind {
    let home = region.parse::<country::Id>().ok();
    if SHORT_DIGITS.contains(&digits.len()) {
        return Kind::Short { region: region.to_string(), digits: digits.to_string() };
    }
    valid(home, digits)
        .or_else(|| valid(None, &format!("+{digits}")))
        .map_or_else(|| Kind::Invalid(digits.to_string()), Kind::E164)
}

fn valid(home: Option<country::Id>, text: &str) -> Option<String> {
    // The parser is made for telephone numbers; what is longer than any of them never reaches it.
    if text.len() > 20 || (home.is_none() && !text.starts_with('+')) {
        return None;
    }
    let parsed = phonenumber::parse(home, text).ok()?;
    parsed.is_valid().then(|| parsed.format().mode(phonenumber::Mode::E164).to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str, region: &str) -> (&'static str, Option<String>) {
        let number = Number::of_caller(Some(text), region);
        (number.kind(), number.key())
    }

    fn e164(number: &str) -> (&'static str, Option<String>) {
        ("number", Some(number.to_string()))
    }

    #[test]
    fn every_spelling_of_a_number_is_one_number() {
        for text in ["+442071838750", "+44 20 7183 8750", "+44-(20)-7183.8750", "%2B442071838750", "00442071838750"] {
            assert_eq!(of(text, "GB"), e164("+442071838750"), "{text}");
        }
        for text in ["02071838750", "020 7183 8750", "442071838750", "02071838750;phone-context=+44"] {
            assert_eq!(of(text, "GB"), e164("+442071838750"), "{text}");
        }
        assert_eq!(of("2025550143", "US"), e164("+12025550143"));
        assert_eq!(of("12025550143", "US"), e164("+12025550143"));
        assert_eq!(of("011442071838750", "US"), e164("+442071838750"));
    }

    #[test]
    fn a_number_given_with_its_plus_counts_by_its_form() {
        assert_eq!(of("+15550100", "US"), e164("+15550100"));
        assert_eq!(of("+441632960123", "US"), e164("+441632960123"));
        assert_eq!(of("+999123456789", "US"), e164("+999123456789"));
        assert_eq!(of("+0123456789", "US").0, "invalid");
        assert_eq!(of("+1234567890123456", "US").0, "invalid");
        assert_eq!(of("+1", "US").0, "invalid");
    }

    #[test]
    fn what_is_no_number_stays_what_it_is() {
        assert_eq!(of("611", "US"), ("short_code", Some("short:US:611".into())));
        assert_eq!(of("911", "US").0, "short_code");
        assert_eq!(of("alice", "US"), ("sip_user", Some("sip:alice".into())));
        assert_eq!(of("kitchen.phone-2", "US"), ("sip_user", Some("sip:kitchen.phone-2".into())));
        assert_eq!(of("0000000000", "US").0, "invalid");
        assert_eq!(of("12345678901234567890123", "US").0, "invalid");
    }

    #[test]
    fn a_withheld_number_is_nobodys() {
        for text in ["", "  ", "anonymous", "Anonymous", "Restricted", "unavailable"] {
            assert_eq!(of(text, "US"), ("withheld", None), "{text:?}");
        }
        assert_eq!(Number::of_caller(None, "US").key(), None);
    }

    #[test]
    fn an_unknown_region_still_reads_international_numbers() {
        assert_eq!(of("+442071838750", "ZZ"), e164("+442071838750"));
        assert_eq!(of("442071838750", "ZZ"), e164("+442071838750"));
        assert!(!is_region("ZZ") && is_region("DE"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn any_text_is_read_and_keeps_its_meaning(text in "\\PC{0,80}", region in "[A-Z]{2}") {
            let number = Number::of_caller(Some(&text), &region);
            prop_assert!(number.key().is_none_or(|key| key.len() <= 4 * MAX_LENGTH + 16));
            prop_assert_eq!(number.is_withheld(), number.key().is_none());
        }

        #[test]
        fn digits_are_read_and_what_is_e164_stays_so(digits in "\\+?[0-9*# ()-]{0,30}", region in "(US|GB|DE|IT|BR|JP)") {
            let number = Number::of_caller(Some(&digits), &region);
            if let Some(e164) = number.e164() {
                prop_assert!(e164.len() <= 16 && e164.starts_with('+') && is_digits(&e164[1..]));
                prop_assert_eq!(&Number::of_caller(Some(e164), &region), &number);
            }
        }
    }
}
