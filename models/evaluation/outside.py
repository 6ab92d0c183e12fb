"""Turns public call transcripts into files that `callward analyze` reads, for figures on sources nobody here wrote.

    python outside.py --data DIR --out DIR

--data holds three folders as their publishers lay them out: `ftc-robocalls/transcripts.csv`,
`kaggle-call-transcripts/*.csv`, `asset-scam-signatures/SCAM_*.xlsx`. None of them is part of the project. Written are
`SOURCE/KIND/NAME.jsonl`; KIND is scam or genuine and concerns the call as a whole.
"""

import argparse
import csv
import json
from collections import OrderedDict
from pathlib import Path

import openpyxl

SUSPECT = {"scam", "scam_response", "suspicious", "highly_suspicious", "potential_scam", "slightly_suspicious"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    o = parser.parse_args()
    for source, calls in (("kaggle", kaggle(o.data)), ("asset", asset(o.data)), ("ftc", ftc(o.data))):
        count = 0
        for name, kind, turns in calls:
            path = o.out / source / kind / f"{name}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(json.dumps({"speaker": s, "text": t}) + "\n" for s, t in turns), encoding="utf-8")
            count += 1
        print(f"{source}: {count} calls")


def kaggle(data: Path):
    """The cleaned file holds the other party's turns only. A call is a scam when its author says so of two turns."""
    calls: OrderedDict[str, list[dict[str, str]]] = OrderedDict()
    with open(data / "kaggle-call-transcripts" / "call_transcript_cleaned.csv", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            calls.setdefault(row["CONVERSATION_ID"], []).append(row)
    for name, rows in calls.items():
        suspect = sum(row["LABEL"].strip().lower() in SUSPECT for row in rows)
        turns = [("caller", row["TEXT"]) for row in rows if row["TEXT"].strip()]
        if turns:
            yield f"{int(name):03}", "scam" if suspect >= 2 else "genuine", turns


def asset(data: Path):
    """Two columns a dialogue: who, and what they say. Every one is a scam."""
    speakers = {"scammer": "caller", "victim": "callee"}
    for path in sorted((data / "asset-scam-signatures").glob("SCAM_*.xlsx")):
        sheet = list(openpyxl.load_workbook(path).worksheets[0].iter_rows(values_only=True))
        for column in range(0, len(sheet[0]) - 1, 2):
            pairs = ((row[column], row[column + 1]) for row in sheet)
            cells = [(str(who).strip(" :").lower(), str(text).strip()) for who, text in pairs if who and text]
            turns = [(speakers[who], text) for who, text in cells if who in speakers]
            if turns:
                yield f"{path.stem.lower()}-{column // 2 + 1:02}", "scam", turns


def ftc(data: Path):
    """One recorded message a row; of near-duplicates the first. Nuisance calls of every kind, not all of them scams."""
    seen = set()
    with open(data / "ftc-robocalls" / "transcripts.csv", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            text = (row.get("transcript") or row.get("text") or "").strip()
            cluster = row.get("neardup_cluster") or text
            if text and cluster not in seen and row.get("language", "en") in ("en", "English", "english", ""):
                seen.add(cluster)
                yield f"{len(seen):04}", "scam", [("caller", text)]


if __name__ == "__main__":
    main()
