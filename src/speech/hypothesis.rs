//! Pure: whether a recogniser's text can have been said. Recognisers that are given noise, music or a cut sentence
//! invent or repeat; such text must not reach the classifier.

/// Longest run of words looked at for repetition.
const LONGEST_PHRASE: usize = 8;
/// A phrase said so often in a row is a loop.
const LOOP: usize = 4;
/// More words a second than an auctioneer.
const WORDS_A_SECOND: f32 = 6.0;
/// What recognisers are known to make of silence, music and ring-back tones when nothing else was said.
const INVENTED: [&str; 9] = [
    "you",
    "thank you",
    "thanks for watching",
    "thank you for watching",
    "bye",
    "please subscribe",
    "subtitles by the amara org community",
    "the end",
    "so",
];

/// The text with sound marks removed, loops cut to one, or nothing if it cannot have been said in `seconds`.
pub fn plausible(text: &str, seconds: f32) -> String {
    let text = without_marks(text);
    let words: Vec<&str> = text.split_whitespace().collect();
    let words = without_loops(&words);
    let plain = bare(&words.join(" "));
    let too_many = words.len() as f32 > 3.0 + seconds * WORDS_A_SECOND;
    // Someone may really say thank you, but not for five seconds.
    let invented = seconds > 3.0 && INVENTED.contains(&plain.as_str());
    if plain.is_empty() || too_many || invented {
        return String::new();
    }
    words.join(" ")
}

/// Removes `[BLANK_AUDIO]`, `(music)`, `*laughs*`, notes.
fn without_marks(text: &str) -> String {
    let (mut out, mut until) = (String::new(), None);
    for c in text.chars() {
        match (until, c) {
            (Some(end), c) if c == end => until = None,
            (Some(_), _) => {}
            (None, '[') => until = Some(']'),
            (None, '(') => until = Some(')'),
            (None, '*') => until = Some('*'),
            (None, '♪' | '♫') => {}
            (None, c) => out.push(c),
        }
    }
    out
}

fn bare(text: &str) -> String {
    let kept: String = text.chars().filter(|c| c.is_alphanumeric() || c.is_whitespace()).collect();
    kept.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// Cuts a phrase that is repeated [`LOOP`] times or more down to one.
fn without_loops<'t>(words: &[&'t str]) -> Vec<&'t str> {
    let same = |a: &[&str], b: &[&str]| a.iter().zip(b).all(|(x, y)| bare(x) == bare(y));
    let (mut out, mut at) = (Vec::new(), 0);
    'words: while at < words.len() {
        for length in 1..=LONGEST_PHRASE.min((words.len() - at) / LOOP) {
            let phrase = &words[at..at + length];
            let times = words[at..].chunks_exact(length).take_while(|chunk| same(phrase, chunk)).count();
            if times >= LOOP {
                out.extend_from_slice(phrase);
                at += length * times;
                continue 'words;
            }
        }
        out.push(words[at]);
        at += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn speech_stays_as_it_is() {
        let said = "No, no, no, it's event viewer. E V E N T.";
        assert_eq!(plausible(said, 4.0), said);
        assert_eq!(plausible("Thank you.", 0.8), "Thank you.");
    }

    #[test]
    fn loops_marks_and_inventions_go() {
        assert_eq!(plausible(&"and then ".repeat(30), 5.0), "and then");
        assert_eq!(plausible("[BLANK_AUDIO]", 5.0), "");
        assert_eq!(plausible(" (upbeat music) ♪", 5.0), "");
        assert_eq!(plausible("Thank you.", 5.0), "");
        let babble: Vec<String> = (0..90).map(|n| format!("w{n}")).collect();
        assert_eq!(plausible(&babble.join(" "), 2.0), "");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_or_grow(text in ".{0,300}", seconds in 0.0f32..30.0) {
            prop_assert!(plausible(&text, seconds).len() <= text.len());
        }
    }
}
