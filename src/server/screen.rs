//! Shell: the screening side of one call: announces it, taps it, plays the warnings, reads the callee's keys and
//! concludes. Whatever fails here, the call goes on.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tracing::{info, warn};

use super::Context;
use super::call_task::CallSender;
use super::media::{CallKey, MediaCommand, MediaEventKind};
use super::prompts::Spoken;
use crate::config::Line;
use crate::events::CallEvent;
use crate::media::{Codec, LegId, LegMedia, prompt::Prompt};
use crate::reputation::{CallRecord, Number, Report, ReportKind, ReportSource};
use crate::screening::conversation::{Conclusion, Raised};
use crate::screening::keys::{Key, Keys};
use crate::screening::prompt::prompt;
use crate::screening::{Speaker, Verdict};
use crate::sip::identity::Caller;

/// RTP packets a tap may fall behind: two seconds of 20 ms packets. Beyond it speech is lost rather than delayed.
const TAP_PACKETS: usize = 100;
/// Sound of one packet, as telephones send it (RFC 3551 §4.2).
const PACKET_MS: u64 = 20;
/// What the dialplan may wait for the database before the phone rings without it.
const STANDING_BUDGET: Duration = Duration::from_millis(20);

/// What the understanding of speech tells a call.
pub enum Understood {
    /// Something was said.
    Utterance {
        /// The event for the world.
        event: Box<CallEvent>,
        /// The level it raised, if it did.
        raised: Option<Raised>,
    },
    /// All that was said has been understood.
    Concluded(Conclusion),
}

/// A warning that was decided and is not yet heard.
struct Decided {
    raised: Raised,
    at: Instant,
}

/// The screening of one call.
pub struct Screen {
    call_id: String,
    number: Number,
    language: String,
    started: DateTime<Utc>,
    heard_codec: bool,
    callee: Option<LegId>,
    key: Option<CallKey>,
    answered: Option<Instant>,
    duration_ms: u64,
    listening: bool,
    decided: HashMap<u64, Decided>,
    playing: Option<u64>,
    next_prompt: u64,
    keys: Keys,
    /// The callee said that it is no scam: the rest of the call is judged but not warned of.
    trusted: bool,
    outcome: Option<Conclusion>,
    ended: bool,
    sender: CallSender,
}

impl Screen {
    /// Looks the caller up and tells the world that a call has come.
    pub async fn announce(context: &Context, caller: &Caller, to: &str, line: &Line, sender: CallSender) -> Screen {
        let number = Number::of_caller(caller.number.as_deref(), &context.config.region);
        let reputation = context.recorder.standing_within(&number, STANDING_BUDGET).await;
        let screen = Screen {
            call_id: format!("{:016x}", rand::random::<u64>()),
            language: line.language.clone().unwrap_or_else(|| context.config.screening.language.clone()),
            number,
            started: Utc::now(),
            heard_codec: false,
            callee: None,
            key: None,
            answered: None,
            duration_ms: 0,
            listening: false,
            decided: HashMap::new(),
            playing: None,
            next_prompt: 1,
            keys: Keys::default(),
            trusted: false,
            outcome: None,
            ended: false,
            sender,
        };
        context.emit(CallEvent::CallStarted {
            call_id: screen.call_id.clone(),
            at: screen.started,
            from: screen.number.e164().map(str::to_string),
            to: to.to_string(),
            attestation: "none".to_string(),
            reputation,
        });
        screen
    }

    /// What a leg negotiated: only what can be decoded can be heard.
    pub fn negotiated(&mut self, leg: LegId, media: &LegMedia) {
        if leg != LegId::CALLER {
            self.heard_codec = media.payloads.first().is_some_and(|(_, codec)| *codec != Codec::Opaque);
        }
    }

    /// Whether the conversation has begun and not ended.
    pub fn is_talking(&self) -> bool {
        self.answered.is_some() && !self.ended
    }

    /// The phone answered: begin to listen.
    pub fn begin(&mut self, context: &Context, key: CallKey, callee: LegId) {
        let answered = Instant::now();
        (self.answered, self.callee, self.key) = (Some(answered), Some(callee), Some(key));
        if !context.config.screening.enabled || !self.heard_codec {
            return;
        }
        let both = context.config.speech.both_sides;
        let sides = [(Speaker::Caller, LegId::CALLER), (Speaker::Callee, callee)];
        let taps = sides.into_iter().take(if both { 2 } else { 1 }).map(|(speaker, leg)| {
            let (sink, tap) = rtrb::RingBuffer::new(TAP_PACKETS);
            context.media.send(key, MediaCommand::Tap { leg, sink });
            (speaker, tap)
        });
        let taps = taps.collect();
        let (id, sender) = (self.call_id.clone(), self.sender.clone());
        self.listening = context.understanding.begin(key.0, id, answered, taps, sender);
        if !self.listening {
            warn!("call is not screened: speech or classifier are not ready");
        }
    }

    /// Speech was understood: tell the world, and warn the callee if a level was raised.
    pub fn understood(&mut self, context: &Context, understood: Understood) {
        match understood {
            Understood::Utterance { event, raised } => {
                context.emit(*event);
                if let Some(raised) = raised {
                    self.warn(context, raised);
                }
            }
            Understood::Concluded(conclusion) => self.outcome = Some(conclusion),
        }
    }

    fn warn(&mut self, context: &Context, raised: Raised) {
        let prompt = context.prompts.named(&self.language, prompt(raised.level));
        let audible = raised.level >= context.config.screening.warn_level && self.is_talking() && !self.trusted;
        let (Some(prompt), Some(leg), Some(key)) = (prompt.filter(|_| audible), self.callee, self.key) else {
            return self.emit_warning(context, &Decided { raised, at: Instant::now() }, None);
        };
        let decided = Decided { raised, at: Instant::now() };
        let id = self.play(context, key, leg, prompt);
        self.decided.insert(id, decided);
    }

    fn play(&mut self, context: &Context, key: CallKey, leg: LegId, spoken: Spoken) -> u64 {
        let id = self.next_prompt;
        self.next_prompt += 1;
        if self.playing.replace(id).is_some() {
            context.media.send(key, MediaCommand::StopPrompt { leg });
        }
        let duck_db = context.config.screening.duck_db;
        context.media.send(
            key,
            MediaCommand::Play { leg, prompt: Prompt { id, narrow: spoken.narrow, wide: spoken.wide }, duck_db },
        );
        id
    }

    fn emit_warning(&self, context: &Context, decided: &Decided, heard_at: Option<Instant>) {
        let heard_at_ms = heard_at.map(|at| self.call_time(at));
        context.emit(decided.raised.event(&self.call_id, self.call_time(decided.at), heard_at_ms));
    }

    /// Milliseconds since the call was answered.
    fn call_time(&self, at: Instant) -> u64 {
        self.answered.map_or(0, |answered| at.saturating_duration_since(answered).as_millis() as u64)
    }

    /// The media engine reports; returns why the call shall end, if it shall.
    pub fn media_event(
        &mut self,
        context: &Context,
        key: CallKey,
        at: Instant,
        event: MediaEventKind,
    ) -> Option<&'static str> {
        match event {
            MediaEventKind::PromptHeard { id, .. } => {
                if let Some(decided) = self.decided.remove(&id) {
                    info!(after_ms = at.saturating_duration_since(decided.at).as_millis() as u64, "warning is heard");
                    self.emit_warning(context, &decided, Some(at));
                }
                None
            }
            MediaEventKind::PromptEnded { id, .. } | MediaEventKind::PromptRefused { id, .. } => {
                self.playing = self.playing.filter(|playing| *playing != id);
                if let Some(decided) = self.decided.remove(&id) {
                    self.emit_warning(context, &decided, None);
                }
                None
            }
            MediaEventKind::TapLost { leg: LegId::CALLER, packets } if self.listening => {
                let until = self.call_time(at);
                context.understanding.missed(key.0, until.saturating_sub(packets * PACKET_MS), until);
                None
            }
            MediaEventKind::Dtmf { leg, digit, .. } if Some(leg) == self.callee => {
                let key_pressed = self.keys.press(digit, at)?;
                self.key_pressed(context, key, leg, key_pressed)
            }
            _ => None,
        }
    }

    fn key_pressed(&mut self, context: &Context, key: CallKey, leg: LegId, pressed: Key) -> Option<&'static str> {
        info!(?pressed, "the callee pressed a key");
        self.trusted |= pressed == Key::NotAScam;
        let (kind, name, hang_up) = match pressed {
            Key::EndAndReport => (Some(ReportKind::Scam), None, Some("ended and reported by the callee")),
            Key::NotAScam => (Some(ReportKind::Legitimate), Some("not_a_scam"), None),
            Key::More => (None, Some("more"), None),
        };
        if let Some(kind) = kind {
            let (call_id, number) = (self.call_id.clone(), self.number.clone());
            context.recorder.report(Report { call_id, number, kind, source: ReportSource::Callee, at: Utc::now() });
        }
        if let Some(spoken) = name.and_then(|name| context.prompts.named(&self.language, name)) {
            self.play(context, key, leg, spoken);
        }
        hang_up
    }

    /// The conversation is over.
    pub fn end(&mut self, context: &Context, key: CallKey) {
        self.ended = true;
        self.duration_ms = self.answered.map_or(0, |t| t.elapsed().as_millis() as u64);
        if self.listening {
            context.understanding.stop(key.0);
        }
    }

    /// Whether the verdict is known, or none can come.
    pub fn is_concluded(&self) -> bool {
        self.ended && (!self.listening || self.outcome.is_some())
    }

    /// Tells the verdict to the world and the database.
    pub fn conclude(&mut self, context: &Context) {
        for (_, decided) in std::mem::take(&mut self.decided) {
            self.emit_warning(context, &decided, None);
        }
        let (verdict, risk, language) = match self.outcome.take() {
            Some(conclusion) => (conclusion.verdict, conclusion.risk, conclusion.language),
            None => (Verdict::Unscreened, 0.0, None),
        };
        context.emit(CallEvent::CallEnded {
            call_id: self.call_id.clone(),
            verdict,
            risk,
            duration_ms: self.duration_ms,
            language,
        });
        context.recorder.call(CallRecord {
            call_id: self.call_id.clone(),
            number: self.number.clone(),
            attestation: "none".to_string(),
            verdict,
            risk,
            started_at: self.started,
            duration_ms: self.duration_ms,
        });
    }
}
