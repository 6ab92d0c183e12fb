//! The running binary against real SIP clients: SIPp for signalling, baresip for calls with sound.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs)]

mod baresip;
mod screening;
mod service;
mod signalling;
mod sipp;
mod sound;
