//! Calls with real SIP clients against the running binary. `make testers` installs the clients.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, missing_docs)]

mod baresip;
mod ear;
mod hostile;
mod media;
mod mid_call;
mod reputation;
mod screening;
mod service;
mod signalling;
mod sipp;
mod sound;
