//! Recorded calls: WAV of any rate, depth and channel count to samples and back.
//!
//! Pure apart from the reader and writer it is given. Limits keep a hostile header from claiming memory.

use std::io::{Read, Seek, Write};

use rubato::audioadapter_buffers::direct::SequentialSliceOfVecs;
use rubato::{Fft, FixedSync, Resampler};

/// Longest recording read, in samples of all channels: 4 hours of stereo at 48 kHz.
const MAX_SAMPLES: usize = 4 * 3600 * 48_000 * 2;

/// Why a recording cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// Not a WAV, or a damaged one.
    #[error("not a readable WAV: {0}; convert it with `sox IN -b 16 OUT.wav`")]
    Wav(#[from] hound::Error),
    /// A WAV without sound.
    #[error("the WAV holds no samples; record it again")]
    Empty,
    /// Nothing we can use.
    #[error("unsupported WAV: {0}; convert it with `sox IN -b 16 -r 16000 OUT.wav`")]
    Unsupported(String),
}

/// Samples in -1..=1, one vector a channel, all of the same length.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// Samples a second.
    pub rate: u32,
    /// One or more channels.
    pub channels: Vec<Vec<f32>>,
}

impl Recording {
    /// Reads a WAV. A file cut short yields what is there.
    pub fn read(reader: impl Read + Seek) -> Result<Recording, RecordingError> {
        let mut wav = hound::WavReader::new(reader)?;
        let spec = wav.spec();
        if !(4_000..=192_000).contains(&spec.sample_rate) || !(1..=8).contains(&spec.channels) {
            let what = format!("{} channels at {} Hz", spec.channels, spec.sample_rate);
            return Err(RecordingError::Unsupported(what));
        }
        let samples: Vec<f32> = match spec.sample_format {
            hound::SampleFormat::Float => take_good(wav.samples::<f32>()),
            hound::SampleFormat::Int => {
                let scale = (1i64 << (spec.bits_per_sample.clamp(1, 32) - 1)) as f32;
                take_good(wav.samples::<i32>()).into_iter().map(|s: i32| s as f32 / scale).collect()
            }
        };
        let count = usize::from(spec.channels);
        let frames = samples.len() / count;
        if frames == 0 {
            return Err(RecordingError::Empty);
        }
        let finite = |s: f32| if s.is_finite() { s.clamp(-1.0, 1.0) } else { 0.0 };
        let channel = |c: usize| samples.iter().skip(c).step_by(count).take(frames).map(|&s| finite(s)).collect();
        Ok(Recording { rate: spec.sample_rate, channels: (0..count).map(channel).collect() })
    }

    /// The caller's side: the left channel, or the only one.
    pub fn caller(&self) -> &[f32] {
        &self.channels[0]
    }

    /// The callee's side, where the recording is stereo.
    pub fn callee(&self) -> Option<&[f32]> {
        self.channels.get(1).map(Vec::as_slice)
    }

    /// Length in milliseconds.
    pub fn duration_ms(&self) -> u64 {
        self.channels[0].len() as u64 * 1000 / u64::from(self.rate)
    }
}

fn take_good<T>(samples: impl Iterator<Item = Result<T, hound::Error>>) -> Vec<T> {
    samples.map_while(Result::ok).take(MAX_SAMPLES).collect()
}

/// One channel at another rate, band-limited.
pub fn resample(samples: &[f32], from: u32, to: u32) -> Vec<f32> {
    if from == to || samples.is_empty() {
        return samples.to_vec();
    }
    let run = || -> Option<Vec<f32>> {
        let mut resampler = Fft::<f32>::new(from as usize, to as usize, 1024, 1, FixedSync::Both).ok()?;
        let channels = [samples.to_vec()];
        let input = SequentialSliceOfVecs::new(&channels, 1, samples.len()).ok()?;
        resampler.process_all(&input, samples.len(), None).ok().map(|out| out.take_data())
    };
    run().unwrap_or_default()
}

/// Writes mono 16-bit samples as WAV.
pub fn write(writer: impl Write + Seek, rate: u32, samples: &[i16]) -> Result<(), RecordingError> {
    let spec =
        hound::WavSpec { channels: 1, sample_rate: rate, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut wav = hound::WavWriter::new(writer, spec)?;
    for &sample in samples {
        wav.write_sample(sample)?;
    }
    Ok(wav.finalize()?)
}

/// A sample in -1..=1 as 16-bit.
pub fn to_i16(sample: f32) -> i16 {
    (sample.clamp(-1.0, 1.0) * f32::from(i16::MAX)) as i16
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn what_is_written_is_read() {
        let mut file = Cursor::new(Vec::new());
        write(&mut file, 8_000, &[0, 16_384, -16_384]).unwrap();
        file.set_position(0);
        let recording = Recording::read(file).unwrap();
        assert_eq!(recording.rate, 8_000);
        assert!((recording.caller()[1] - 0.5).abs() < 1e-3 && recording.callee().is_none());
    }

    #[test]
    fn garbage_and_silence_without_samples_are_refused() {
        assert!(matches!(Recording::read(Cursor::new(b"hello".to_vec())), Err(RecordingError::Wav(_))));
        let mut file = Cursor::new(Vec::new());
        write(&mut file, 8_000, &[]).unwrap();
        file.set_position(0);
        assert!(matches!(Recording::read(file), Err(RecordingError::Empty)));
    }

    #[test]
    fn resampling_keeps_length_and_tone() {
        let tone: Vec<f32> = (0..8_000).map(|i| (i as f32 * 440.0 * std::f32::consts::TAU / 8_000.0).sin()).collect();
        let up = resample(&tone, 8_000, 16_000);
        assert!((up.len() as i64 - 16_000).abs() < 4, "{}", up.len());
        let crossings = up[4_000..12_000].windows(2).filter(|w| w[0] <= 0.0 && w[1] > 0.0).count();
        assert!((218..=222).contains(&crossings), "{crossings}");
    }
}
