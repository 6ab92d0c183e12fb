//! Callward sits in front of a telephone line as a SIP back-to-back proxy, listens to the call as it
//! happens, recognises the script of a tech-support scam and warns the person who answered, in their ear only.
//!
//! The crate is split into a **pure** part, which decides (events and a clock in, actions out, no sockets), and
//! a **shell**, which moves bytes. `ARCHITECTURE.md` walks one call through both.
//!
//! | pure | shell |
//! |---|---|
//! | [`call`], [`sip`], [`media`], [`screening`], [`reputation`], [`events`] | [`server`], [`store`], [`speech`], [`classifier`], [`weights`], [`demo`], [`cli`] |

pub mod call;
pub mod classifier;
pub mod cli;
pub mod config;
pub mod demo;
pub mod events;
pub mod media;
pub mod reputation;
pub mod screening;
pub mod server;
pub mod sip;
pub mod speech;
pub mod store;
pub mod telemetry;
pub mod weights;
