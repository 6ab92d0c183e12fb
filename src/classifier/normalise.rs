//! Pure: the words the classifier reads.
//!
//! A recogniser writes what it hears in many ways: commands come spelled ("E V E N T, V as in Victoria"), product names
//! split ("any desk"), numbers as words. The rules here make them one. `models/training/normaliser.py` holds the same
//! rules for training, and `models/training/normaliser_vectors.json` binds the two: change a rule in both, add a vector,
//! and train again, for the model has only ever seen normalised text. It must never look at meaning; that is the model's.

/// Names that a recogniser writes as several words, and what they become. Longer ones stand first where they overlap.
const COMPOUNDS: &[(&[&str], &str)] = &[
    (&["go", "to", "my", "pc"], "gotomypc"),
    (&["go", "to", "assist"], "gotoassist"),
    (&["go", "to", "meeting"], "gotomeeting"),
    (&["log", "me", "in"], "logmein"),
    (&["and", "he", "desk"], "anydesk"),
    (&["any", "desk"], "anydesk"),
    (&["any", "desks"], "anydesk"),
    (&["any", "disk"], "anydesk"),
    (&["team", "viewer"], "teamviewer"),
    (&["team", "view"], "teamviewer"),
    (&["ultra", "viewer"], "ultraviewer"),
    (&["alpha", "viewer"], "ultraviewer"),
    (&["rust", "desk"], "rustdesk"),
    (&["screen", "connect"], "screenconnect"),
    (&["connect", "wise"], "connectwise"),
    (&["quick", "support"], "quicksupport"),
    (&["fast", "support"], "fastsupport"),
    (&["support", "me"], "supportme"),
    (&["aero", "admin"], "aeroadmin"),
    (&["splash", "top"], "splashtop"),
    (&["event", "vwr"], "eventvwr"),
    (&["event", "viewer"], "eventviewer"),
    (&["event", "viewers"], "eventviewer"),
    (&["net", "stat"], "netstat"),
    (&["pay", "pal"], "paypal"),
    (&["bit", "coin"], "bitcoin"),
    (&["what's", "app"], "whatsapp"),
    (&["whats", "app"], "whatsapp"),
    (&["ms", "config"], "msconfig"),
    (&["sys", "key"], "syskey"),
    (&["key", "logger"], "keylogger"),
    (&["fire", "wall"], "firewall"),
    (&["mal", "ware"], "malware"),
    (&["pass", "code"], "passcode"),
    (&["pass", "word"], "password"),
    (&["dot", "com"], "dotcom"),
    (&["dot", "net"], "dotnet"),
];

/// Two single letters holding "a" or "i" are more often words ("plan B I think") than an abbreviation; these are not.
const PAIRS_WITH_VOWEL_WORD: &[&str] = &["id", "ip", "it", "ai", "ac"];
/// The longest masked number.
const MAX_MASK: usize = 8;

/// The words the classifier reads: lower case, without punctuation, spelled words and split names joined, long numbers
/// masked.
///
/// ```
/// use callward::classifier::normalise::normalise;
///
/// assert_eq!(normalise("Type E, V, E, N, T, V as in Victoria, W, R."), "type eventvwr");
/// assert_eq!(normalise("Go to any desk dot com"), "go to anydesk dotcom");
/// ```
pub fn normalise(text: &str) -> String {
    let tokens = split_words(text);
    let tokens = join_spelled(&drop_spelling_aids(&tokens));
    let tokens = join_compounds(&join_digits(&tokens));
    tokens.iter().map(|t| mask(t)).collect::<Vec<_>>().join(" ")
}

fn split_words(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.to_lowercase().chars().map(fold).collect();
    let mut out = String::with_capacity(text.len() + 16);
    let mut currency = None;
    for (i, &c) in chars.iter().enumerate() {
        if let Some(name) = currency_name(c) {
            out.push(' ');
            currency = Some(name);
            continue;
        }
        push_char(&mut out, &chars, i);
        if c.is_ascii_digit()
            && !continues_number(&chars, i + 1)
            && let Some(name) = currency.take()
        {
            out.push(' ');
            out.push_str(name);
            out.push(' ');
        }
    }
    out.split_whitespace().map(str::to_owned).collect()
}

fn push_char(out: &mut String, chars: &[char], i: usize) {
    let at = |k: Option<usize>| k.and_then(|k| chars.get(k).copied()).unwrap_or(' ');
    let (before, after, later) = (at(i.checked_sub(1)), at(Some(i + 1)), at(Some(i + 2)));
    match at(Some(i)) {
        c if c.is_alphanumeric() => out.push(c),
        '\'' if before.is_alphanumeric() && after.is_alphanumeric() => out.push('\''),
        '.' if before.is_alphanumeric() && after.is_alphabetic() && later.is_alphabetic() => out.push_str(" dot "),
        '.' | ',' if before.is_ascii_digit() && after.is_ascii_digit() => {}
        '+' => out.push_str(" plus "),
        '@' => out.push_str(" at "),
        '%' => out.push_str(" percent "),
        '&' => out.push_str(" and "),
        '*' => out.push_str(" star "),
        '#' => out.push_str(" hash "),
        _ => out.push(' '),
    }
}

fn fold(c: char) -> char {
    if matches!(c, '’' | '‘' | '`') { '\'' } else { c }
}

fn currency_name(c: char) -> Option<&'static str> {
    match c {
        '$' => Some("dollars"),
        '£' => Some("pounds"),
        '€' => Some("euros"),
        _ => None,
    }
}

fn continues_number(chars: &[char], i: usize) -> bool {
    let digit = |k: usize| chars.get(k).is_some_and(char::is_ascii_digit);
    digit(i) || (matches!(chars.get(i), Some('.' | ',')) && digit(i + 1))
}

/// The letter, if the token is one letter spoken by itself.
fn letter(token: &str) -> Option<char> {
    let mut chars = token.chars();
    chars.next().filter(|c| c.is_ascii_lowercase() && chars.next().is_none())
}

fn is_spelled(token: Option<&String>) -> bool {
    token.is_some_and(|t| letter(t).is_some())
}

/// "v as in victoria", "v for victor" become "v".
fn drop_spelling_aids(tokens: &[String]) -> Vec<String> {
    let mut out = Vec::with_capacity(tokens.len());
    let mut i = 0;
    while let Some(token) = tokens.get(i) {
        let after_letter = is_spelled(out.last());
        out.push(token.clone());
        i += 1 + aid_length(tokens, i, after_letter);
    }
    out
}

/// How many tokens after the letter at `i` only explain it.
fn aid_length(tokens: &[String], i: usize, after_letter: bool) -> usize {
    let Some(spoken) = tokens.get(i).and_then(|t| letter(t)) else { return 0 };
    let word = |k: usize| tokens.get(i + k).map(String::as_str).unwrap_or_default();
    let names = |k: usize| word(k).chars().count() >= 3 && word(k).starts_with(spoken);
    if word(1) == "as" && word(2) == "in" && names(3) {
        return 3;
    }
    let beside = after_letter || is_spelled(tokens.get(i + 3));
    if word(1) == "for" && names(2) && (!matches!(spoken, 'a' | 'i') || beside) {
        return 2;
    }
    0
}

/// "e v e n t" becomes "event".
fn join_spelled(tokens: &[String]) -> Vec<String> {
    let mut out = Vec::with_capacity(tokens.len());
    let mut i = 0;
    while let Some(token) = tokens.get(i) {
        let run: Vec<char> = tokens[i..].iter().map_while(|t| letter(t)).collect();
        let ends_text = i + run.len() == tokens.len();
        let word: String = match run.as_slice() {
            [word @ .., 'a' | 'i'] if word.len() >= 2 && !ends_text => word.iter().collect(),
            all => all.iter().collect(),
        };
        if is_word(&word) {
            i += word.len();
            out.push(word);
        } else {
            i += 1;
            out.push(token.clone());
        }
    }
    out
}

/// Whether spelled letters (all ASCII) are meant as one word.
fn is_word(letters: &str) -> bool {
    match letters.len() {
        0 | 1 => false,
        2 => !letters.contains(['a', 'i']) || PAIRS_WITH_VOWEL_WORD.contains(&letters),
        _ => true,
    }
}

/// "four five three two" becomes "4532"; fewer than three digits stay as they are.
fn join_digits(tokens: &[String]) -> Vec<String> {
    let mut out = Vec::with_capacity(tokens.len());
    let mut i = 0;
    while let Some(token) = tokens.get(i) {
        let number: String = tokens[i..].iter().map_while(|t| digit(t)).collect();
        if number.len() >= 3 {
            i += number.len();
            out.push(number);
        } else {
            i += 1;
            out.push(token.clone());
        }
    }
    out
}

fn digit(token: &str) -> Option<char> {
    Some(match token {
        "zero" | "oh" => '0',
        "one" => '1',
        "two" => '2',
        "three" => '3',
        "four" => '4',
        "five" => '5',
        "six" => '6',
        "seven" => '7',
        "eight" => '8',
        "nine" => '9',
        _ => {
            let mut chars = token.chars();
            return chars.next().filter(|c| c.is_ascii_digit() && chars.next().is_none());
        }
    })
}

fn join_compounds(tokens: &[String]) -> Vec<String> {
    let mut out = Vec::with_capacity(tokens.len());
    let mut i = 0;
    while let Some(token) = tokens.get(i) {
        let compound = COMPOUNDS.iter().find(|(words, _)| starts_with(&tokens[i..], words));
        match compound {
            Some((words, joined)) => {
                i += words.len();
                out.push((*joined).to_owned());
            }
            None => {
                i += 1;
                out.push(token.clone());
            }
        }
    }
    out
}

fn starts_with(tokens: &[String], words: &[&str]) -> bool {
    tokens.len() >= words.len() && tokens.iter().zip(words).all(|(token, word)| token == word)
}

/// Numbers of four digits and more say only that they are long: no number is ever learned by heart.
fn mask(token: &str) -> String {
    if token.len() >= 4 && token.bytes().all(|b| b.is_ascii_digit()) {
        "0".repeat(token.len().min(MAX_MASK))
    } else {
        token.to_owned()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(serde::Deserialize)]
    struct Vector {
        text: String,
        normalised: String,
    }

    #[test]
    fn agrees_with_the_training_side_on_every_vector() {
        let vectors = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/models/training/normaliser_vectors.json"));
        let vectors: Vec<Vector> = serde_json::from_str(vectors).unwrap();
        assert!(vectors.len() >= 20);
        for vector in vectors {
            assert_eq!(normalise(&vector.text), vector.normalised, "for {:?}", vector.text);
        }
    }

    proptest! {
        #[test]
        fn any_text_becomes_plain_words(text in "\\PC{0,80}") {
            let words = normalise(&text);
            prop_assert!(!words.contains("  "));
            prop_assert!(words.chars().all(|c| c.is_alphanumeric() || c == '\'' || c == ' '), "{words:?}");
        }

        #[test]
        fn ordinary_words_stay(words in proptest::collection::vec("[b-hj-z]{5,9}", 0..8)) {
            let text = words.join(" ");
            prop_assert_eq!(normalise(&text), text);
        }
    }
}
