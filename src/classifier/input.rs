//! Pure: an utterance and its context as the model's two text segments, and the window of turns kept for context.
//!
//! `models/training/samples.py` composes the same way; its numbers stand in `classifier.toml` and come in as [`Shape`].

use std::collections::VecDeque;

use serde::Deserialize;

use super::Turn;
use super::normalise::normalise;
use crate::screening::Speaker;

/// Latest turns that a [`Context`] keeps; no model looks further back.
pub const MAX_CONTEXT_TURNS: usize = 8;
/// First turns of a call that a [`Context`] keeps for good.
pub const MAX_OPENING_TURNS: usize = 2;

/// How much text the model was trained to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Shape {
    /// Turns before the utterance.
    pub context_turns: usize,
    /// Words of each of those turns, counted from its end.
    pub context_words: usize,
    /// Turns of the call's beginning, where they lie further back: who asked for what is said there.
    pub opening_turns: usize,
    /// Words of each of those, counted from its start.
    pub opening_words: usize,
    /// Words of the utterance; a longer one is judged in overlapping windows.
    pub target_words: usize,
    /// Words of the utterance and what comes with it; the context gives way.
    pub total_words: usize,
}

/// The model's two segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segments {
    /// The utterance, or one window of it.
    pub target: String,
    /// What was said before, latest turn first, so that truncation drops the oldest; then the call's beginning. May be
    /// empty.
    pub context: String,
}

/// The segments to judge: one, or several windows when the utterance is long; none when it holds no word.
pub fn compose(context: &[Turn], utterance: &Turn, shape: Shape) -> Vec<Segments> {
    let (far, near) = context.split_at(context.len().saturating_sub(shape.context_turns));
    let recent = near
        .iter()
        .rev()
        .map(|turn| format!("{} : {}", name(turn.speaker), last_words(&normalise(&turn.text), shape.context_words)));
    let opening = far.iter().take(shape.opening_turns).map(|turn| {
        format!("first {} : {}", name(turn.speaker), first_words(&normalise(&turn.text), shape.opening_words))
    });
    let before = recent.chain(opening).collect::<Vec<_>>().join(" ");
    let words = normalise(&utterance.text);
    windows(&words, shape.target_words)
        .map(|window| {
            let room = shape.total_words.saturating_sub(window.split_whitespace().count());
            Segments { target: format!("{} : {window}", name(utterance.speaker)), context: first_words(&before, room) }
        })
        .collect()
}

fn name(speaker: Speaker) -> &'static str {
    match speaker {
        Speaker::Caller => "caller",
        Speaker::Callee => "callee",
        Speaker::Unknown => "unknown",
    }
}

fn last_words(text: &str, count: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words[words.len().saturating_sub(count)..].join(" ")
}

fn first_words(text: &str, count: usize) -> String {
    text.split_whitespace().take(count).collect::<Vec<_>>().join(" ")
}

/// Windows of `size` words, each sharing a quarter with the one before, so that no sentence is cut in both.
fn windows(text: &str, size: usize) -> impl Iterator<Item = String> {
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    let size = size.max(4);
    let step = size - size / 4;
    let count = if words.is_empty() { 0 } else { 1 + words.len().saturating_sub(size).div_ceil(step) };
    (0..count).map(move |i| words[i * step..words.len().min(i * step + size)].join(" "))
}

/// The first and the last turns of a call, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Context {
    turns: VecDeque<Turn>,
}

impl Context {
    /// Remembers a turn and forgets the oldest behind the call's beginning when there are too many.
    pub fn push(&mut self, turn: Turn) {
        if self.turns.len() == MAX_OPENING_TURNS + MAX_CONTEXT_TURNS {
            self.turns.remove(MAX_OPENING_TURNS);
        }
        self.turns.push_back(turn);
    }

    /// The turns, oldest first.
    pub fn turns(&mut self) -> &[Turn] {
        self.turns.make_contiguous()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape {
        context_turns: 2,
        context_words: 3,
        opening_turns: 1,
        opening_words: 2,
        target_words: 8,
        total_words: 16,
    };

    fn turn(speaker: Speaker, text: &str) -> Turn {
        Turn { speaker, text: text.to_owned() }
    }

    #[test]
    fn context_runs_back_from_the_latest_turn_and_ends_with_the_call_s_beginning() {
        let context = [
            turn(Speaker::Caller, "Hello, it's me."),
            turn(Speaker::Caller, "Too old."),
            turn(Speaker::Caller, "This is a very long one."),
            turn(Speaker::Callee, "Yes?"),
        ];
        let segments = compose(&context, &turn(Speaker::Caller, "Open Any Desk!"), SHAPE);
        assert_eq!(
            segments,
            [Segments {
                target: "caller : open anydesk".into(),
                context: "callee : yes caller : very long one first caller : hello it's".into()
            }]
        );
    }

    #[test]
    fn a_long_utterance_is_judged_in_overlapping_windows_that_cover_it() {
        let words: Vec<String> = (0..21).map(|i| format!("w{i:02}")).collect();
        let segments = compose(&[], &turn(Speaker::Unknown, &words.join(" ")), SHAPE);
        assert_eq!(segments.len(), 4);
        for word in &words {
            assert!(segments.iter().any(|s| s.target.contains(word.as_str())), "{word} is in no window");
        }
        assert!(segments.iter().all(|s| s.target.split_whitespace().count() <= 2 + SHAPE.target_words));
    }

    #[test]
    fn before_a_long_utterance_the_oldest_context_gives_way() {
        let context = [turn(Speaker::Caller, "alpha beta gamma"), turn(Speaker::Callee, "delta epsilon zeta")];
        let shape = Shape { total_words: 13, ..SHAPE };
        let segments = compose(&context, &turn(Speaker::Caller, "a1 b1 c1 d1 e1 f1 g1 h1"), shape);
        assert_eq!(segments.len(), 1);
        assert_eq!(segments[0].context, "callee : delta epsilon zeta");
    }

    #[test]
    fn an_utterance_of_exactly_one_window_is_one() {
        assert_eq!(compose(&[], &turn(Speaker::Caller, "a1 b1 c1 d1 e1 f1 g1 h1"), SHAPE).len(), 1);
    }

    #[test]
    fn nothing_said_is_nothing_to_judge() {
        assert!(compose(&[], &turn(Speaker::Caller, "… !"), SHAPE).is_empty());
    }

    #[test]
    fn the_context_stays_bounded() {
        let mut context = Context::default();
        for i in 0..20 {
            context.push(turn(Speaker::Caller, &i.to_string()));
        }
        assert_eq!(context.turns().len(), MAX_OPENING_TURNS + MAX_CONTEXT_TURNS);
        let kept: Vec<&str> = context.turns().iter().map(|turn| turn.text.as_str()).collect();
        assert_eq!(kept, ["0", "1", "12", "13", "14", "15", "16", "17", "18", "19"]);
    }
}
