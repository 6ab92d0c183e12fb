//! Pure: which spoken prompt belongs to a level and a language. Only names: the sound is found elsewhere.

use super::Level;

/// Languages that prompts exist in, as BCP 47 primary subtags; the first one is spoken when no other fits.
pub const LANGUAGES: &[&str] = &["en"];

/// The name of a recorded prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Prompt {
    /// What it says, the file's name without its ending.
    pub id: &'static str,
    /// In which language, the folder's name.
    pub language: &'static str,
}

/// The prompt for a level in the wished language (BCP 47, such as `en-GB`), or `None` when the level is not spoken.
pub fn prompt(level: Level, language: &str) -> Option<Prompt> {
    let id = match level {
        Level::Notice => return None,
        Level::Caution => "caution",
        Level::Alarm => "alarm",
    };
    let primary = language.split(['-', '_']).next().unwrap_or_default();
    let spoken = LANGUAGES.iter().find(|known| known.eq_ignore_ascii_case(primary)).or(LANGUAGES.first())?;
    Some(Prompt { id, language: spoken })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_never_spoken() {
        assert_eq!(prompt(Level::Notice, "en"), None);
    }

    #[test]
    fn regions_share_a_language_and_unknown_ones_get_the_first() {
        let alarm = Some(Prompt { id: "alarm", language: "en" });
        assert_eq!(prompt(Level::Alarm, "en-GB"), alarm);
        assert_eq!(prompt(Level::Alarm, "EN_us"), alarm);
        assert_eq!(prompt(Level::Alarm, "tlh"), alarm);
        assert_eq!(prompt(Level::Alarm, ""), alarm);
    }
}
