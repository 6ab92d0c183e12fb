"""Speaks whole calls of the corpus's test side, so that `report.py` can tell what a telephone line and a recogniser cost.

    python3 spoken.py --out calls [--scams 40] [--genuine 15]

Writes `ID.wav` (8 kHz, caller left, callee right, as a live call is heard) and `ID.json`: the end of each turn in
milliseconds, the voices and the line. What is there already is left as it is.
"""

import argparse
import json
import random
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "training"))

import line  # noqa: E402
import numpy as np  # noqa: E402
from corpus import Dialogue, load, side  # noqa: E402

# Rest between two turns, in samples.
REST = line.RATE * 2 // 5
# What a landline or a VoIP line is like on most days.
LINES = [line.Line(None, 0.0), line.Line(25, 0.0), line.Line(20, 0.005), line.Line(20, 0.01)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, default=HERE.parent / "corpus")
    parser.add_argument("--scams", type=int, default=40)
    parser.add_argument("--genuine", type=int, default=15)
    o = parser.parse_args()
    o.out.mkdir(parents=True, exist_ok=True)
    for kind, count in (("scam", o.scams), ("genuine", o.genuine)):
        # A transcript that does not tell who speaks cannot be spoken by two.
        calls = [d for d in load(o.corpus) if d.kind == kind and side(d) == "test" and all(t.speaker != "unknown" for t in d.turns)]
        calls.sort(key=lambda d: random.Random(d.id).random())
        for number, dialogue in enumerate(calls[:count], 1):
            if not (o.out / f"{dialogue.id}.json").exists():
                speak(dialogue, o.out)
            print(f"{kind} {number} of {min(count, len(calls))}", flush=True)


def speak(dialogue: Dialogue, out: Path) -> None:
    rng = random.Random(f"{dialogue.id}/spoken")
    voices = {"caller": rng.choice(rng.choice([line.CLEAR, line.QUICK])), "callee": rng.choice(line.QUICK)}
    conditions = rng.choice(LINES)
    now, ends, placed = REST, [], {"caller": [], "callee": []}
    for turn in dialogue.turns:
        samples = line.say(turn.text, voices[turn.speaker])
        placed[turn.speaker].append((now, samples))
        now += len(samples)
        ends.append(now * 1000 // line.RATE)
        now += REST
    sides = []
    for speaker in ("caller", "callee"):
        track = np.zeros(now + line.RATE)
        for start, samples in placed[speaker]:
            track[start : start + len(samples)] = samples
        sides.append(line.over(track, conditions, rng))
    line.write(out / f"{dialogue.id}.wav", *sides)
    told = {"ends_ms": ends, "voices": voices, "snr_db": conditions.snr_db, "loss": conditions.loss}
    (out / f"{dialogue.id}.json").write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main()
