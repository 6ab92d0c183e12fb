#!/usr/bin/env python3
"""Speaks the sample calls: `python3 tests/samples/speak.py [NAME…]`.

Reads `scripts/NAME.toml` and writes beside itself
  NAME.jsonl       the transcript: speaker, text, start_ms
  NAME.wav         both sides: 8 kHz, 16-bit, caller left, callee right
  NAME-caller.wav  the caller alone, silent while the callee speaks

A script is a list of lines in the order they begin. `wait_ms` is the rest between the end of the line before and this
one (negative: they overlap); without it a change of speaker takes 450 ms and going on takes 350 ms. `say` is what the
voice is given where it would mispronounce the text. The results are checked in; run this only after a script changes.
"""

import json
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "dialplans" / "prompts"))
import voice  # noqa: E402  the voices are shared with the prompts

RATE = 8_000
SIDES = ("caller", "callee")
LEAD_MS, TAIL_MS = 600, 900
TURN_MS, GOING_ON_MS = 450, 350


def telephone(samples):
    """The band a narrowband trunk carries, so that the file sounds the same through G.711."""
    from scipy.signal import butter, sosfilt

    return sosfilt(butter(4, (220, 3500), "bandpass", fs=RATE, output="sos"), samples)


def spoken(speaker: voice.Speaker, script: dict) -> list[tuple[str, str, int, object]]:
    """Each line as side, text, rest before it in ms and samples; the rest of the first line is the lead."""
    lines, before = [], None
    for line in script["line"]:
        side = next(s for s in SIDES if s in line)
        who = script[side]
        text = line[side]
        samples = speaker.say(line.get("say", text), who["voice"], who["accent"], who["speed"], RATE)
        samples = voice.trimmed(telephone(samples), RATE)
        samples = voice.faded(voice.to_loudness(samples, RATE, who["loudness_lufs"]), RATE)
        usual = LEAD_MS if before is None else GOING_ON_MS if side == before else TURN_MS
        lines.append((side, text, line.get("wait_ms", usual), samples))
        before = side
    return lines


def laid_out(lines: list) -> tuple[list[dict], dict]:
    """The transcript and one track a side, all on one clock."""
    import numpy as np

    starts, end = [], 0
    for _, _, wait_ms, samples in lines:
        starts.append(max(0, end + RATE * wait_ms // 1000))
        end = starts[-1] + len(samples)
    tracks = {side: np.zeros(end + RATE * TAIL_MS // 1000) for side in SIDES}
    transcript = []
    for (side, text, _, samples), start in zip(lines, starts, strict=True):
        tracks[side][start : start + len(samples)] += samples
        transcript.append({"speaker": side, "text": text, "start_ms": round(start * 1000 / RATE)})
    return transcript, tracks


def main() -> int:
    import numpy as np

    names = sys.argv[1:] or sorted(p.stem for p in (HERE / "scripts").glob("*.toml"))
    speaker = voice.Speaker()
    for name in names:
        script = tomllib.loads((HERE / "scripts" / f"{name}.toml").read_text(encoding="utf-8"))
        lines = spoken(speaker, script)
        transcript, tracks = laid_out(lines)
        (HERE / f"{name}.jsonl").write_text("".join(json.dumps(t) + "\n" for t in transcript), encoding="utf-8")
        voice.write_wav(HERE / f"{name}.wav", [tracks[s] for s in SIDES], RATE)
        voice.write_wav(HERE / f"{name}-caller.wav", [tracks["caller"]], RATE)
        said = {s: sum(len(x) for side, _, _, x in lines if side == s) / RATE for s in SIDES}
        share = 100 * said["caller"] / sum(said.values())
        print(f"{name}: {len(tracks['caller']) / RATE:.1f} s, {len(lines)} lines, the caller speaks {share:.0f} %")
        for side in SIDES:
            peak = 20 * np.log10(np.abs(tracks[side]).max())
            print(f"  {side}: {said[side]:.1f} s of speech, peak {peak:.1f} dBFS")
    return 0


if __name__ == "__main__":
    voice.enter_environment()
    sys.exit(main())
