//! Checking what is heard by its content: tones by frequency, as the ear would.

use std::path::Path;

/// Writes a tone as WAV, 8 kHz mono.
pub fn write_tone(path: &Path, hertz: f32, seconds: f32) {
    let samples: Vec<i16> = (0..(8_000.0 * seconds) as usize)
        .map(|i| (9_000.0 * (i as f32 * hertz * std::f32::consts::TAU / 8_000.0).sin()) as i16)
        .collect();
    let file = std::fs::File::create(path).expect("the tone is written");
    callward::media::recording::write(std::io::BufWriter::new(file), 8_000, &samples).expect("the tone is written");
}

/// Samples of a WAV's first channel and its rate.
pub fn read(path: &Path) -> (Vec<f32>, u32) {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let recording = callward::media::recording::Recording::read(bytes).expect("a recording");
    (recording.caller().to_vec(), recording.rate)
}

/// How much of the sound's power lies at a frequency (Goertzel), 0..=1.
pub fn share(samples: &[f32], rate: u32, hertz: f32) -> f32 {
    let omega = std::f32::consts::TAU * hertz / rate as f32;
    let coefficient = 2.0 * omega.cos();
    // Blocks of an eighth of a second, so that a tone that wanders a little is still found.
    let (mut found, mut total) = (0.0f64, 0.0f64);
    for block in samples.chunks_exact(rate as usize / 8) {
        let (mut s1, mut s2) = (0.0f32, 0.0f32);
        for sample in block {
            let s0 = sample + coefficient * s1 - s2;
            (s2, s1) = (s1, s0);
        }
        let power = f64::from(s1 * s1 + s2 * s2 - coefficient * s1 * s2);
        found += power * 2.0 / block.len() as f64;
        total += block.iter().map(|s| f64::from(s * s)).sum::<f64>();
    }
    if total == 0.0 { 0.0 } else { (found / total) as f32 }
}
