//! Pure: cuts a stream of speech into segments at natural pauses, or at a cap where nobody pauses.
//!
//! A recogniser needs whole phrases, a warning needs them soon. So a segment ends after a short silence; one that runs
//! to the cap is cut at the quietest moment of its last seconds and what follows is carried over, so that no word is
//! lost or doubled.

use std::collections::VecDeque;

/// Samples of one frame: 32 ms at 16 kHz.
pub const FRAME: usize = 512;
const FRAME_MS: u64 = 32;

/// Speech begins at this probability …
const BEGIN: f32 = 0.5;
/// … and goes on down to this one.
const GO_ON: f32 = 0.35;
/// So much silence ends a segment.
const HANGOVER_MS: u64 = 480;
/// Sound kept from before the first frame of speech.
const PRE_ROLL_MS: u64 = 256;
/// Less speech than this is a click or a cough.
const SHORTEST_MS: u64 = 160;
/// No segment is longer.
const CAP_MS: u64 = 9_000;
/// The cut at the cap is looked for in this last stretch.
const CUT_WITHIN_MS: u64 = 2_000;
/// A jump in the stream's time beyond this ends a segment: the sender paused.
const JUMP_MS: u64 = 400;

/// One stretch of speech.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Where it begins on the stream's clock.
    pub start_ms: u64,
    /// Where it ends.
    pub end_ms: u64,
    /// 16 kHz samples in -1..=1.
    pub samples: Vec<f32>,
}

/// The segmenter of one stream.
#[derive(Debug, Default)]
pub struct Segmenter {
    before: VecDeque<Vec<f32>>,
    open: Option<Open>,
    expected_ms: Option<u64>,
}

#[derive(Debug)]
struct Open {
    start_ms: u64,
    samples: Vec<f32>,
    probabilities: Vec<f32>,
    speech_ms: u64,
    silent_ms: u64,
    /// It goes on from a cut: however short, it is the end of a sentence and no click.
    goes_on: bool,
}

impl Segmenter {
    /// Takes one frame that begins at `start_ms`, with the probability that it holds speech; returns a segment that
    /// ended.
    pub fn push(&mut self, frame: &[f32], probability: f32, start_ms: u64) -> Option<Segment> {
        let jumped = self.expected_ms.is_some_and(|expected| start_ms.abs_diff(expected) > JUMP_MS);
        self.expected_ms = Some(start_ms + FRAME_MS);
        let ended = if jumped { self.flush() } else { None };
        let segment = match &mut self.open {
            None => {
                if probability >= BEGIN {
                    self.begin(frame, probability, start_ms);
                } else {
                    self.keep(frame);
                }
                None
            }
            Some(open) => {
                open.add(frame, probability);
                if open.silent_ms >= HANGOVER_MS {
                    self.flush()
                } else if open.length_ms() >= CAP_MS {
                    self.cut()
                } else {
                    None
                }
            }
        };
        // A jump and an end cannot fall on one frame: after the jump nothing was open.
        ended.or(segment)
    }

    /// Ends the segment that is open: the stream is over.
    pub fn flush(&mut self) -> Option<Segment> {
        self.before.clear();
        self.open.take().and_then(Open::finish)
    }

    fn keep(&mut self, frame: &[f32]) {
        self.before.push_back(frame.to_vec());
        while self.before.len() as u64 * FRAME_MS > PRE_ROLL_MS {
            self.before.pop_front();
        }
    }

    fn begin(&mut self, frame: &[f32], probability: f32, start_ms: u64) {
        let kept = self.before.len();
        let samples: Vec<f32> = self.before.drain(..).flatten().collect();
        let mut open = Open {
            start_ms: start_ms.saturating_sub(kept as u64 * FRAME_MS),
            samples,
            probabilities: vec![0.0; kept],
            speech_ms: 0,
            silent_ms: 0,
            goes_on: false,
        };
        open.add(frame, probability);
        self.open = Some(open);
    }

    fn cut(&mut self) -> Option<Segment> {
        let mut open = self.open.take()?;
        let count = open.probabilities.len();
        let from = count.saturating_sub((CUT_WITHIN_MS / FRAME_MS) as usize).max(1);
        let quietest = |a: &usize, b: &usize| open.probabilities[*a].total_cmp(&open.probabilities[*b]);
        // Of equally quiet frames the last, to carry over as little as possible.
        let at = (from..count).rev().min_by(quietest).unwrap_or(count);
        let probabilities = open.probabilities.split_off(at);
        let samples = open.samples.split_off(at * FRAME);
        let start_ms = open.start_ms + at as u64 * FRAME_MS;
        let speech = probabilities.iter().filter(|p| **p >= GO_ON).count() as u64 * FRAME_MS;
        open.silent_ms = 0;
        self.open = Some(Open { start_ms, samples, probabilities, speech_ms: speech, silent_ms: 0, goes_on: true });
        open.finish()
    }
}

impl Open {
    fn add(&mut self, frame: &[f32], probability: f32) {
        self.samples.extend_from_slice(frame);
        self.probabilities.push(probability);
        match probability >= GO_ON {
            true => {
                self.speech_ms += FRAME_MS;
                self.silent_ms = 0;
            }
            false => self.silent_ms += FRAME_MS,
        }
    }

    fn length_ms(&self) -> u64 {
        self.probabilities.len() as u64 * FRAME_MS
    }

    fn finish(self) -> Option<Segment> {
        let end_ms = self.start_ms + self.length_ms() - self.silent_ms;
        let shortest = if self.goes_on { FRAME_MS } else { SHORTEST_MS };
        let Open { start_ms, samples, .. } = self;
        (self.speech_ms >= shortest).then_some(Segment { start_ms, end_ms, samples })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds probabilities; each frame's samples are its number.
    fn run(probabilities: &[f32]) -> Vec<Segment> {
        let mut segmenter = Segmenter::default();
        let mut segments = Vec::new();
        for (n, p) in probabilities.iter().enumerate() {
            segments.extend(segmenter.push(&[n as f32; FRAME], *p, n as u64 * FRAME_MS));
        }
        segments.extend(segmenter.flush());
        segments
    }

    #[test]
    fn a_pause_ends_a_segment_with_some_sound_before_it() {
        let mut speech = vec![0.0; 20];
        speech.extend([0.9; 30]);
        speech.extend([0.0; 30]);
        speech.extend([0.9; 30]);
        let segments = run(&speech);
        assert_eq!(segments.len(), 2);
        assert_eq!((segments[0].start_ms, segments[0].end_ms), (20 * 32 - 256, 50 * 32));
    }

    #[test]
    fn clicks_are_dropped() {
        let mut speech = vec![0.0; 20];
        speech.extend([0.9; 2]);
        speech.extend([0.0; 40]);
        assert!(run(&speech).is_empty());
    }

    #[test]
    fn endless_speech_is_cut_where_it_is_quietest() {
        let mut speech = vec![0.9; 400];
        speech[250] = 0.4;
        let segments = run(&speech);
        assert_eq!(segments[0].end_ms, 250 * 32);
        assert_eq!(segments[1].start_ms, 250 * 32);
        assert!(segments.iter().all(|s| s.end_ms - s.start_ms <= CAP_MS));
    }

    #[test]
    fn a_jump_in_time_ends_a_segment() {
        let mut segmenter = Segmenter::default();
        for n in 0..20 {
            assert!(segmenter.push(&[0.0; FRAME], 0.9, n * 32).is_none());
        }
        assert!(segmenter.push(&[0.0; FRAME], 0.9, 60_000).is_some());
        assert_eq!(segmenter.flush(), None);
    }

    proptest! {
        /// Every frame of speech is in exactly one segment, in order.
        #[test]
        fn no_sample_of_speech_is_lost_or_doubled(
            runs in proptest::collection::vec((1usize..400, any::<bool>()), 1..12)
        ) {
            let probabilities: Vec<f32> =
                runs.iter().flat_map(|(n, speech)| vec![if *speech { 0.9 } else { 0.05 }; *n]).collect();
            let segments = run(&probabilities);
            let samples: Vec<f32> = segments.iter().flat_map(|s| s.samples.iter().step_by(FRAME).copied()).collect();
            prop_assert!(samples.windows(2).all(|w| w[0] < w[1]));
            // Runs of speech long enough not to be a click are whole.
            let mut n = 0;
            for (length, speech) in &runs {
                if *speech && *length as u64 * FRAME_MS >= SHORTEST_MS {
                    for frame in n..n + length {
                        prop_assert!(samples.contains(&(frame as f32)), "frame {frame} lost");
                    }
                }
                n += length;
            }
            prop_assert!(segments.windows(2).all(|w| w[0].end_ms <= w[1].start_ms + CAP_MS));
        }
    }
}
