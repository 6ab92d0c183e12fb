"""Reads the corpus: one dialogue a line, as `models/corpus/README.md` describes, and refuses what breaks its rules."""

import json
from dataclasses import dataclass
from pathlib import Path

LABELS = [
    "impersonation", "problem_claim", "proof_theatre", "remote_access", "payment",
    "credential", "pressure", "handover", "safe_conduct",
]
DEMANDS = {"proof_theatre", "remote_access", "payment", "credential"}
SPEAKERS = {"caller", "callee", "unknown"}


class CorpusError(Exception):
    """A line that breaks the format, with its place."""


@dataclass(frozen=True)
class Turn:
    speaker: str
    text: str
    stages: frozenset[str]


@dataclass(frozen=True)
class Dialogue:
    id: str
    family: str
    kind: str
    topic: str
    turns: tuple[Turn, ...]
    deadline: int | None


def load(root: Path) -> list[Dialogue]:
    """Every dialogue below `root`, ordered by file and line, so that a seed means the same everywhere."""
    dialogues, seen = [], set()
    for path in sorted(root.glob("*/*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            dialogue = parse(line, where)
            if dialogue.id in seen:
                raise CorpusError(f"{where}: the id {dialogue.id!r} is used twice; give this dialogue its own")
            seen.add(dialogue.id)
            dialogues.append(dialogue)
    return dialogues


def parse(line: str, where: str) -> Dialogue:
    try:
        raw = json.loads(line)
        turns = tuple(Turn(t["speaker"], t["text"], frozenset(t.get("stages", ()))) for t in raw["turns"])
        dialogue = Dialogue(raw["id"], raw["family"], raw["kind"], raw["topic"], turns, raw.get("deadline"))
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise CorpusError(f"{where}: not a dialogue ({error!r})") from error
    problem = fault(dialogue)
    if problem:
        raise CorpusError(f"{where}: {problem}")
    return dialogue


def fault(d: Dialogue) -> str | None:
    if d.kind not in ("scam", "genuine"):
        return f"kind is {d.kind!r}; write scam or genuine"
    if not d.turns:
        return "no turns"
    for i, turn in enumerate(d.turns, 1):
        if turn.speaker not in SPEAKERS:
            return f"turn {i}: speaker {turn.speaker!r}"
        if not turn.text.strip():
            return f"turn {i}: empty text"
        if not turn.stages <= set(LABELS):
            return f"turn {i}: unknown stages {sorted(turn.stages - set(LABELS))}"
    if d.kind == "genuine" and d.deadline is not None:
        return "a genuine dialogue has no deadline; write null"
    if d.deadline is not None and not 1 <= d.deadline <= len(d.turns):
        return f"deadline {d.deadline} lies outside its {len(d.turns)} turns"
    return None
