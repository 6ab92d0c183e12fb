//! A whole transcript through the screening of a live call: what `callward analyze` does with text.
//!
//! Decides nothing itself: turns go through a [`Classifier`] into a [`Conversation`], and its events come out.

use super::input::Context;
use super::{Classifier, ClassifierError, Turn};
use crate::events::CallEvent;
use crate::screening::conversation::{Conclusion, Conversation};
use crate::screening::policy::Policy;
use crate::screening::transcript::TranscriptTurn;

/// Time between turns where a transcript gives none, in milliseconds.
const PAUSE_MS: u64 = 300;
/// Time a word takes where a transcript gives none, in milliseconds: 150 words a minute.
const WORD_MS: u64 = 400;

/// What an analysed call led to.
#[derive(Debug, Clone, PartialEq)]
pub struct Analysis {
    /// Every utterance with its warning behind it, then the end of the call; no start and no summary.
    pub events: Vec<CallEvent>,
    /// The conclusion.
    pub conclusion: Conclusion,
}

impl Analysis {
    /// The last event of one input file.
    pub fn summary(&self, file: &str) -> CallEvent {
        CallEvent::Summary {
            file: file.to_owned(),
            verdict: self.conclusion.verdict,
            risk: self.conclusion.risk,
            warned_at_utterance: self.conclusion.warned_at_utterance,
            stages_seen: self.conclusion.stages_seen.clone(),
            language: self.conclusion.language.clone(),
        }
    }
}

/// Screens a transcript. Where it gives no times, they are estimated from the number of words.
pub fn analyse_transcript(
    call_id: &str,
    turns: &[TranscriptTurn],
    classifier: &mut dyn Classifier,
    policy: Policy,
) -> Result<Analysis, ClassifierError> {
    let mut conversation = Conversation::new(call_id, policy);
    let mut context = Context::default();
    let mut events = Vec::with_capacity(turns.len() + 4);
    let mut now = 0;
    for (turn, (start, end)) in turns.iter().zip(times(turns)) {
        let utterance = Turn { speaker: turn.speaker, text: turn.text.clone() };
        let scores = classifier.classify(context.turns(), &utterance)?;
        context.push(utterance);
        let heard = conversation.hear(turn.speaker, start, end, &turn.text, scores);
        events.push(heard.event);
        events.extend(heard.raised.map(|raised| raised.event(call_id, end, None)));
        now = now.max(end);
    }
    events.push(conversation.end(now));
    Ok(Analysis { events, conclusion: conversation.conclusion() })
}

/// Start and end of each turn.
fn times(turns: &[TranscriptTurn]) -> Vec<(u64, u64)> {
    let mut now: u64 = 0;
    let mut times = Vec::with_capacity(turns.len());
    for (i, turn) in turns.iter().enumerate() {
        let start = turn.start_ms.unwrap_or(now);
        let words = turn.text.split_whitespace().count() as u64;
        let spoken = start.saturating_add(words * WORD_MS);
        let next = turns.get(i + 1).and_then(|next| next.start_ms).filter(|next| *next > start);
        let end = next.map_or(spoken, |next| spoken.min(next));
        times.push((start, end));
        now = end.saturating_add(PAUSE_MS);
    }
    times
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::screening::{Judgement, Level, Speaker, Stage, Verdict};

    /// Labels by one word, to test everything but the model.
    struct Keyed;

    impl Classifier for Keyed {
        fn classify(&mut self, context: &[Turn], utterance: &Turn) -> Result<Judgement, ClassifierError> {
            if utterance.text.contains("fail") {
                return Err(ClassifierError::Inference("asked to".into()));
            }
            let install = utterance.text.contains("install") && !context.is_empty();
            Ok(if install { Judgement::of(&[(Stage::RemoteAccess, 0.99)]) } else { Judgement::default() })
        }
    }

    fn turn(text: &str, start_ms: Option<u64>) -> TranscriptTurn {
        TranscriptTurn { speaker: Speaker::Caller, text: text.to_owned(), start_ms }
    }

    #[test]
    fn utterances_warning_and_end_come_in_order() {
        let turns = [turn("hello there", None), turn("install it", None), turn("bye", None)];
        let analysis = analyse_transcript("c", &turns, &mut Keyed, Policy::default()).unwrap();
        let names: Vec<String> = analysis
            .events
            .iter()
            .map(|event| serde_json::to_value(event).unwrap()["event"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["utterance", "utterance", "warning", "utterance", "call_ended"]);
        assert!(matches!(analysis.events[2], CallEvent::Warning { level: Level::Alarm, at_ms: 1900, .. }));
        let CallEvent::Summary { verdict, warned_at_utterance, .. } = analysis.summary("f") else { return };
        assert_eq!((verdict, warned_at_utterance), (Verdict::Scam, Some(2)));
    }

    #[test]
    fn given_times_win_over_estimates() {
        let turns = [turn("a b c", Some(1000)), turn("d", Some(1500)), turn("e", None)];
        assert_eq!(times(&turns), [(1000, 1500), (1500, 1900), (2200, 2600)]);
    }

    #[test]
    fn a_failing_model_is_an_error_not_a_clean_call() {
        assert!(analyse_transcript("c", &[turn("fail", None)], &mut Keyed, Policy::default()).is_err());
    }
}
