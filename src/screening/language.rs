//! Pure: notices a language that the classifier does not know, from the words alone. What it cannot judge must not pass for
//! harmless: such speech counts as unheard, and a call full of it ends `unscreened`.
//!
//! Judged over the latest words together, because a "buenos días" among English is none of its business and a name or two
//! words tell nothing. When in doubt, it is English: silence of the screening costs more than a strange label.

use whatlang::{Lang, Script, detect};

/// The language of the classifier.
const SUPPORTED: Lang = Lang::Eng;
/// Letters of context that are judged together.
const WINDOW: usize = 300;
/// Letters needed before anything is decided.
const ENOUGH: usize = 45;
/// Share of [`EVERYDAY`] words from which a text is English, whatever its letters resemble: letter statistics take short
/// English for Afrikaans or Dutch, its everyday words no one.
const ENGLISH_SHARE: f32 = 0.12;
/// The words that no English sentence does without and few others have.
const EVERYDAY: [&str; 43] = [
    "the", "and", "you", "your", "to", "of", "it", "it's", "that", "that's", "this", "what", "for", "on", "have", "i",
    "i'm", "my", "we", "with", "are", "do", "don't", "not", "be", "can", "but", "there", "here", "now", "from", "get",
    "go", "yes", "will", "would", "has", "they", "how", "just", "like", "right", "okay",
];

/// The latest words of one side of a call.
#[derive(Debug, Clone, Default)]
pub struct LanguageWatch {
    window: String,
}

impl LanguageWatch {
    /// Takes in an utterance; answers with the language (ISO 639-3) if it is not one that can be judged.
    pub fn hear(&mut self, text: &str) -> Option<&'static str> {
        self.window.push(' ');
        self.window.extend(text.chars().filter(|c| c.is_alphabetic() || c.is_whitespace() || *c == '\''));
        let surplus = self.window.chars().count().saturating_sub(WINDOW);
        self.window = self.window.chars().skip(surplus).collect();
        if self.window.chars().filter(|c| c.is_alphabetic()).count() < ENOUGH {
            return None;
        }
        let found = detect(&self.window)?;
        let sure = found.script() != Script::Latin || found.is_reliable();
        (sure && found.lang() != SUPPORTED && !self.is_everyday_english()).then(|| found.lang().code())
    }

    fn is_everyday_english(&self) -> bool {
        let words: Vec<String> = self.window.split_whitespace().map(str::to_lowercase).collect();
        let everyday = words.iter().filter(|word| EVERYDAY.contains(&word.as_str())).count();
        everyday as f32 >= ENGLISH_SHARE * words.len() as f32
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn after(utterances: &[&str]) -> Option<&'static str> {
        let mut watch = LanguageWatch::default();
        utterances.iter().map(|text| watch.hear(text)).last().flatten()
    }

    #[test]
    fn other_languages_are_named_once_there_is_enough_of_them() {
        assert_eq!(after(&["Hola, buenos días."]), None);
        let spanish =
            ["Hola, buenos días.", "Le llamo del departamento técnico porque su ordenador tiene un virus muy grave."];
        assert_eq!(after(&spanish), Some("spa"));
        assert_eq!(
            after(&["Guten Tag, hier spricht die technische Abteilung, Ihr Rechner ist von einem Virus befallen."]),
            Some("deu")
        );
        assert_eq!(
            after(&["Здравствуйте, это служба безопасности вашего банка, назовите код из сообщения."]),
            Some("rus")
        );
    }

    #[test]
    fn english_stays_english_with_names_numbers_and_broken_sentences() {
        assert_eq!(
            after(&[
                "¡Hola María! How are you doing today, did the señora from number five call you back about Tuesday?"
            ]),
            None
        );
        assert_eq!(
            after(&["e v e n t v w r", "w w w dot any desk dot com", "nine four two two zero one seven five five one"]),
            None
        );
        assert_eq!(after(&["uh huh", "mm", "ok ok ok ok ok", "yeah no yeah no yeah"]), None);
    }

    #[test]
    fn no_dialogue_of_the_corpus_is_taken_for_another_language() {
        let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models/corpus");
        let files = |folder: &str| -> Vec<String> {
            let entries = std::fs::read_dir(corpus.join(folder)).unwrap();
            entries.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect()
        };
        let mut dialogues: Vec<Vec<String>> = Vec::new();
        for line in files("scam").iter().chain(&files("genuine")).flat_map(|file| file.lines()) {
            let dialogue: serde_json::Value = serde_json::from_str(line).unwrap();
            let turns = dialogue["turns"].as_array().unwrap();
            dialogues.push(turns.iter().map(|turn| turn["text"].as_str().unwrap().to_owned()).collect());
        }
        for paragraph in files("talk").iter().flat_map(|file| file.split("\n\n")) {
            dialogues.push(paragraph.lines().map(|line| line.trim_start_matches(['<', '>']).to_owned()).collect());
        }
        for dialogue in &dialogues {
            let mut watch = LanguageWatch::default();
            for text in dialogue {
                assert_eq!(watch.hear(text), None, "{text} in {dialogue:?}");
            }
        }
        assert!(dialogues.len() > 4000);
    }

    #[test]
    fn a_caller_who_turns_to_english_is_judged_again() {
        let mut said = vec!["Bonjour madame, je vous appelle de la part de votre fournisseur d'accès à Internet."];
        assert_eq!(after(&said), Some("fra"));
        said.extend(["Oh, you speak English? Then I will explain it to you in English, there is a problem with your computer and we must fix it today, so please go to it now and switch it on for me, and then open the internet page that I am going to spell for you, letter by letter, are you ready?"; 2]);
        assert_eq!(after(&said), None);
    }
}
