"""What recognisers make of the corpus: dialogues spoken turn by turn over a telephone line and heard by `callward analyze`.

    python3 hear.py --callward ../../target/release/callward --engine moonshine --share 0.25

Writes `../corpus/heard/ENGINE.jsonl`: `{"id":…,"caller":VOICE,"callee":VOICE,"snr_db":…,"loss":…,"turns":[text, …]}`, one
text a turn of the dialogue (empty where nothing was recognised). Training takes them beside the written turns. A run that
was cut short goes on where it stopped. The test side is left to `spoken.py`.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "training"))

import line  # noqa: E402
from corpus import Dialogue, load, side  # noqa: E402

TOGETHER = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--callward", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, default=HERE.parent / "corpus")
    parser.add_argument("--engine", choices=["moonshine", "whisper"], default="moonshine")
    parser.add_argument("--share", type=float, default=0.25, help="of the scams; of the genuine dialogues a third of that")
    o = parser.parse_args()
    out = o.corpus / "heard" / f"{o.engine}.jsonl"
    out.parent.mkdir(exist_ok=True)
    done = {json.loads(text)["id"] for text in out.read_text(encoding="utf-8").splitlines()} if out.exists() else set()
    chosen = [d for d in load(o.corpus) if d.id not in done and side(d) != "test" and drawn(d, o)]
    with open(out, "a", encoding="utf-8") as file:
        for start in range(0, len(chosen), TOGETHER):
            for row in hear(chosen[start : start + TOGETHER], o):
                file.write(json.dumps(row) + "\n")
            file.flush()
            print(f"{min(start + TOGETHER, len(chosen))} of {len(chosen)}", flush=True)


def drawn(dialogue: Dialogue, o) -> bool:
    share = o.share if dialogue.kind == "scam" else o.share / 3
    return random.Random(f"{o.engine}/{dialogue.id}").random() < share


def hear(dialogues: list[Dialogue], o) -> list[dict]:
    rows, paths = [], []
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        for dialogue in dialogues:
            rng = random.Random(f"{o.engine}/{dialogue.id}/line")
            # The caller's words matter more, and clear voices take time.
            caller = rng.choice(rng.choices([line.CLEAR, line.QUICK, line.ROUGH], [1, 8, 1])[0])
            callee = rng.choice(rng.choice([line.QUICK, line.ROUGH]))
            conditions = rng.choice(line.LINES)
            rows.append({"id": dialogue.id, "caller": caller, "callee": callee, "snr_db": conditions.snr_db, "loss": conditions.loss, "turns": []})
            for turn in dialogue.turns:
                samples = line.say(turn.text, callee if turn.speaker == "callee" else caller)
                path = Path(folder) / f"{len(paths):05}.wav"
                line.write(path, line.over(samples, conditions, rng))
                paths.append(str(path))
        texts = iter(recognised(paths, o))
        for row, dialogue in zip(rows, dialogues):
            row["turns"] = [next(texts) for _ in dialogue.turns]
    return rows


def recognised(paths: list[str], o) -> list[str]:
    """The words of each file, its utterances joined."""
    run = subprocess.run([o.callward, "analyze", "--json", *paths], check=True, capture_output=True, text=True,
                         env=os.environ | {"CALLWARD_SPEECH__ENGINE": o.engine})
    texts, current = [], []
    for event in map(json.loads, run.stdout.splitlines()):
        if event["event"] == "utterance":
            current.append(event["text"].strip())
        elif event["event"] == "summary":
            texts.append(" ".join(current))
            current = []
    return texts


if __name__ == "__main__":
    main()
