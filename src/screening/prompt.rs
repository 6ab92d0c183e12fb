//! Pure: which spoken prompt belongs to a level. Only names: the sound is found elsewhere, in the language of the line.

use super::Level;

/// The name of a level's recorded prompt, the file's name without its ending.
pub fn prompt(level: Level) -> &'static str {
    match level {
        Level::Notice => "notice",
        Level::Caution => "caution",
        Level::Alarm => "alarm",
    }
}
