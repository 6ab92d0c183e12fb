//! Recorded calls: WAV of any rate, depth and channel count to samples and back.
//!
//! Pure apart from the reader and writer it is given. Limits keep a hostile header from claiming memory.

use std::io::{Cursor, Seek, Write};

use rubato::audioadapter_buffers::direct::SequentialSliceOfVecs;
use rubato::{Fft, FixedSync, Resampler};
use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::default::formats::WavReader;

/// Longest recording read, in samples of all channels: 4 hours of stereo at 48 kHz.
const MAX_SAMPLES: usize = 4 * 3600 * 48_000 * 2;

/// Why a recording cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// Not a WAV, or a damaged one.
    #[error("not a readable WAV ({0}); convert it with `sox IN -b 16 OUT.wav`")]
    Unreadable(String),
    /// A WAV without sound.
    #[error("the WAV holds no samples; record it again")]
    Empty,
    /// Nothing we can use.
    #[error("unsupported WAV: {0}; convert it with `sox IN -b 16 -r 16000 OUT.wav`")]
    Unsupported(String),
    /// The recording cannot be written.
    #[error("cannot write a WAV")]
    Write(#[from] hound::Error),
}

impl From<symphonia::core::errors::Error> for RecordingError {
    fn from(error: symphonia::core::errors::Error) -> Self {
        RecordingError::Unreadable(error.to_string())
    }
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
    /// Reads a WAV: whole numbers, floating point, A-law, µ-law or ADPCM. A file cut short, or one whose length was not
    /// known when it was written, yields what is there.
    pub fn read(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Result<Recording, RecordingError> {
        let source = MediaSourceStream::new(Box::new(Cursor::new(bytes)), MediaSourceStreamOptions::default());
        let mut wav = WavReader::try_new(source, FormatOptions::default())?;
        let unknown = || RecordingError::Unreadable("no audio track".to_string());
        let track = wav.default_track(TrackType::Audio).ok_or_else(unknown)?;
        let parameters = track.codec_params.as_ref().and_then(|p| p.audio()).ok_or_else(unknown)?;
        let rate = parameters.sample_rate.unwrap_or_default();
        let count = parameters.channels.as_ref().map_or(0, |channels| channels.count());
        if !(4_000..=192_000).contains(&rate) || !(1..=8).contains(&count) {
            return Err(RecordingError::Unsupported(format!("{count} channels at {rate} Hz")));
        }
        let mut decoder =
            symphonia::default::get_codecs().make_audio_decoder(parameters, &AudioDecoderOptions::default())?;
        let (mut samples, mut piece) = (Vec::new(), Vec::new());
        // What cannot be read further ends the recording; what came before is kept.
        while let Ok(Some(packet)) = wav.next_packet() {
            let Ok(decoded) = decoder.decode(&packet) else { break };
            decoded.copy_to_vec_interleaved::<f32>(&mut piece);
            samples.append(&mut piece);
            if samples.len() > MAX_SAMPLES {
                break;
            }
        }
        let frames = samples.len() / count;
        if frames == 0 {
            return Err(RecordingError::Empty);
        }
        let finite = |s: f32| if s.is_finite() { s.clamp(-1.0, 1.0) } else { 0.0 };
        let channel = |c: usize| samples.iter().skip(c).step_by(count).take(frames).map(|&s| finite(s)).collect();
        Ok(Recording { rate, channels: (0..count).map(channel).collect() })
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

    #[test]
    fn what_is_written_is_read() {
        let mut file = Cursor::new(Vec::new());
        write(&mut file, 8_000, &[0, 16_384, -16_384]).unwrap();
        let recording = Recording::read(file.into_inner()).unwrap();
        assert_eq!(recording.rate, 8_000);
        assert!((recording.caller()[1] - 0.5).abs() < 1e-3 && recording.callee().is_none());
    }

    #[test]
    fn garbage_and_silence_without_samples_are_refused() {
        assert!(matches!(Recording::read(*b"hello"), Err(RecordingError::Unreadable(_))));
        let mut file = Cursor::new(Vec::new());
        write(&mut file, 8_000, &[]).unwrap();
        assert!(matches!(Recording::read(file.into_inner()), Err(RecordingError::Empty)));
    }

    /// Of `tests/samples/edge`: what is read of each, in thousandths of a second, or why it is not.
    #[test]
    fn odd_and_broken_files_are_read_as_far_as_they_go() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples/edge");
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|e| e == "wav"));
        files.sort();
        let mut told = String::new();
        for path in files {
            let read = Recording::read(std::fs::read(&path).unwrap()).map(|r| {
                let loudest = r.caller().iter().fold(0.0f32, |m, s| m.max(s.abs()));
                format!("{} Hz, {} channels, {} ms, up to {loudest:.2}", r.rate, r.channels.len(), r.duration_ms())
            });
            let read = read.unwrap_or_else(|error| error.to_string());
            told += &format!("{}: {read}\n", path.file_name().unwrap().display());
        }
        insta::assert_snapshot!(told);
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
