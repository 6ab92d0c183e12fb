//! Concealing lost packets in the listening copy: the voice's last pitch period is repeated, fading, and joined to what
//! follows without a step (after the idea of ITU-T G.711 Appendix I).
//!
//! A recogniser takes a click for a consonant and a hole for a pause; a short hum of the same voice misleads it least.
//! It must never invent sound for longer than 60 ms: what follows is silence.

/// After this long nothing of the voice is left.
const FADED_MS: usize = 60;
/// Pitch periods looked for: voices of 66 to 400 Hz.
const PITCH_US: (usize, usize) = (2_500, 15_000);
/// Length of the stretches that are compared, and how much of the past is kept.
const COMPARED_MS: usize = 15;
const KEPT_MS: usize = 30;
/// Over this time the repeated voice is faded into the real one.
const JOINT_MS: usize = 4;

/// Conceals the losses of one stream at one sample rate.
#[derive(Debug)]
pub struct Concealer {
    rate: usize,
    past: Vec<i16>,
    /// While a gap lasts: the repeated period and how far into the gap we are, in samples.
    gap: Option<(Vec<i16>, usize)>,
}

impl Concealer {
    /// For a stream of `rate` samples a second.
    pub fn new(rate: u32) -> Concealer {
        Concealer { rate: (rate as usize).max(1), past: Vec::new(), gap: None }
    }

    /// Takes in what was decoded; after a gap its beginning is blended with the repeated voice.
    pub fn heard(&mut self, samples: &mut [i16]) {
        if let Some((period, at)) = self.gap.take() {
            let joint = (JOINT_MS * self.rate / 1000).min(samples.len());
            for (i, sample) in samples.iter_mut().take(joint).enumerate() {
                let new = (i + 1) as f32 / (joint + 1) as f32;
                let old = repeated(&period, at + i, self.faded());
                *sample = (f32::from(*sample) * new + old * (1.0 - new)) as i16;
            }
        }
        self.past.extend_from_slice(samples);
        let kept = KEPT_MS * self.rate / 1000;
        self.past.drain(..self.past.len().saturating_sub(kept));
    }

    /// So many samples in place of what is missing.
    pub fn missing(&mut self, count: usize) -> Vec<i16> {
        let (period, at) = self.gap.take().unwrap_or_else(|| (self.period(), 0));
        let filled = (at..at + count).map(|i| repeated(&period, i, self.faded()) as i16).collect();
        self.gap = Some((period, at + count));
        filled
    }

    fn faded(&self) -> usize {
        FADED_MS * self.rate / 1000
    }

    /// The last pitch period: the lag at which the recent past resembles itself most.
    fn period(&self) -> Vec<i16> {
        let compared = COMPARED_MS * self.rate / 1000;
        let (shortest, longest) = (PITCH_US.0 * self.rate / 1_000_000, PITCH_US.1 * self.rate / 1_000_000);
        let recent = self.past.len().saturating_sub(compared);
        let likeness = |lag: &usize| {
            let (now, before) = (&self.past[recent..], &self.past[recent - lag..]);
            let pairs = now.iter().zip(before).map(|(a, b)| (f32::from(*a), f32::from(*b)));
            let (product, energy) = pairs.fold((0.0, 1.0), |(p, e), (a, b)| (p + a * b, e + b * b));
            product / energy.sqrt()
        };
        let lags = shortest.max(1)..=longest.min(recent);
        let best = lags.max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        self.past[self.past.len() - best.unwrap_or(self.past.len())..].to_vec()
    }
}

fn repeated(period: &[i16], at: usize, faded: usize) -> f32 {
    let sample = period.get(at % period.len().max(1)).copied().unwrap_or_default();
    f32::from(sample) * (1.0 - (at as f32 / faded as f32).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voice(from: usize, count: usize, rate: usize) -> Vec<i16> {
        let wave = |i: usize| (i as f32 * 150.0 * std::f32::consts::TAU / rate as f32).sin();
        (from..from + count).map(|i| (8_000.0 * (0.7 * wave(i) + 0.3 * wave(3 * i))) as i16).collect()
    }

    #[test]
    fn a_lost_packet_of_a_voice_is_filled_without_a_step() {
        for rate in [8_000, 16_000] {
            let (mut concealer, packet) = (Concealer::new(rate as u32), rate / 50);
            let mut out = Vec::new();
            for n in 0..8 {
                let mut samples = voice(n * packet, packet, rate);
                if n == 5 {
                    samples = concealer.missing(packet);
                } else {
                    concealer.heard(&mut samples);
                }
                out.extend(samples);
            }
            let step = |s: &[i16]| s.windows(2).map(|w| (i32::from(w[0]) - i32::from(w[1])).abs()).max();
            let (real, made) = (step(&voice(0, rate, rate)), step(&out));
            assert!(made < real.map(|s| s * 3 / 2), "{rate} Hz: {made:?} over {real:?}");
            let power = |s: &[i16]| s.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
            let ratio = power(&out[5 * packet..6 * packet]) / power(&out[4 * packet..5 * packet]);
            assert!((0.4..1.0).contains(&ratio), "{ratio}");
        }
    }

    #[test]
    fn a_long_gap_ends_in_silence_and_nothing_to_repeat_is_silence() {
        let mut concealer = Concealer::new(8_000);
        assert_eq!(concealer.missing(10), [0; 10]);
        concealer.heard(&mut voice(0, 800, 8_000));
        let filled = [concealer.missing(400), concealer.missing(400)].concat();
        assert!(filled[..100].iter().any(|s| s.abs() > 2_000) && filled[480..].iter().all(|s| *s == 0));
        let mut short = Concealer::new(8_000);
        short.heard(&mut [100, 200, 300]);
        assert_eq!(short.missing(5).len(), 5);
    }
}
