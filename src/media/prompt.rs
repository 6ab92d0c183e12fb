//! A spoken warning and how it is laid over what the callee hears.

use std::sync::Arc;

/// A recording to play into one leg, ready at both audio rates.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// Names it in events.
    pub id: u64,
    /// At 8 kHz.
    pub narrow: Arc<[i16]>,
    /// At 16 kHz.
    pub wide: Arc<[i16]>,
}

/// Time over which the caller's voice fades down and up again, so that neither clicks.
const RAMP_MS: usize = 40;

/// A prompt being played: how far it is, in samples of the rate it is played at.
#[derive(Debug, Clone)]
pub struct Playing {
    prompt: Prompt,
    rate: u32,
    position: usize,
    /// Where it was told to be over, if that is before its end.
    cut_at: Option<usize>,
    /// The caller's gain under the prompt, and at this moment on the way there or back.
    ducked: f32,
    gain: f32,
}

impl Playing {
    /// Begins a prompt at an audio rate; `duck_db` is how much quieter the caller becomes (a positive number).
    pub fn new(prompt: Prompt, rate: u32, duck_db: f32) -> Playing {
        let ducked = 10f32.powf(-duck_db.clamp(0.0, 90.0) / 20.0);
        Playing { prompt, rate, position: 0, cut_at: None, ducked, gain: 1.0 }
    }

    /// Its name.
    pub fn id(&self) -> u64 {
        self.prompt.id
    }

    /// The caller's gain at this moment.
    pub fn gain(&self) -> f32 {
        self.gain
    }

    /// Begins at the gain a prompt before this one left.
    pub fn set_gain(&mut self, gain: f32) {
        self.gain = gain;
    }

    /// Ends it soon, without a click.
    pub fn fade_out(&mut self) {
        let soon = self.position + self.ramp();
        self.cut_at = Some(self.end().min(soon));
    }

    /// Whether all of it was played.
    pub fn is_over(&self) -> bool {
        self.position >= self.end()
    }

    /// Goes on at another audio rate, at the same moment of the recording.
    pub fn set_rate(&mut self, rate: u32) {
        let (from, to) = (self.rate.max(1) as usize, rate as usize);
        self.position = self.position * to / from;
        self.cut_at = self.cut_at.map(|at| at * to / from);
        self.rate = rate;
    }

    /// Mixes the next stretch of the prompt into `voice`, which is faded down under it.
    pub fn mix_into(&mut self, voice: &mut [i16]) {
        let (ramp, end) = (self.ramp(), self.end());
        let slope = (1.0 - self.ducked) / ramp as f32;
        for (offset, sample) in voice.iter_mut().enumerate() {
            let at = self.position + offset;
            let left = end.saturating_sub(at);
            let fade = if self.cut_at.is_some() { (left as f32 / ramp as f32).min(1.0) } else { 1.0 };
            let spoken = if left > 0 { self.samples().get(at).copied().unwrap_or_default() } else { 0 };
            let mixed = f32::from(*sample) * self.gain + f32::from(spoken) * fade;
            *sample = mixed.clamp(f32::from(i16::MIN), f32::from(i16::MAX)) as i16;
            let goal = if left > ramp { self.ducked } else { 1.0 };
            self.gain += (goal - self.gain).clamp(-slope, slope);
        }
        self.position += voice.len();
    }

    fn samples(&self) -> &[i16] {
        if self.rate >= 16_000 { &self.prompt.wide } else { &self.prompt.narrow }
    }

    fn end(&self) -> usize {
        let all = self.samples().len();
        self.cut_at.map_or(all, |at| at.min(all))
    }

    fn ramp(&self) -> usize {
        (RAMP_MS * self.rate as usize / 1000).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_voice_fades_under_the_prompt_and_comes_back() {
        let prompt = Prompt { id: 1, narrow: vec![0; 8_000].into(), wide: vec![0; 16_000].into() };
        let mut playing = Playing::new(prompt, 8_000, 20.0);
        let mut voice = vec![10_000i16; 8_160];
        playing.mix_into(&mut voice);
        assert!(playing.is_over());
        assert_eq!((voice[0], voice[4_000], voice[8_100]), (10_000, 1_000, 10_000));
        assert!(voice.windows(2).all(|w| (w[0] - w[1]).abs() < 60), "no click");
    }

    #[test]
    fn a_prompt_that_is_stopped_or_replaced_does_not_click() {
        let prompt = Prompt { id: 1, narrow: vec![8_000; 8_000].into(), wide: vec![].into() };
        let mut playing = Playing::new(prompt.clone(), 8_000, 20.0);
        let mut voice = vec![10_000i16; 1_600];
        playing.mix_into(&mut voice);
        let mut next = Playing::new(prompt, 8_000, 20.0);
        next.set_gain(playing.gain());
        let mut under_next = vec![10_000i16; 160];
        next.mix_into(&mut under_next);
        assert_eq!((voice[1_599], under_next[0], under_next[159]), (9_000, 9_000, 9_000));
        playing.fade_out();
        let mut fading = vec![10_000i16; 480];
        playing.mix_into(&mut fading);
        assert!(playing.is_over() && fading[479] == 10_000);
        assert!(fading.windows(2).all(|w| (w[0] - w[1]).abs() < 60), "no click");
    }

    #[test]
    fn loud_on_loud_is_clipped_not_wrapped() {
        let prompt = Prompt { id: 1, narrow: vec![30_000; 800].into(), wide: vec![].into() };
        let mut voice = vec![30_000i16; 160];
        Playing::new(prompt, 8_000, 0.0).mix_into(&mut voice);
        assert!(voice.iter().all(|&s| s == i16::MAX));
    }
}
