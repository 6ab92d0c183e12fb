"""Measures whole calls: puts dialogues through `callward analyze --json` and tells how many were warned of in time.

    python check.py --callward ../../target/release/callward           the families that training held out
    python check.py --callward … --all                                 every dialogue (most were trained on)
    python check.py --callward … --names                               also the dialogues that went wrong

A scam is caught when the alarm comes no later than the dialogue's deadline, the last turn before the victim complies. A
genuine call must raise neither alarm nor caution. Ends with 1 when a bound given by --min-caught or --max-false is broken.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from corpus import Dialogue, load
from train import split

HERE = Path(__file__).parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--callward", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, default=HERE.parent / "corpus")
    parser.add_argument("--classifier", type=Path, default=HERE.parent / "classifier")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--names", action="store_true")
    parser.add_argument("--unknown", action="store_true", help="hide who speaks")
    parser.add_argument("--min-caught", type=float, default=0.0)
    parser.add_argument("--max-false", type=float, default=1.0)
    o = parser.parse_args()
    dialogues = load(o.corpus)
    if not o.all:
        card = tomllib.loads((o.classifier / "classifier.toml").read_text(encoding="utf-8"))
        dialogues = split(dialogues, card["training"]["held_out_share"], card["training"]["seed"])[1]
    outcomes = analyse(o.callward, dialogues, o.unknown)
    caught, false = tell(dialogues, outcomes, o.names)
    return 0 if caught >= o.min_caught and false <= o.max_false else 1


def analyse(callward: Path, dialogues: list[Dialogue], unknown: bool) -> list[dict]:
    """Per dialogue: the utterance that raised each level, and the highest risk."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, dialogue in enumerate(dialogues):
            path = Path(folder) / f"{number:05}.jsonl"
            lines = [json.dumps({"speaker": "unknown" if unknown else t.speaker, "text": t.text}) for t in dialogue.turns]
            path.write_text("\n".join(lines), encoding="utf-8")
            paths.append(str(path))
        out = subprocess.run([callward, "analyze", "--json", *paths], check=True, capture_output=True, text=True).stdout
    outcomes, current = [], {"utterance": 0, "levels": {}}
    for event in map(json.loads, out.splitlines()):
        if event["event"] == "utterance":
            current["utterance"] += 1
        elif event["event"] == "warning":
            current["levels"].setdefault(event["level"], (current["utterance"], event["stages"]))
        elif event["event"] == "summary":
            outcomes.append(current | {"risk": event["risk"]})
            current = {"utterance": 0, "levels": {}}
    return outcomes


def tell(dialogues: list[Dialogue], outcomes: list[dict], names: bool) -> tuple[float, float]:
    scams, timely, alarmed, genuine, alarms, cautions = 0, 0, 0, 0, 0, 0
    for dialogue, outcome in zip(dialogues, outcomes, strict=True):
        alarm, caution = outcome["levels"].get("alarm"), outcome["levels"].get("caution")
        if dialogue.kind == "scam":
            scams += 1
            in_time = alarm is not None and alarm[0] <= (dialogue.deadline or len(dialogue.turns))
            timely, alarmed = timely + in_time, alarmed + (alarm is not None)
            wrong = None if in_time else ("late" if alarm else "missed")
        else:
            genuine += 1
            alarms, cautions = alarms + (alarm is not None), cautions + (alarm is not None or caution is not None)
            wrong = "alarm" if alarm else ("caution" if caution else None)
        if wrong and names:
            print(f"{wrong:8} {dialogue.id} ({dialogue.family}) risk {outcome['risk']:.2f}, "
                  f"deadline {dialogue.deadline}, {outcome['levels']}")
    caught, false = timely / max(scams, 1), alarms / max(genuine, 1)
    print(f"scam calls     {scams:4}: alarm in time {timely} ({caught:.1%}), alarm at all {alarmed}")
    print(f"genuine calls  {genuine:4}: alarm {alarms} ({false:.1%}), caution or alarm {cautions}")
    return caught, false


if __name__ == "__main__":
    sys.exit(main())
