#!/usr/bin/env python3
"""Speaks every prompt of every language folder: `python3 dialplans/prompts/speak.py [LANGUAGE]`.

Reads `LANGUAGE/texts.toml`, writes `LANGUAGE/*.wav` (16 kHz, mono, 16-bit) and prints what it measured. Exits 1 when
a recording breaks its own limits. The recordings are checked in; run this only after a text, the voice or the tones
change.
"""

import sys
import tomllib
from pathlib import Path

import voice

RATE = 16_000
# Attention signals: (Hz, ms) in turn, 0 Hz is a pause. Single tones inside the telephone band, so that no receiver
# takes them for DTMF (two at once), and none of the network's own (350, 440, 480, 620, 950, 1400, 1800 Hz).
TONES = {
    "none": [],
    "caution": [(740, 130), (0, 40), (988, 180), (0, 120)],
    "alarm": [(1175, 80), (880, 80), (1175, 80), (880, 80), (0, 80)],
}
TONE_LEVEL = 0.22  # peak of the tones; about as loud as the speech


def attention(kind: str):
    """The signal before the words."""
    import numpy as np

    parts = [np.zeros(0)]
    for hertz, ms in TONES[kind]:
        t = np.arange(round(RATE * ms / 1000)) / RATE
        parts.append(voice.faded(TONE_LEVEL * np.sin(2 * np.pi * hertz * t), RATE) if hertz else np.zeros(len(t)))
    return np.concatenate(parts)


def record(speaker: voice.Speaker, texts: dict, name: str):
    """One prompt: signal, words, a short rest."""
    import numpy as np

    prompt = texts["prompts"][name]
    speed = prompt.get("speed", texts["speed"])
    words = voice.trimmed(speaker.say(prompt["text"], texts["voice"], texts["accent"], speed, RATE), RATE)
    words = voice.faded(voice.to_loudness(words, RATE, texts["loudness_lufs"]), RATE)
    return np.concatenate([voice.silence(20, RATE), attention(prompt["tone"]), words, voice.silence(150, RATE)])


def main() -> int:
    import numpy as np

    languages = sys.argv[1:] or sorted(p.parent.name for p in voice.HERE.glob("*/texts.toml"))
    speaker, failed = voice.Speaker(), False
    for language in languages:
        folder = voice.HERE / language
        texts = tomllib.loads((folder / "texts.toml").read_text(encoding="utf-8"))
        for name, prompt in texts["prompts"].items():
            samples = record(speaker, texts, name)
            voice.write_wav(folder / f"{name}.wav", [samples], RATE)
            seconds, peak = len(samples) / RATE, 20 * np.log10(np.abs(samples).max())
            rms = 10 * np.log10(np.mean(samples**2))
            too_long = seconds > prompt["longest_s"]
            failed |= too_long
            note = f"  longer than {prompt['longest_s']} s" if too_long else ""
            print(f"{language}/{name}.wav  {seconds:5.2f} s  peak {peak:6.2f} dBFS  rms {rms:6.2f} dBFS{note}")
    return 1 if failed else 0


if __name__ == "__main__":
    voice.enter_environment()
    sys.exit(main())
