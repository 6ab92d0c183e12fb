"""Measures whole calls with `callward analyze` and writes a report: figures with their confidence, pictures, the worst errors.

    python report.py --callward ../../target/release/callward --out report [--outside DIR] [--spoken DIR]

Measured is the corpus's test side, whose families training never saw, its everyday talk included; whatever `outside.py` wrote to --outside, each source for itself; and what recognisers hear of the calls that `../speech/spoken.py` spoke to --spoken.
"""

import argparse
import tomllib
from pathlib import Path

import plots
from calls import Outcome, analyse, corpus_calls, outside_calls, spoken_calls, talk_calls
from corpus import digest
from figures import calibration_error, lead, share, stage_table

HERE = Path(__file__).parent
BOUNDS = [
    ("scam calls alarmed before the deadline turn", "95 %", "scam", lambda o: o.in_time("alarm")),
    ("scam calls alarmed at all", "", "scam", lambda o: o.reached("alarm")),
    ("scam calls cautioned before the deadline turn", "", "scam", lambda o: o.in_time("caution")),
    ("genuine calls with a scam's topic or words that get an alarm", "at most 1 %", "mirror", lambda o: o.reached("alarm")),
    ("everyday calls that get an alarm", "at most 0.1 %", "everyday", lambda o: o.reached("alarm")),
    ("genuine calls with a scam's topic or words that get more than a notice", "", "mirror", lambda o: o.reached("caution")),
    ("genuine bank and broadband calls that get more than a notice", "at most 3 %", "security", lambda o: o.reached("caution")),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--callward", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, default=HERE.parent / "corpus")
    parser.add_argument("--classifier", type=Path, default=HERE.parent / "classifier")
    parser.add_argument("--out", type=Path, default=HERE / "report")
    parser.add_argument("--outside", type=Path, help="a folder that outside.py wrote")
    parser.add_argument("--spoken", type=Path, help="a folder that spoken.py wrote")
    parser.add_argument("--whisper", type=int, default=20, help="spoken calls to hear with Whisper as well")
    parser.add_argument("--all", action="store_true", help="the whole corpus; most of it was trained on")
    o = parser.parse_args()
    calls = corpus_calls(o.corpus, o.all)
    outcomes = analyse(o.callward, o.classifier, calls)
    talk = analyse(o.callward, o.classifier, talk_calls(o.corpus))
    outside = analyse(o.callward, o.classifier, outside_calls(o.outside)) if o.outside else []
    spoken = []
    for engine, most in (("moonshine", len(calls)), ("whisper", o.whisper)) if o.spoken else ():
        spoken += analyse(o.callward, o.classifier, spoken_calls(o.spoken, o.corpus, engine, most), engine)
    o.out.mkdir(parents=True, exist_ok=True)
    parts = [heading(o), bounds(outcomes, talk), sources(outcomes, [*talk, *outside, *spoken]), speech(outcomes, spoken), stages(outcomes), early(outcomes)]
    text = "\n".join(line for part in [*parts, errors([*outcomes, *talk])] for line in part)
    (o.out / "README.md").write_text(text + "\n", encoding="utf-8")
    for name, draw in (("precision-recall", plots.precision_recall), ("calibration", plots.calibration), ("lead", plots.leads)):
        draw(outcomes, o.out / f"{name}.svg")
    print(text.split("## The worst errors")[0])
    print(f"whole report: {o.out / 'README.md'}")


def heading(o) -> list[str]:
    card = tomllib.loads((o.classifier / "classifier.toml").read_text(encoding="utf-8"))
    return [
        "# How well whole calls are told apart",
        f"Classifier {card['version']}, corpus {digest(o.corpus)[:12]}; written by `make eval`. Each share comes with its 95 %",
        "confidence interval. The corpus's test side is a fifth of its families, none of which was trained on.",
        "",
    ]


def bounds(outcomes: list[Outcome], talk: list[Outcome]) -> list[str]:
    """What the classifier must reach. Talk is measured for everyday calls alone; it would make calibration look better than it is."""
    groups = {name: [o for o in outcomes if o.call.dialogue.group == name] for name in ("scam", "mirror", "everyday")}
    groups["everyday"] += talk
    groups["security"] = [o for o in outcomes if o.call.security]
    lines = ["| figure | to reach | measured |", "|---|---|---|"]
    lines += [f"| {name} | {bound} | {share(groups[group], holds)} |" for name, bound, group, holds in BOUNDS]
    lines.append(f"| expected calibration error of the highest risk | at most 0.03 | {calibration_error(outcomes):.3f} |")
    pictures = ["![precision and recall](precision-recall.svg)", "![calibration](calibration.svg)", "![lead](lead.svg)"]
    return [*lines, "", *pictures, ""]


def sources(outcomes: list[Outcome], outside: list[Outcome]) -> list[str]:
    lines = ["## By source", "The corpus here is its test side. `asset` was learned from; `kaggle` and `ftc` (recorded messages, many of them mere", "nuisance) never were.", ""]
    lines += ["| source | kind | caution or alarm | alarm |", "|---|---|---|---|"]
    for source in dict.fromkeys(o.call.source for o in [*outcomes, *outside]):
        for scam in (True, False):
            group = [o for o in [*outcomes, *outside] if o.call.source == source and o.call.scam == scam]
            if group:
                kind = "scam" if scam else "genuine"
                cells = (share(group, lambda o: o.reached("caution")), share(group, lambda o: o.reached("alarm")))
                lines.append(f"| {source} | {kind} | {cells[0]} | {cells[1]} |")
    return [*lines, ""]


def speech(outcomes: list[Outcome], spoken: list[Outcome]) -> list[str]:
    """The same calls as text and as telephone speech, so that only the hearing differs."""
    if not spoken:
        return []
    written = {o.call.dialogue.id: o for o in outcomes}
    lines = ["## What hearing costs", "The same scam calls, alarmed before the deadline:", "", "| recogniser | as text | as heard |", "|---|---|---|"]
    for source in dict.fromkeys(o.call.source for o in spoken):
        heard = [o for o in spoken if o.call.source == source and o.call.scam]
        text = [written[o.call.dialogue.id] for o in heard]
        in_time = lambda o: o.in_time("alarm")  # noqa: E731
        lines.append(f"| {source.removeprefix('spoken, ')} | {share(text, in_time)} | {share(heard, in_time)} |")
    return [*lines, ""]


def stages(outcomes: list[Outcome]) -> list[str]:
    lines = ["## By stage", "| stage | turns | precision | recall | F1 |", "|---|---|---|---|---|"]
    lines += [f"| {name} | {n} | {p:.2f} | {r:.2f} | {f:.2f} |" for name, n, p, r, f in stage_table(outcomes)]
    return [*lines, ""]


def early(outcomes: list[Outcome]) -> list[str]:
    found = [lead(o) for o in outcomes if o.call.scam and lead(o)]
    turns, seconds = (sorted(column) for column in zip(*found)) if found else ([0], [0.0])
    middle = len(turns) // 2
    return [
        "## How early",
        f"Of {len(found)} alarmed scams the alarm came, in the middle, {turns[middle]} turns and {seconds[middle]:.0f} s before the end of the",
        f"deadline turn; a quarter came later than {seconds[len(seconds) // 4]:.0f} s before it.",
        "",
    ]


def errors(outcomes: list[Outcome], most: int = 6) -> list[str]:
    missed = sorted((o for o in outcomes if o.call.scam and not o.in_time("alarm")), key=lambda o: o.risk)
    false = sorted((o for o in outcomes if not o.call.scam and o.reached("caution")), key=lambda o: -o.risk)
    lines = ["## The worst errors", f"{len(missed)} scams not alarmed in time, {len(false)} genuine calls cautioned or alarmed.", ""]
    for title, group in (("Missed scams", missed), ("False warnings", false)):
        lines.append(f"### {title}")
        for outcome in group[:most]:
            lines += whole(outcome)
        if len(group) > most:
            lines += ["Also: " + ", ".join(f"{o.call.dialogue.id} ({o.risk:.2f})" for o in group[most:]), ""]
    return lines


def whole(outcome: Outcome) -> list[str]:
    dialogue = outcome.call.dialogue
    levels = ", ".join(f"{level} at {turn}" for level, turn in outcome.levels.items()) or "no warning"
    lines = [f"**{dialogue.id}** {dialogue.family}: highest risk {outcome.risk:.2f}, {levels}, deadline {dialogue.deadline}", ""]
    for number, (turn, heard, risk) in enumerate(zip(dialogue.turns, outcome.stages, outcome.risks), 1):
        named = ", ".join(f"{stage} {p:.2f}" for stage, p in heard.items() if p >= 0.2)
        meant = ", ".join(sorted(turn.stages))
        note = "; ".join(part for part in (f"labelled {meant}" if meant else "", f"heard {named}" if named else "") if part)
        lines.append(f"{number}. {turn.speaker}: {turn.text} *({risk:.2f}{'; ' + note if note else ''})*")
    return [*lines, ""]


if __name__ == "__main__":
    main()
