//! Shell: where reputation is kept. [`sqlite`] implements [`crate::reputation::ReputationStore`]; [`recorder`] stands between
//! calls and the database, so that no call ever waits for it. Nothing here decides what a record means.

pub mod absent;
pub mod recorder;
pub mod sqlite;

pub use absent::Absent;
pub use recorder::Recorder;
pub use sqlite::Store;
