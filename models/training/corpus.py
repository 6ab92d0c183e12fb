"""Reads the corpus: one dialogue a line, as `models/corpus/README.md` describes, and refuses what breaks its rules."""

import hashlib
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "evaluation"))

LABELS = [
    "impersonation", "problem_claim", "proof_theatre", "remote_access", "payment",
    "credential", "pressure", "handover", "safe_conduct",
]
# What the network puts out: the stages of the utterance, and whether the call so far reads as a scam.
OUTPUTS = [*LABELS, "scam"]
DEMANDS = {"proof_theatre", "remote_access", "payment", "credential", "pressure"}
SPEAKERS = {"caller", "callee", "unknown"}
# What everyday talk is about, and words that make a mirror of it all the same: computer help, codes, money, retold scams.
EVERYDAY_TOPICS = {"family", "other", "health"}
SCRIPT_WORDS = re.compile(
    r"\b(scam\w*|fraud\w*|virus|hack\w*|remote|any ?desk|team ?viewer|quick (assist|support)|screen|computer|windows|microsoft|password|"
    r"passcode|pin|codes?|gift cards?|card|bank\w*|account|transfer|crypto|bitcoin|social security|police|warrant)\b", re.IGNORECASE)


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

    @property
    def group(self) -> str:
        """`scam`; `mirror`, a genuine call with a scam's topic or words; `everyday`, any other."""
        if self.kind == "scam":
            return "scam"
        if self.topic == "talk":
            return "everyday"
        plain = self.topic in EVERYDAY_TOPICS and not any(SCRIPT_WORDS.search(turn.text) for turn in self.turns)
        return "everyday" if plain else "mirror"


@dataclass(frozen=True)
class Phrase:
    """One sentence at the border of a stage, without a dialogue."""

    text: str
    stages: frozenset[str]


def load_phrases(root: Path) -> list[Phrase]:
    """`phrases/*.tsv`: the stages, comma-separated, or `none`; a tab; the sentence."""
    phrases = []
    for path in sorted(root.glob("phrases/*.tsv")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            labels, tab, text = line.partition("\t")
            stages = frozenset() if labels == "none" else frozenset(labels.split(","))
            if not tab or not text.strip() or not stages <= set(LABELS):
                raise CorpusError(f"{path}:{number}: write stages or none, a tab and a sentence")
            phrases.append(Phrase(text, stages))
    return phrases


@dataclass(frozen=True)
class Excerpt:
    """Some turns out of a call, and ways in which it goes on: as a scammer would (a demand is in the labels) or an honest caller."""

    lead: tuple[Turn, ...]
    endings: tuple[tuple[str, Turn], ...]


LINE = re.compile(r"([<>+-])\s*(?:\[([a-z_,\s]+)\])?\s*(\S.*)")


def load_excerpts(root: Path) -> list[Excerpt]:
    """`excerpts/*.txt`: paragraphs of `> caller`, `< callee`, then `+ [stages] a scammer's ending` and `- an honest one`."""
    excerpts = []
    for path in sorted(root.glob("excerpts/*.txt")):
        excerpts += [parse_excerpt(paragraph, f"{path}: paragraph {number}") for number, paragraph in paragraphs(path)]
    return excerpts


def paragraphs(path: Path) -> Iterator[tuple[int, str]]:
    """What empty lines divide, counted from 1."""
    return enumerate(re.split(r"\n\s*\n", path.read_text(encoding="utf-8").strip()), 1)


def parse_excerpt(paragraph: str, where: str) -> Excerpt:
    lead, endings = [], []
    for line in paragraph.splitlines():
        found = LINE.fullmatch(line.strip())
        if not found:
            raise CorpusError(f"{where}: write >, <, + or -, stages in brackets, then what is said: {line!r}")
        mark, labels, text = found.groups()
        stages = frozenset(label.strip() for label in (labels or "").split(",") if label.strip())
        if not stages <= set(LABELS) or (mark == "<" and stages):
            raise CorpusError(f"{where}: stages {sorted(stages)} in {line!r}")
        if mark in "+-" and bool(stages & DEMANDS) != (mark == "+"):
            raise CorpusError(f"{where}: a demand makes a scammer's ending (+), and nothing else does: {line!r}")
        if mark in "<>" and endings:
            raise CorpusError(f"{where}: a lead after the endings; leave a line empty before {line!r}")
        turn = Turn("callee" if mark == "<" else "caller", text, stages)
        if mark in "<>":
            lead.append(turn)
        else:
            endings.append(("scam" if mark == "+" else "genuine", turn))
    if not endings:
        raise CorpusError(f"{where}: nothing goes on from it")
    return Excerpt(tuple(lead), tuple(endings))


def load(root: Path) -> list[Dialogue]:
    """Every dialogue written for Callward, ordered by file and line, so that a seed means the same everywhere."""
    dialogues, seen = [], set()
    for path in sorted(root.glob("genuine/*.jsonl")) + sorted(root.glob("scam/*.jsonl")):
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


def load_talk(root: Path) -> list[Dialogue]:
    """`talk/*.txt`: everyday calls, paragraphs of `> caller` and `< callee`. However often they speak of codes or cards, they
    count as everyday talk, so that they flatter no figure of mirrors."""
    dialogues = []
    for path in sorted(root.glob("talk/*.txt")):
        for number, paragraph in paragraphs(path):
            turns = []
            for line in paragraph.splitlines():
                mark, text = line[:2], line[2:].strip()
                if mark not in ("> ", "< ") or not text:
                    raise CorpusError(f"{path}: paragraph {number}: write > or <, a blank, then what is said: {line!r}")
                turns.append(Turn("caller" if mark == "> " else "callee", text, frozenset()))
            name = f"{path.stem}-{number:03}"
            dialogues.append(Dialogue(name, name, "genuine", "talk", tuple(turns), None))
    return dialogues


def digest(root: Path) -> str:
    """Names the corpus as it is: SHA-256 over all of its files."""
    total = hashlib.sha256()
    for path in sorted(root.glob("*/*")):
        total.update(path.read_bytes())
    return total.hexdigest()


def load_outside(root: Path, data: Path) -> list[Dialogue]:
    """Public dialogues with the labels of `outside/asset.jsonl`; their texts are no part of the corpus."""
    import outside

    texts = {name: turns for name, _, turns in outside.asset(data)}
    dialogues = []
    for line in (root / "outside" / "asset.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        stages = {int(number): frozenset(labels) for number, labels in row["stages"].items()}
        turns = [Turn(who, text, stages.get(n, frozenset())) for n, (who, text) in enumerate(texts[row["name"]], 1)]
        dialogues.append(Dialogue(f"asset/{row['name']}", f"asset/{row['name']}", "scam", row["topic"], tuple(turns), row["deadline"]))
    return dialogues


def load_heard(root: Path) -> dict[str, list[list[str]]]:
    """`heard/*.jsonl`: by dialogue the texts of its turns, once for each recogniser that heard it (see `../speech/hear.py`)."""
    heard: dict[str, list[list[str]]] = {}
    for path in sorted(root.glob("heard/*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            heard.setdefault(row["id"], []).append(row["turns"])
    return heard


def side(dialogue: Dialogue) -> str:
    """`learn`, `calibrate` (a tenth) or `test` (a fifth), by family: a family's dialogues share their plot, and seeing one gives
    away the rest. Of the everyday calls half test, because what is sought there is one in a thousand. By hash, so that a corpus
    that grows keeps its sides."""
    draw = hashlib.sha256(dialogue.family.encode()).digest()[0] % 10
    if dialogue.topic == "talk":
        return "test" if draw < 5 else "learn"
    return "test" if draw < 2 else "calibrate" if draw < 3 else "learn"


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
