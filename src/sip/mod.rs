//! Pure: SIP as text and state, without a socket or a clock of its own.
//!
//! Parsing and printing of messages is [`rsip`]'s (the maintained continuation inside rsipstack). What is here is
//! what a back-to-back user agent adds: a guard before the parser ([`wire`]), who is calling ([`identity`]), dialogs
//! of each leg ([`dialog`]), offers and answers rewritten to our own media addresses ([`sdp`]), the registrar's
//! bindings ([`registrar`]) and its digest authentication ([`digest`]), reliable provisional responses
//! ([`reliable`]), session timers ([`session_timer`]) and which headers may cross from one leg to the other
//! ([`crossing`]).

pub use rsipstack::rsip;

pub mod crossing;
pub mod dialog;
pub mod digest;
pub mod identity;
pub mod registrar;
pub mod reliable;
pub mod sdp;
pub mod session_timer;
pub mod wire;
