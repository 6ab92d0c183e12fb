//! What figment says of a wrong value, in the words of whoever has to put it right. The value itself is repeated only where
//! it cannot be a password.

use figment::error::{Actual, Kind};

/// How many letters may be wrong for a word to be suggested.
const TYPO: usize = 3;

/// Says what is wrong and what to write.
pub(super) fn explain(kind: &Kind) -> String {
    match kind {
        Kind::UnknownField(name, known) => match nearest(name, known) {
            Some(near) => format!("is no key of this section; did you mean `{near}`?"),
            None => format!("is no key of this section; it may hold {}", list(known)),
        },
        Kind::UnknownVariant(name, known) => match nearest(name, known) {
            Some(near) => format!("cannot be {name:?}; did you mean \"{near}\"?"),
            None => format!("cannot be {name:?}; write one of {}", list(known)),
        },
        Kind::MissingField(name) => format!("lacks `{name}`; add it"),
        Kind::InvalidType(actual, wanted) | Kind::InvalidValue(actual, wanted) => mismatch(actual, wanted),
        // The standard library's own words for an address give no remedy.
        Kind::Message(message) if message == "invalid IP address syntax" => {
            "is no IP address; write one in quotes, as \"192.0.2.1\" or \"2001:db8::1\"".to_string()
        }
        Kind::Message(message) => format!("is wrong: {message}"),
        kind => format!("is wrong: {kind}"),
    }
}

fn mismatch(actual: &Actual, wanted: &str) -> String {
    let example = match wanted {
        "u8" | "u16" | "u32" | "u64" | "usize" => "write a whole number from 0 up, without quotes",
        "f32" | "f64" => "write a number, without quotes",
        "a boolean" => "write true or false, without quotes",
        "a string" | "path string" => "write text in quotes",
        "a sequence" => "write a list in brackets, as [\"…\"]",
        "a string or a list of strings" => "write text in quotes, or a list of such",
        "IP address" => "write an IP address in quotes, as \"192.0.2.1\"",
        wanted if wanted.starts_with("struct") => "write a section, as [NAME] or [[NAME]] on a line of its own",
        _ => return format!("is {}; {wanted} is wanted", named(actual)),
    };
    format!("is {}; {example}", named(actual))
}

fn named(actual: &Actual) -> &'static str {
    match actual {
        Actual::Bool(_) => "true or false",
        Actual::Signed(value) if *value < 0 => "a negative number",
        Actual::Unsigned(_) | Actual::Signed(_) => "a whole number",
        Actual::Float(_) => "a number with a point",
        Actual::Str(_) | Actual::Char(_) => "text",
        Actual::Seq => "a list",
        Actual::Map => "a section",
        _ => "something else",
    }
}

fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let distance = |key: &str| strsim::osa_distance(&name.to_lowercase(), key);
    let near = known.iter().copied().min_by_key(|key| distance(key))?;
    (distance(near) <= TYPO.min(near.len() / 2)).then_some(near)
}

fn list(known: &[&str]) -> String {
    known.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
}
