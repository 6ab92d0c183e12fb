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
    ducked: f32,
}

impl Playing {
    /// Begins a prompt at an audio rate; `duck_db` is how much quieter the caller becomes (a positive number).
    pub fn new(prompt: Prompt, rate: u32, duck_db: f32) -> Playing {
        let ducked = 10f32.powf(-duck_db.clamp(0.0, 90.0) / 20.0);
        Playing { prompt, rate, position: 0, ducked }
    }

    /// Its name.
    pub fn id(&self) -> u64 {
        self.prompt.id
    }

    fn samples(&self) -> &[i16] {
        if self.rate >= 16_000 { &self.prompt.wide } else { &self.prompt.narrow }
    }

    /// Whether all of it was played.
    pub fn is_over(&self) -> bool {
        self.position >= self.samples().len()
    }

    /// Goes on at another audio rate, at the same moment of the recording.
    pub fn set_rate(&mut self, rate: u32) {
        if rate != self.rate {
            self.position = self.position * rate as usize / self.rate.max(1) as usize;
            self.rate = rate;
        }
    }

    /// Mixes the next stretch of the prompt into `voice`, which is faded down under it.
    pub fn mix_into(&mut self, voice: &mut [i16]) {
        let ramp = RAMP_MS * self.rate as usize / 1000;
        let total = self.samples().len();
        for (offset, sample) in voice.iter_mut().enumerate() {
            let at = self.position + offset;
            let from_edge = at.min(total.saturating_sub(at)).min(ramp) as f32 / ramp.max(1) as f32;
            let gain = 1.0 + (self.ducked - 1.0) * from_edge;
            let spoken = self.samples().get(at).copied().unwrap_or_default();
            let mixed = f32::from(*sample) * gain + f32::from(spoken);
            *sample = mixed.clamp(f32::from(i16::MIN), f32::from(i16::MAX)) as i16;
        }
        self.position += voice.len();
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
    fn loud_on_loud_is_clipped_not_wrapped() {
        let prompt = Prompt { id: 1, narrow: vec![30_000; 800].into(), wide: vec![].into() };
        let mut voice = vec![30_000i16; 160];
        Playing::new(prompt, 8_000, 0.0).mix_into(&mut voice);
        assert!(voice.iter().all(|&s| s == i16::MAX));
    }
}
