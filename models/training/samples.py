"""From dialogues to the model's inputs: how an utterance and its context are put into words, and the variations
(augmentation) that keep the model from clinging to wording, brands, punctuation or speaker names."""

import random
from dataclasses import dataclass

from corpus import LABELS, Dialogue, Turn
from normaliser import normalise

# The same three numbers stand in `src/classifier/input.rs`.
CONTEXT_TURNS = 4
CONTEXT_WORDS = 20
TARGET_WORDS = 48

TOOLS = ["anydesk", "teamviewer", "ultraviewer", "logmein", "supremo", "rustdesk", "screenconnect", "quicksupport",
         "gotoassist", "splashtop", "aeroadmin", "zoho assist", "quick assist", "helplink", "fixmypc", "supportlink"]
BRANDS = ["microsoft", "windows", "apple", "amazon", "norton", "mcafee", "paypal", "google", "bt", "comcast", "virgin media",
          "telstra", "at t", "spectrum", "openreach", "sky", "vodafone", "xfinity", "hp", "dell"]
SWAPPABLE = {**{b: BRANDS for b in BRANDS if " " not in b}, **{t: TOOLS for t in TOOLS if " " not in t}}
KEEP_SPELLING = {"eventvwr", "assoc", "netstat", "cmd", "msconfig", "anydesk", "teamviewer", "ultraviewer", "logmein", "tree"}
FILLERS = ["uh", "um", "you know", "okay", "so", "right", "like", "yeah", "sir", "ma'am", "well"]


@dataclass(frozen=True)
class Sample:
    target: str
    context: str
    labels: tuple[float, ...]
    scam: bool
    family: str


def compose(context: list[tuple[str, str]], speaker: str, text: str) -> tuple[str, str]:
    """The model's two segments; texts are normalised already. Context runs from the latest turn back, so that
    truncation drops the oldest."""
    target = f"{speaker} : {text}"
    recent = [(s, " ".join(t.split()[-CONTEXT_WORDS:])) for s, t in context[-CONTEXT_TURNS:]]
    return target, " ".join(f"{s} : {t}" for s, t in reversed(recent))


def vector(stages) -> tuple[float, ...]:
    return tuple(1.0 if label in stages else 0.0 for label in LABELS)


def plain(dialogue: Dialogue) -> list[Sample]:
    """The dialogue as it is written."""
    return from_turns(dialogue, [Turn(t.speaker, normalise(t.text), t.stages) for t in dialogue.turns], 1.0, None)


def varied(dialogue: Dialogue, rng: random.Random, strangers: list[list[tuple[str, str]]]) -> list[Sample]:
    """One random variation of the dialogue."""
    turns = [Turn(t.speaker, normalise(t.text), t.stages) for t in dialogue.turns]
    if rng.random() < 0.5:
        turns = swap_names(turns, rng)
    if rng.random() < 0.35:
        turns = merge_turns(turns, rng)
    if rng.random() < 0.25:
        turns = [Turn("unknown", t.text, t.stages) for t in turns]
    turns = [Turn(t.speaker, damage(t.text, rng), t.stages) for t in turns]
    turns = [t for t in turns if t.text]
    return from_turns(dialogue, turns, 0.75, (rng, strangers))


def from_turns(dialogue, turns, keep_context, mixing) -> list[Sample]:
    samples, history = [], []
    for turn in turns:
        context = history
        if mixing:
            rng, strangers = mixing
            roll = rng.random()
            if roll > keep_context:
                context = []
            elif roll < 0.06 and strangers:
                context = rng.choice(strangers)
        target, before = compose(context, turn.speaker, " ".join(turn.text.split()[:TARGET_WORDS]))
        samples.append(Sample(target, before, vector(turn.stages), dialogue.kind == "scam", dialogue.family))
        history = history + [(turn.speaker, turn.text)]
    return samples


def swap_names(turns: list[Turn], rng: random.Random) -> list[Turn]:
    """The same dialogue in the name of another company and with another tool."""
    mapping = {}
    def other(word):
        if word not in SWAPPABLE:
            return word
        return mapping.setdefault(word, rng.choice(SWAPPABLE[word]))
    return [Turn(t.speaker, " ".join(other(w) for w in t.text.split()), t.stages) for t in turns]


def merge_turns(turns: list[Turn], rng: random.Random) -> list[Turn]:
    """Neighbouring turns of one side in one piece, as a recogniser that waits for a pause hears them."""
    out = []
    for turn in turns:
        if out and out[-1].speaker == turn.speaker and rng.random() < 0.6:
            out[-1] = Turn(turn.speaker, f"{out[-1].text} {turn.text}", out[-1].stages | turn.stages)
        else:
            out.append(turn)
    return out


def damage(text: str, rng: random.Random) -> str:
    """What a recogniser does to speech on a narrow line: words lost, doubled, misheard, fillers in between."""
    if rng.random() < 0.4:
        return text
    out = []
    for word in text.split():
        roll = rng.random()
        if roll < 0.04:
            continue
        if roll < 0.05:
            out.append(word)
        if roll < 0.075 and len(word) > 3:
            word = mishear(word, rng)
        elif word in KEEP_SPELLING and roll < 0.25:
            word = mishear(word, rng)
        if roll > 0.97:
            out.append(rng.choice(FILLERS))
        out.append(word)
    return " ".join(out)


def mishear(word: str, rng: random.Random) -> str:
    i = rng.randrange(len(word))
    return word[:i] + rng.choice(["", "", word[i] + " ", rng.choice("aeiounst")]) + word[i + 1 :]
