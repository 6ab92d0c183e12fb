//! Callward sits in front of a telephone line as a SIP back-to-back proxy, listens to the call as it
//! happens, recognises the script of a tech-support scam and warns the person who answered, in their ear only.
//!
//! The crate is split into a **pure** part, which decides (events and a clock in, actions out, no sockets), and
//! a **shell**, which moves bytes. `ARCHITECTURE.md` walks one call through both.
//!
//! | pure | shell |
//! |---|---|
//! | [`call`], [`sip`], [`media`], [`screening`], [`reputation`], [`events`] | [`server`], [`store`], [`speech`], [`classifier`], [`weights`], [`demo`], [`cli`] |

// A test begins its clock somewhere.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod call;
pub mod config;
pub mod events;
pub mod media;
pub mod reputation;
pub mod screening;
pub mod sip;

// The shell may ask for the time and for chance; what is above is given both.
#[allow(clippy::disallowed_methods)]
pub mod classifier;
#[allow(clippy::disallowed_methods)]
pub mod cli;
#[allow(clippy::disallowed_methods)]
pub mod demo;
#[allow(clippy::disallowed_methods)]
pub mod server;
#[allow(clippy::disallowed_methods)]
pub mod speech;
#[allow(clippy::disallowed_methods)]
pub mod store;
#[allow(clippy::disallowed_methods)]
pub mod telemetry;
#[allow(clippy::disallowed_methods)]
pub mod weights;
