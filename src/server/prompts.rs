//! Shell: the spoken warnings, in memory and ready to play.
//!
//! English is part of the binary, so that a warning can be spoken whatever happens to the disk. A folder in the
//! configuration adds languages or replaces prompts: `LANGUAGE/NAME.wav`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use tracing::warn;

use crate::media::recording::{Recording, resample, to_i16};

const ENGLISH: &str = "en";
/// The prompts every language should have, as spoken in English.
const BUILT_IN: [(&str, &[u8]); 5] = [
    ("notice", include_bytes!("../../dialplans/prompts/en/notice.wav")),
    ("caution", include_bytes!("../../dialplans/prompts/en/caution.wav")),
    ("alarm", include_bytes!("../../dialplans/prompts/en/alarm.wav")),
    ("not_a_scam", include_bytes!("../../dialplans/prompts/en/not_a_scam.wav")),
    ("more", include_bytes!("../../dialplans/prompts/en/more.wav")),
];

/// A prompt at both audio rates.
#[derive(Clone)]
pub struct Spoken {
    /// 8 kHz.
    pub narrow: Arc<[i16]>,
    /// 16 kHz.
    pub wide: Arc<[i16]>,
}

/// All prompts by language and name.
pub struct Prompts {
    spoken: HashMap<(String, String), Spoken>,
}

impl Prompts {
    /// Loads the built-in prompts and what a folder adds. A bad file is named in the log and skipped.
    pub fn load(folder: Option<&Path>) -> Prompts {
        let mut prompts = Prompts { spoken: HashMap::new() };
        for (name, bytes) in BUILT_IN {
            prompts.add(ENGLISH, name, bytes);
        }
        if let Some(folder) = folder {
            prompts.add_folder(folder);
        }
        prompts
    }

    fn add_folder(&mut self, folder: &Path) {
        let Ok(languages) = std::fs::read_dir(folder) else {
            return warn!(folder = %folder.display(), "prompts cannot be read; check `screening.prompts`");
        };
        for language in languages.filter_map(Result::ok) {
            let Ok(files) = std::fs::read_dir(language.path()) else { continue };
            for path in files.filter_map(|f| f.ok().map(|f| f.path())) {
                let name = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
                if path.extension().is_some_and(|e| e == "wav")
                    && let Ok(bytes) = std::fs::read(&path)
                {
                    self.add(&language.file_name().to_string_lossy(), &name, &bytes);
                }
            }
        }
    }

    fn add(&mut self, language: &str, name: &str, wav: &[u8]) {
        match Recording::read(wav.to_vec()) {
            Ok(recording) => {
                let at = |rate| resample(recording.caller(), recording.rate, rate).into_iter().map(to_i16).collect();
                let spoken = Spoken { narrow: at(8_000), wide: at(16_000) };
                self.spoken.insert((language.to_string(), name.to_string()), spoken);
            }
            Err(error) => warn!(language, name, %error, "prompt skipped"),
        }
    }

    /// A prompt by name, in a language as BCP 47 names it (`en-GB`). Regions share their language's prompts; where the
    /// language lacks one it is English: a warning in the wrong language beats none.
    pub fn named(&self, language: &str, name: &str) -> Option<Spoken> {
        let primary = language.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
        let of = |language: &str| self.spoken.get(&(language.to_string(), name.to_string())).cloned();
        of(&primary).or_else(|| of(ENGLISH))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::screening::Level;
    use crate::screening::prompt::prompt;

    #[test]
    fn every_level_is_spoken_at_both_rates_whatever_the_language() {
        let prompts = Prompts::load(None);
        for level in [Level::Notice, Level::Caution, Level::Alarm] {
            for language in ["en", "EN-gb", "tlh", ""] {
                let spoken = prompts.named(language, prompt(level)).unwrap();
                assert!(spoken.narrow.len() > 3 * 8_000 && spoken.wide.len().abs_diff(2 * spoken.narrow.len()) < 8);
            }
        }
    }

    #[test]
    fn a_folder_adds_a_language_and_a_bad_file_costs_only_itself() {
        let folder = tempfile::tempdir().unwrap();
        let german = folder.path().join("de");
        std::fs::create_dir(&german).unwrap();
        std::fs::write(german.join("alarm.wav"), BUILT_IN[1].1).unwrap();
        std::fs::write(german.join("caution.wav"), b"no sound").unwrap();
        let prompts = Prompts::load(Some(folder.path()));
        let length = |language, name| prompts.named(language, name).unwrap().narrow.len();
        assert_eq!(length("de-AT", "alarm"), length("en", "caution"), "the folder's own");
        assert_eq!(length("de", "caution"), length("en", "caution"), "English stands in");
    }
}
