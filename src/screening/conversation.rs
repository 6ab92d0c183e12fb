//! Pure: one call's screening, from its first word to the verdict. Live calls and `analyze` use it alike, so that a
//! transcript shows what a call would have done.
//!
//! Fed with judged utterances, it answers with the event to publish and, where a level is reached for the first time, the
//! warning. It knows no clock: times are the caller's. It must never decide that a call ends; it only says what it heard.

use std::collections::BTreeMap;

use super::language::LanguageWatch;
use super::policy::{Policy, Ratchet};
use super::risk::CallRisk;
use super::{Judgement, Level, Speaker, Stage, Verdict};
use crate::events::CallEvent;

/// Probability from which a stage counts as seen.
const SEEN: f32 = 0.5;

/// A level reached for the first time.
#[derive(Debug, Clone, PartialEq)]
pub struct Raised {
    /// Which level.
    pub level: Level,
    /// Risk at that moment, 0..=1.
    pub risk: f32,
    /// Stages that raised it, strongest first.
    pub stages: Vec<Stage>,
    /// The utterance in which each of them was clearest.
    pub words: BTreeMap<Stage, String>,
    /// The utterance that did, counted from 1 over all speakers.
    pub utterance: usize,
    /// End of that utterance, milliseconds since the call was answered.
    pub utterance_end_ms: u64,
}

impl Raised {
    /// The event of this warning: decided at `at_ms`, its first sound sent to the callee at `heard_at_ms`.
    pub fn event(&self, call_id: &str, at_ms: u64, heard_at_ms: Option<u64>) -> CallEvent {
        CallEvent::Warning {
            call_id: call_id.to_owned(),
            level: self.level,
            at_ms,
            risk: self.risk,
            stages: self.stages.clone(),
            words: self.words.clone(),
            heard_at_ms,
        }
    }
}

/// What an utterance led to.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// The [`CallEvent::Utterance`] to publish.
    pub event: CallEvent,
    /// The warning to give, if this utterance reached a new level.
    pub raised: Option<Raised>,
}

/// What is known of a call when it ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Conclusion {
    /// The conclusion.
    pub verdict: Verdict,
    /// The highest risk of the call, 0..=1.
    pub risk: f32,
    /// The utterance, counted from 1 over all speakers, that raised the alarm.
    pub warned_at_utterance: Option<usize>,
    /// Stages seen in any utterance, in script order.
    pub stages_seen: Vec<Stage>,
    /// The language (ISO 639-3) that kept the call from being judged.
    pub language: Option<String>,
}

/// The screening of one call.
#[derive(Debug, Clone)]
pub struct Conversation {
    call_id: String,
    policy: Policy,
    risk: CallRisk,
    ratchet: Ratchet,
    highest: f32,
    utterances: usize,
    alarm_at: Option<usize>,
    seen: [bool; Stage::ALL.len()],
    /// The clearest utterance of each stage and its probability.
    clearest: [(f32, String); Stage::ALL.len()],
    /// The caller's clearest demand: its likeliest stage and its words.
    deciding: Option<(Stage, String)>,
    judged_ms: u64,
    unheard_ms: u64,
    given_up: bool,
    languages: LanguageWatch,
    /// The last language that could not be judged.
    foreign: Option<&'static str>,
}

impl Conversation {
    /// Begins the screening of a call.
    pub fn new(call_id: impl Into<String>, policy: Policy) -> Self {
        Self {
            call_id: call_id.into(),
            policy,
            risk: CallRisk::default(),
            ratchet: Ratchet::default(),
            highest: 0.0,
            utterances: 0,
            alarm_at: None,
            seen: [false; Stage::ALL.len()],
            clearest: Default::default(),
            deciding: None,
            judged_ms: 0,
            unheard_ms: 0,
            given_up: false,
            languages: LanguageWatch::default(),
            foreign: None,
        }
    }

    /// Takes in one judged utterance. Times are milliseconds since the call was answered.
    pub fn hear(&mut self, speaker: Speaker, start_ms: u64, end_ms: u64, text: &str, scores: Judgement) -> Heard {
        self.utterances += 1;
        // The caller's language decides: it is the caller who demands.
        let language = if speaker == Speaker::Callee { None } else { self.languages.hear(text) };
        let scores = if language.is_some() { Judgement::default() } else { scores };
        if language.is_some() {
            self.foreign = language;
            self.miss(start_ms, end_ms);
        } else {
            self.judged_ms = self.judged_ms.saturating_add(end_ms.saturating_sub(start_ms));
        }
        for stage in Stage::ALL {
            self.seen[stage as usize] |= scores.get(stage) >= SEEN;
            let (best, words) = &mut self.clearest[stage as usize];
            // The callee only repeats what was asked of them.
            if speaker != Speaker::Callee && scores.get(stage) > *best {
                (*best, *words) = (scores.get(stage), text.to_owned());
            }
        }
        if let Some(stage) = self.risk.add(speaker, &scores) {
            self.deciding = Some((stage, text.to_owned()));
        }
        let risk = self.risk();
        self.highest = self.highest.max(risk);
        let raised = self.ratchet.raise(self.policy.level(risk)).map(|level| self.raised(level, risk, end_ms));
        let event = CallEvent::Utterance {
            call_id: self.call_id.clone(),
            speaker,
            start_ms,
            end_ms,
            text: text.to_owned(),
            stages: scores.to_map(),
            risk,
            language: language.map(str::to_owned),
        };
        Heard { event, raised }
    }

    fn raised(&mut self, level: Level, risk: f32, utterance_end_ms: u64) -> Raised {
        if level == Level::Alarm {
            self.alarm_at = Some(self.utterances);
        }
        let stages = self.risk.stages();
        let said =
            stages.iter().map(|&stage| (stage, self.clearest[stage as usize].1.clone())).chain(self.deciding.clone());
        let words = said.filter(|(_, words)| !words.is_empty()).collect();
        Raised { level, risk, stages, words, utterance: self.utterances, utterance_end_ms }
    }

    /// Speech that was there but could not be recognised or judged (overload, an engine's failure, lost packets).
    pub fn miss(&mut self, start_ms: u64, end_ms: u64) {
        self.unheard_ms = self.unheard_ms.saturating_add(end_ms.saturating_sub(start_ms));
    }

    /// The call cannot be listened to at all (codec, language, no worker): without findings it ends unscreened.
    pub fn give_up(&mut self) {
        self.given_up = true;
    }

    /// The risk now, 0..=1, rounded to three decimals as it is published.
    pub fn risk(&self) -> f32 {
        (self.risk.value() * 1000.0).round() / 1000.0
    }

    /// The highest level so far.
    pub fn level(&self) -> Option<Level> {
        self.ratchet.reached()
    }

    /// What is known now; the call may go on.
    pub fn conclusion(&self) -> Conclusion {
        let stages_seen = Stage::ALL.into_iter().filter(|stage| self.seen[*stage as usize]).collect();
        let (verdict, language) = (self.verdict(), self.language());
        Conclusion { verdict, risk: self.highest, warned_at_utterance: self.alarm_at, stages_seen, language }
    }

    /// The event that closes the call; `duration_ms` runs from answer to end.
    pub fn end(&self, duration_ms: u64) -> CallEvent {
        let (call_id, verdict, language) = (self.call_id.clone(), self.verdict(), self.language());
        CallEvent::CallEnded { call_id, verdict, risk: self.highest, duration_ms, language }
    }

    fn language(&self) -> Option<String> {
        self.foreign.filter(|_| self.verdict() == Verdict::Unscreened).map(str::to_owned)
    }

    fn verdict(&self) -> Verdict {
        match self.ratchet.reached() {
            Some(Level::Alarm) => Verdict::Scam,
            Some(Level::Caution) => Verdict::Suspicious,
            Some(Level::Notice) | None if self.unheard_too_much() => Verdict::Unscreened,
            Some(Level::Notice) | None => Verdict::Clean,
        }
    }

    fn unheard_too_much(&self) -> bool {
        let speech = self.judged_ms.saturating_add(self.unheard_ms);
        self.given_up || (self.unheard_ms > 0 && self.unheard_ms as f32 > self.policy.max_unheard * speech as f32)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn conversation() -> Conversation {
        Conversation::new("c1", Policy::default())
    }

    fn scores(stages: &[Stage]) -> Judgement {
        let heard: Vec<(Stage, f32)> = stages.iter().map(|stage| (*stage, 0.99)).collect();
        Judgement::of(&heard)
    }

    fn say(conversation: &mut Conversation, stages: &[Stage]) -> Option<Level> {
        conversation.hear(Speaker::Caller, 0, 1000, "…", scores(stages)).raised.map(|raised| raised.level)
    }

    #[test]
    fn the_script_climbs_from_notice_to_alarm_and_each_level_comes_once() {
        let mut call = conversation();
        let raised: Vec<(Level, usize)> = (0..100)
            .map(|clearness| Judgement::of(&[(Stage::Payment, clearness as f32 / 100.0)]))
            .filter_map(|judgement| call.hear(Speaker::Caller, 0, 9, "…", judgement).raised)
            .map(|raised| (raised.level, raised.utterance))
            .collect();
        assert_eq!(
            raised.iter().map(|(level, _)| *level).collect::<Vec<_>>(),
            [Level::Notice, Level::Caution, Level::Alarm]
        );
        let end = call.conclusion();
        assert_eq!((end.verdict, end.warned_at_utterance), (Verdict::Scam, Some(raised[2].1)));
        assert_eq!(end.stages_seen, [Stage::Payment]);
    }

    #[test]
    fn claims_are_seen_and_a_demand_after_them_alarms() {
        let mut call = conversation();
        assert_eq!(say(&mut call, &[Stage::Impersonation, Stage::ProblemClaim]), None);
        assert_eq!(say(&mut call, &[Stage::ProofTheatre]), Some(Level::Alarm));
        assert_eq!(say(&mut call, &[Stage::Payment]), None);
        let end = call.conclusion();
        assert_eq!((end.verdict, end.warned_at_utterance), (Verdict::Scam, Some(2)));
        assert_eq!(end.stages_seen, [Stage::Impersonation, Stage::ProblemClaim, Stage::ProofTheatre, Stage::Payment]);
    }

    #[test]
    fn a_genuine_notice_stays_clean() {
        let mut call = conversation();
        assert_eq!(say(&mut call, &[Stage::Impersonation]), None);
        say(&mut call, &[Stage::ProblemClaim, Stage::SafeConduct]);
        assert!(call.level() <= Some(Level::Notice));
        assert_eq!(call.conclusion().verdict, Verdict::Clean);
    }

    #[test]
    fn the_verdict_keeps_the_highest_risk_although_safe_conduct_lowers_it() {
        let mut call = conversation();
        let tone = |call| Judgement { call, ..Judgement::default() };
        call.hear(Speaker::Caller, 0, 9, "Your line has been hacked!", tone(0.95));
        let high = call.risk();
        call.hear(Speaker::Caller, 0, 9, "Ring us on the number on your bill.", tone(0.05));
        assert!(call.risk() < high);
        assert!((call.conclusion().risk - high).abs() < 1e-6);
    }

    #[test]
    fn too_much_unheard_is_unscreened_unless_something_was_found() {
        let mut call = conversation();
        say(&mut call, &[]);
        call.miss(1000, 1200);
        assert_eq!(call.conclusion().verdict, Verdict::Clean);
        call.miss(1200, 1300);
        assert_eq!(call.conclusion().verdict, Verdict::Unscreened);
        say(&mut call, &[Stage::RemoteAccess]);
        assert_eq!(call.conclusion().verdict, Verdict::Scam);
    }

    #[test]
    fn a_call_nobody_listened_to_is_unscreened() {
        let mut call = conversation();
        call.give_up();
        let CallEvent::CallEnded { verdict, duration_ms, .. } = call.end(7) else { panic!("not an end") };
        assert_eq!((verdict, duration_ms), (Verdict::Unscreened, 7));
    }

    #[test]
    fn a_language_nobody_here_judges_ends_unscreened_and_says_which() {
        let mut call = conversation();
        let spanish = "Le llamo del departamento técnico porque su ordenador tiene un virus muy grave, señora.";
        let heard = call.hear(Speaker::Caller, 0, 5000, spanish, scores(&[Stage::RemoteAccess]));
        let CallEvent::Utterance { language, .. } = heard.event else { panic!("not an utterance") };
        assert_eq!((language.as_deref(), heard.raised), (Some("spa"), None));
        let end = call.conclusion();
        assert_eq!((end.verdict, end.language.as_deref()), (Verdict::Unscreened, Some("spa")));
    }

    #[test]
    fn silence_is_clean() {
        assert_eq!(conversation().conclusion().verdict, Verdict::Clean);
    }

    #[test]
    fn a_warning_names_its_utterance_and_stages() {
        let mut call = conversation();
        let raised = call.hear(Speaker::Caller, 5, 900, "x", scores(&[Stage::RemoteAccess])).raised.unwrap();
        assert_eq!((raised.utterance, raised.utterance_end_ms), (1, 900));
        let CallEvent::Warning { stages, words, heard_at_ms, at_ms, .. } = raised.event("c1", 950, Some(960)) else {
            panic!("not a warning")
        };
        assert_eq!((stages, heard_at_ms, at_ms), (vec![Stage::RemoteAccess], Some(960), 950));
        assert_eq!(words, [(Stage::RemoteAccess, "x".to_string())].into());
    }

    #[test]
    fn the_words_are_the_callers_clearest_and_not_the_last() {
        let mut call = conversation();
        let faint = Judgement::of(&[(Stage::ProblemClaim, 0.6)]);
        call.hear(Speaker::Caller, 0, 9, "clear", scores(&[Stage::ProblemClaim]));
        call.hear(Speaker::Caller, 0, 9, "faint", faint);
        call.hear(Speaker::Callee, 0, 9, "repeated", scores(&[Stage::RemoteAccess]));
        let raised = call.hear(Speaker::Caller, 0, 9, "demand", scores(&[Stage::RemoteAccess])).raised.unwrap();
        assert_eq!(raised.words[&Stage::ProblemClaim], "clear");
        assert_eq!(raised.words[&Stage::RemoteAccess], "demand");
    }

    #[test]
    fn the_words_of_the_deciding_demand_are_shown_though_no_single_stage_of_it_is_sure() {
        let mut call = conversation();
        let shares =
            [(Stage::RemoteAccess, 0.3), (Stage::Payment, 0.35), (Stage::Credential, 0.3), (Stage::ProblemClaim, 0.99)];
        call.hear(Speaker::Caller, 0, 9, "fainter", Judgement::of(&[(Stage::Credential, 0.36)]));
        let decided = Judgement { call: 0.99, ..Judgement::of(&shares) };
        let raised = call.hear(Speaker::Caller, 0, 9, "decided", decided).raised.unwrap();
        assert_eq!(raised.stages, [Stage::Payment, Stage::ProblemClaim]);
        assert_eq!(raised.words[&Stage::Payment], "decided");
    }
}
