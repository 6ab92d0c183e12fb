//! The mel filter bank that Whisper was trained with, computed instead of shipped: triangles on Slaney's scale (linear to
//! 1 kHz, logarithmic above), each of unit area over its band. Pure.

const SAMPLE_RATE_HZ: f64 = 16_000.0;
/// Points of the Fourier transform: 25 ms at 16 kHz.
const TRANSFORM: usize = 400;
/// Bins of its one-sided spectrum.
pub const BINS: usize = TRANSFORM / 2 + 1;

/// Hz of one mel below the knee.
const LINEAR_STEP_HZ: f64 = 200.0 / 3.0;
const KNEE_HZ: f64 = 1000.0;
const KNEE_MEL: f64 = KNEE_HZ / LINEAR_STEP_HZ;
/// Above the knee 27 mels multiply the frequency by 6.4.
const MELS_PER_LOG: f64 = 27.0;
const LOG_RATIO: f64 = 6.4;

/// The filters, one row of [`BINS`] weights after another.
pub fn filters(count: usize) -> Vec<f32> {
    let nyquist = SAMPLE_RATE_HZ / 2.0;
    let step = to_mel(nyquist) / (count + 1) as f64;
    let mut edges: Vec<f64> = (0..=count).map(|n| to_hz(n as f64 * step)).collect();
    // Not computed: a rounding error, which differs between machines, would put the last bin inside the last filter.
    edges.push(nyquist);
    edges.windows(3).flat_map(|band| (0..BINS).map(|bin| weight(band[0], band[1], band[2], bin))).collect()
}

fn weight(low: f64, centre: f64, high: f64, bin: usize) -> f32 {
    let frequency = bin as f64 * SAMPLE_RATE_HZ / TRANSFORM as f64;
    let rising = (frequency - low) / (centre - low);
    let falling = (high - frequency) / (high - centre);
    let unit_area = 2.0 / (high - low);
    (rising.min(falling).max(0.0) * unit_area) as f32
}

fn to_mel(hz: f64) -> f64 {
    match hz < KNEE_HZ {
        true => hz / LINEAR_STEP_HZ,
        false => KNEE_MEL + (hz / KNEE_HZ).ln() * MELS_PER_LOG / LOG_RATIO.ln(),
    }
}

fn to_hz(mel: f64) -> f64 {
    match mel < KNEE_MEL {
        true => mel * LINEAR_STEP_HZ,
        false => KNEE_HZ * ((mel - KNEE_MEL) * LOG_RATIO.ln() / MELS_PER_LOG).exp(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_inverts() {
        for hz in [0.0, 40.0, 999.0, 1000.0, 1001.0, 3400.0, 8000.0] {
            assert!((to_hz(to_mel(hz)) - hz).abs() < 1e-9, "{hz}");
        }
        assert!((to_mel(1000.0) - 15.0).abs() < 1e-12);
    }

    #[test]
    fn each_filter_is_one_triangle_of_unit_area() {
        let bank = filters(80);
        assert_eq!(bank.len(), 80 * BINS);
        assert!(bank.chunks(BINS).all(|row| row[BINS - 1] == 0.0), "the highest bin lies on the edge");
        let mut last_peak = 0;
        for (number, row) in bank.chunks(BINS).enumerate() {
            let used: Vec<usize> = (0..BINS).filter(|bin| row[*bin] > 0.0).collect();
            assert!(!used.is_empty() && used.windows(2).all(|w| w[1] == w[0] + 1), "filter {number}");
            let peak = (0..BINS).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap_or(0);
            assert!(peak >= last_peak, "filter {number}");
            last_peak = peak;
        }
        // Wide filters cover many bins, so that their sum comes near the integral.
        let area: f32 = bank[79 * BINS..].iter().sum::<f32>() * 40.0;
        assert!((area - 1.0).abs() < 0.01, "{area}");
    }
}
