//! Where numbers are remembered: SQLite in a file, and the recorder that keeps calls from waiting for it.

mod recorder;
mod sqlite;

pub use recorder::Recorder;
pub use sqlite::Store;
