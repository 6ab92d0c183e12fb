"""Calls to measure with, and what `callward analyze` makes of them. It runs the shipped model exactly as a live call does."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "training"))

from corpus import Dialogue, Turn, load, load_talk, side  # noqa: E402

SECURITY = {"bank", "broadband"}
# A victim has not complied before this long after the deadline turn's end.
ANSWERED_MS = 1000


@dataclass(frozen=True)
class Call:
    """A dialogue, and where it comes from: `corpus`, a recogniser that heard it, or an outside source."""

    source: str
    dialogue: Dialogue
    # Whether its turns carry labels that utterances can be held against.
    labelled: bool = True
    # A recording of it, 8 kHz, and where each of its turns ends.
    recording: Path | None = None
    turn_ends_ms: tuple[int, ...] = ()

    @property
    def scam(self) -> bool:
        return self.dialogue.kind == "scam"

    @property
    def security(self) -> bool:
        return not self.scam and self.dialogue.topic in SECURITY


@dataclass
class Outcome:
    """What Callward said of a call: per utterance its stages and the risk, per level the utterance (from 1) that raised it."""

    call: Call
    risk: float
    verdict: str
    levels: dict[str, int] = field(default_factory=dict)
    warned_at_ms: dict[str, int] = field(default_factory=dict)
    ends_ms: list[int] = field(default_factory=list)
    stages: list[dict[str, float]] = field(default_factory=list)
    risks: list[float] = field(default_factory=list)

    def reached(self, level: str) -> bool:
        order = ["notice", "caution", "alarm"]
        return any(name in self.levels for name in order[order.index(level) :])

    def in_time(self, level: str) -> bool:
        """Raised no later than the deadline turn; a call without one (outside sources) counts when raised at all. Of a
        recording: no later than `ANSWERED_MS` after that turn's end, before the victim has answered."""
        order = ["notice", "caution", "alarm"]
        levels = [name for name in order[order.index(level) :] if name in self.levels]
        deadline = self.call.dialogue.deadline
        if deadline is None:
            return bool(levels)
        if self.call.turn_ends_ms:
            return any(self.warned_at_ms[name] <= self.call.turn_ends_ms[deadline - 1] + ANSWERED_MS for name in levels)
        return any(self.levels[name] <= deadline for name in levels)


def corpus_calls(root: Path, everything: bool) -> list[Call]:
    """The test side of the corpus (or all of it), and what recognisers heard of its calls."""
    calls = []
    for dialogue in load(root):
        if everything or side(dialogue) == "test":
            calls.append(Call("corpus", dialogue))
    return calls


def talk_calls(root: Path) -> list[Call]:
    """The test side of the everyday calls."""
    return [Call("everyday talk", dialogue, labelled=False) for dialogue in load_talk(root) if side(dialogue) == "test"]


def spoken_calls(root: Path, corpus: Path, engine: str, most: int) -> list[Call]:
    """What `../speech/spoken.py` recorded of the test side, to be heard by `engine`."""
    dialogues = {d.id: d for d in load(corpus)}
    calls = []
    for path in sorted(root.glob("*.json")):
        if path.stem in dialogues and len(calls) < most:
            ends = tuple(json.loads(path.read_text(encoding="utf-8"))["ends_ms"])
            calls.append(Call(f"spoken, {engine}", dialogues[path.stem], False, path.with_suffix(".wav"), ends))
    return calls


def outside_calls(root: Path) -> list[Call]:
    """What `outside.py` wrote: SOURCE/KIND/NAME.jsonl, without labels or deadlines."""
    calls = []
    for path in sorted(root.glob("*/*/*.jsonl")):
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        turns = tuple(Turn(line["speaker"], line["text"], frozenset()) for line in lines)
        kind = path.parent.name
        dialogue = Dialogue(path.stem, path.stem, kind, "bank", turns, None)
        calls.append(Call(path.parent.parent.name, dialogue, labelled=False))
    return calls


def analyse(callward: Path, classifier: Path, calls: list[Call], engine: str = "moonshine") -> list[Outcome]:
    """Puts the calls through `callward analyze --json`, a hundred at a time."""
    environment = os.environ | {"CALLWARD_SCREENING__CLASSIFIER": str(classifier.resolve()), "CALLWARD_SPEECH__ENGINE": engine}
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        for start in range(0, len(calls), 100):
            batch = calls[start : start + 100]
            paths = [write(Path(folder) / f"{start + i:06}.jsonl", call) for i, call in enumerate(batch)]
            run = subprocess.run([callward, "analyze", "--json", *paths], check=True, capture_output=True, text=True, env=environment)
            outcomes += read(run.stdout, batch)
    return outcomes


def write(path: Path, call: Call) -> str:
    if call.recording:
        return str(call.recording)
    lines = [json.dumps({"speaker": t.speaker, "text": t.text}) for t in call.dialogue.turns]
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def read(output: str, calls: list[Call]) -> list[Outcome]:
    outcomes, waiting = [], iter(calls)
    current = Outcome(next(waiting), 0.0, "")
    for event in map(json.loads, output.splitlines()):
        match event["event"]:
            case "utterance":
                current.ends_ms.append(event["end_ms"])
                current.stages.append(event["stages"])
                current.risks.append(event["risk"])
            case "warning":
                current.levels.setdefault(event["level"], len(current.ends_ms))
                current.warned_at_ms.setdefault(event["level"], event["at_ms"])
            case "summary":
                current.risk, current.verdict = event["risk"], event["verdict"]
                outcomes.append(current)
                current = Outcome(next(waiting, calls[-1]), 0.0, "")
    return outcomes
