#!/usr/bin/env python3
"""Makes the odd and broken audio files that tests feed to whatever reads a WAV: `python3 tests/samples/edge/make.py`.

Needs sox (14.4) and Python's standard library; gives the same bytes every time. The files are checked in.
"""

import struct
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
SPEECH = HERE.parent / "isp-botnet-notice-caller.wav"
SPOKEN = ("trim", "3.85", "1.15")  # "This is Helen Carter"
PCM_8K = ("-r", "8000", "-c", "1", "-b", "16", "-e", "signed-integer")


def sox(*words: object) -> None:
    """One run of sox, repeatable and without dither."""
    subprocess.run(["sox", "-V1", "-R", "-D", *map(str, words)], check=True)


def readable() -> None:
    """Files that every reader should take, or refuse with a clear error for what they hold."""
    sox("-n", *PCM_8K, HERE / "silence.wav", "trim", 0, 5)
    sox("-n", *PCM_8K, HERE / "tone-440hz.wav", "synth", 5, "sine", 440, "gain", -12)
    # Three plucked chords of three notes and a bass: pitched and loud, but nobody speaks.
    for n, notes in enumerate((("A3", "C4", "E4", "A2"), ("F3", "A3", "C4", "F2"), ("G3", "B3", "D4", "G2"))):
        strings = [word for note in notes for word in ("pluck", note)]
        sox("-n", *PCM_8K, HERE / f"chord-{n}.wav", "synth", 2.4, *strings, "remix", "-", "gain", "-n", -6)
    chords = [HERE / f"chord-{n}.wav" for n in range(3)]
    sox(*chords, HERE / "music.wav")
    for chord in chords:
        chord.unlink()
    sox(SPEECH, HERE / "speech-clipped.wav", *SPOKEN, "gain", 24)
    sox(SPEECH, "-r", 48000, "-c", 2, HERE / "speech-48khz-stereo.wav", *SPOKEN, "gain", -3, "rate", "-v", 48000)
    sox(SPEECH, "-b", 8, "-e", "unsigned-integer", HERE / "speech-8bit.wav", *SPOKEN)
    sox(SPEECH, "-b", 24, HERE / "speech-24bit.wav", *SPOKEN[:2], 0.5)
    sox(SPEECH, "-b", 32, "-e", "floating-point", HERE / "speech-float.wav", *SPOKEN[:2], 0.5)
    sox(SPEECH, "-e", "mu-law", HERE / "speech-ulaw.wav", *SPOKEN)
    sox("-M", SPEECH, SPEECH, SPEECH, HERE / "speech-3-channels.wav", *SPOKEN[:2], 0.3)


def header(data_bytes: int, *, channels: int = 1, rate: int = 8000, riff_bytes: int | None = None) -> bytes:
    """A WAV header for 16-bit PCM that claims whatever it is told to."""
    riff = 36 + data_bytes if riff_bytes is None else riff_bytes
    layout = struct.pack("<HHIIHH", 1, channels, rate, rate * channels * 2, channels * 2, 16)
    return b"RIFF" + struct.pack("<I", riff) + b"WAVEfmt \x10\0\0\0" + layout + b"data" + struct.pack("<I", data_bytes)


def broken() -> None:
    """Files that are not what they claim."""
    samples = SPEECH.read_bytes()[44 + 16_000 * 4 :][:4000]  # a quarter of a second, from the fourth second on
    files = {
        "header-only.wav": header(0),  # nothing wrong, nothing in it
        "truncated.wav": header(160_000) + samples,  # ends long before it says
        "truncated-header.wav": header(0)[:30],
        "streamed.wav": header(0xFFFF_FFFF, riff_bytes=0xFFFF_FFFF) + samples,  # length unknown when it was written
        "odd-bytes.wav": header(len(samples) - 1) + samples[:-1],  # half a sample at the end
        "no-channels.wav": header(len(samples), channels=0) + samples,
        "no-rate.wav": header(len(samples), rate=0) + samples,
        "zero-bytes.wav": b"",
        "text.wav": b"This is a text file that somebody renamed.\n",
    }
    for name, content in files.items():
        (HERE / name).write_bytes(content)


if __name__ == "__main__":
    readable()
    broken()
