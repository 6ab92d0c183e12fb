"""From dialogues to the model's inputs: how an utterance and its context are put into words, and the variations
(augmentation) that keep the model from clinging to wording, brands, punctuation or speaker names."""

import math
import random
from dataclasses import dataclass

import voices
from corpus import DEMANDS, LABELS, Dialogue, Excerpt, Phrase, Turn
from normaliser import normalise

# They go into `classifier.toml`; `src/classifier/input.rs` composes with them as `compose` does.
CONTEXT_TURNS = 5
CONTEXT_WORDS = 20
OPENING_TURNS = 2
OPENING_WORDS = 24
TARGET_WORDS = 56
# Target and context together: what 208 tokens hold.
TOTAL_WORDS = 148

TOOLS = ["anydesk", "teamviewer", "ultraviewer", "logmein", "supremo", "rustdesk", "screenconnect", "quicksupport",
         "gotoassist", "splashtop", "aeroadmin", "zoho assist", "quick assist", "helplink", "fixmypc", "supportlink"]
BRANDS = ["microsoft", "windows", "apple", "amazon", "norton", "mcafee", "paypal", "google", "bt", "comcast", "virgin media",
          "telstra", "at t", "spectrum", "openreach", "sky", "vodafone", "xfinity", "hp", "dell"]
SWAPPABLE = {**{b: BRANDS for b in BRANDS if " " not in b}, **{t: TOOLS for t in TOOLS if " " not in t}}
KEEP_SPELLING = {"eventvwr", "assoc", "netstat", "cmd", "msconfig", "anydesk", "teamviewer", "ultraviewer", "logmein", "tree"}
# Said by honest people and by liars: they decide nothing.
ASSURANCES = ["this is not a scam", "this is a genuine call", "i am honest with you", "you can trust me", "i am not asking for anything",
              "this call is recorded for training purposes", "don't worry", "i promise you", "it is completely safe", "i'm only trying to help"]
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
    truncation drops the oldest; then comes how the call began, because who asked for what is said there."""
    recent = [f"{s} : {' '.join(t.split()[-CONTEXT_WORDS:])}" for s, t in context[-CONTEXT_TURNS:]]
    opening = [f"first {s} : {' '.join(t.split()[:OPENING_WORDS])}" for s, t in context[:-CONTEXT_TURNS][:OPENING_TURNS]]
    before = " ".join(recent[::-1] + opening).split()
    return f"{speaker} : {text}", " ".join(before[: TOTAL_WORDS - len(text.split())])


def windows(text: str) -> list[str]:
    """Windows of a long utterance, each sharing a quarter with the one before; as `src/classifier/input.rs` cuts them."""
    words, step = text.split(), TARGET_WORDS - TARGET_WORDS // 4
    count = 1 if len(words) <= TARGET_WORDS else 1 + -(-(len(words) - TARGET_WORDS) // step)
    return [" ".join(words[i * step : i * step + TARGET_WORDS]) for i in range(count)]


def vector(stages, scam: bool | None) -> tuple[float, ...]:
    """The outputs wanted, as `corpus.OUTPUTS` names them; not-a-number where the call is none that could be told."""
    call = math.nan if scam is None else float(scam)
    return (*(float(label in stages) for label in LABELS), call)


def plain(dialogue: Dialogue) -> list[Sample]:
    """The dialogue as it is written."""
    return from_turns(dialogue, [Turn(t.speaker, normalise(t.text), t.stages) for t in dialogue.turns], 1.0, None)


def judged(dialogue: Dialogue) -> list[list[tuple[str, str]]]:
    """Per turn the segments that the engine judges: one, or the windows of a long turn."""
    turns, history = [], []
    for turn in dialogue.turns:
        text = normalise(turn.text)
        turns.append([compose(history, turn.speaker, window) for window in windows(text)])
        history = history + [(turn.speaker, text)]
    return turns


def varied(dialogue: Dialogue, rng: random.Random, strangers: dict[str, list[list[tuple[str, str]]]], heard: list[list[str]]) -> list[Sample]:
    """One random variation of the dialogue; as often as not, where recognisers have `heard` it, in the words they heard."""
    said = [t.text for t in dialogue.turns]
    spoken = bool(heard) and rng.random() < 0.5
    texts = rng.choice(heard) if spoken else said
    turns = [Turn(t.speaker, normalise(text), t.stages) for t, text in zip(dialogue.turns, texts, strict=True)]
    if rng.random() < 0.6:
        turns = voices.exchange(turns, said, rng)
    if rng.random() < 0.5:
        turns = swap_names(turns, rng)
    if rng.random() < 0.35:
        turns = merge_turns(turns, rng)
    if rng.random() < 0.25:
        turns = [Turn("unknown", t.text, t.stages) for t in turns]
    if rng.random() < 0.2:
        turns = [Turn(t.speaker, assured(t.text, rng) if t.speaker != "callee" else t.text, t.stages) for t in turns]
    turns = turns if spoken else [Turn(t.speaker, damage(t.text, rng), t.stages) for t in turns]
    turns = [t for t in turns if t.text]
    return from_turns(dialogue, turns, 0.75, (rng, strangers))


def border(phrase: Phrase, rng: random.Random, strangers: dict[str, list[list[tuple[str, str]]]]) -> Sample:
    """A phrase as a caller might say it: alone, within a call of its own kind, or now and then of the other, because the
    words decide and not the company they keep."""
    scam = bool(phrase.stages & DEMANDS)
    own, other = ("scam", "genuine") if scam else ("genuine", "scam")
    roll = rng.random()
    context = [] if roll < 0.5 else rng.choice(strangers[own if roll < 0.85 else other])
    speaker = "unknown" if rng.random() < 0.2 else "caller"
    turn = swap_names([Turn(speaker, damage(normalise(phrase.text), rng), phrase.stages)], rng)[0]
    target, before = compose(context, speaker, turn.text)
    return Sample(target, before, vector(phrase.stages, None), scam, "phrase")


def endings(excerpt: Excerpt, rng: random.Random) -> list[Sample]:
    """Each way the excerpt goes on, by a speaker of its own; never without what was said before, which may be all that decides."""
    samples = []
    for kind, ending in excerpt.endings:
        said = [t.text for t in (*excerpt.lead, ending)]
        turns = [Turn(t.speaker, normalise(t.text), t.stages) for t in (*excerpt.lead, ending)]
        if rng.random() < 0.6:
            turns = voices.exchange(turns, said, rng)
        if rng.random() < 0.3:
            turns = swap_names(turns, rng)
        who = "unknown" if rng.random() < 0.2 else None
        *lead, last = [Turn(who or t.speaker, damage(t.text, rng), t.stages) for t in turns]
        target, before = compose([(t.speaker, t.text) for t in lead], last.speaker, windows(last.text)[0])
        samples.append(Sample(target, before, vector(last.stages, kind == "scam"), kind == "scam", "excerpt"))
    return samples


def from_turns(dialogue, turns, keep_context, mixing) -> list[Sample]:
    samples, history = [], []
    for turn in turns:
        context, scam = history, dialogue.kind == "scam"
        told: bool | None = scam
        if mixing:
            rng, strangers = mixing
            roll = rng.random()
            if roll > keep_context:
                context = []
            elif roll < 0.06 and strangers:
                context, told = rng.choice(strangers[rng.choice(["scam", "genuine"])]), None
        target, before = compose(context, turn.speaker, windows(turn.text)[0])
        samples.append(Sample(target, before, vector(turn.stages, told), scam, dialogue.family))
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


def assured(text: str, rng: random.Random) -> str:
    if rng.random() > 0.25:
        return text
    assurance = rng.choice(ASSURANCES)
    return f"{assurance} {text}" if rng.random() < 0.7 else f"{text} {assurance}"


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
