"""Figures over outcomes. Nothing here reads or draws."""

import math

from calls import Outcome
from corpus import LABELS


def interval(hits: int, count: int) -> tuple[float, float]:
    """95 % confidence interval of a share (Wilson 1927), which stays honest at 0 and 1 and with few calls."""
    if count == 0:
        return 0.0, 1.0
    z, p = 1.96, hits / count
    centre = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(p * (1 - p) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return max(0.0, centre - half), min(1.0, centre + half)


def share(outcomes: list[Outcome], holds) -> str:
    """`63.9 % (47.6 to 77.5, 23 of 36)`."""
    hits, count = sum(map(holds, outcomes)), len(outcomes)
    if count == 0:
        return "none to measure"
    low, high = interval(hits, count)
    return f"{hits / count:.1%} ({low:.1%} to {high:.1%}; {hits} of {count})"


def reliability(outcomes: list[Outcome], bins: int = 10) -> list[tuple[float, float, int]]:
    """Per bin of the highest risk: mean risk, share of scams, number of calls. Empty bins are left out."""
    table = []
    for b in range(bins):
        inside = [o for o in outcomes if min(int(o.risk * bins), bins - 1) == b]
        if inside:
            mean = sum(o.risk for o in inside) / len(inside)
            table.append((mean, sum(o.call.scam for o in inside) / len(inside), len(inside)))
    return table


def calibration_error(outcomes: list[Outcome]) -> float:
    """Expected calibration error of a call's highest risk (Guo et al. 2017), ten bins of equal width."""
    return sum(abs(mean - truth) * count for mean, truth, count in reliability(outcomes)) / max(len(outcomes), 1)


def curve(outcomes: list[Outcome]) -> list[tuple[float, float, float]]:
    """Threshold, recall before the deadline, precision, for each threshold at which something changes."""
    points = []
    for threshold in sorted({o.risk for o in outcomes}):
        caught = sum(o.call.scam and timely_risk(o) >= threshold for o in outcomes)
        false = sum(not o.call.scam and o.risk >= threshold for o in outcomes)
        if caught + false:
            points.append((threshold, caught / max(sum(o.call.scam for o in outcomes), 1), caught / (caught + false)))
    return points


def timely_risk(outcome: Outcome) -> float:
    """The highest risk up to the deadline turn."""
    until = outcome.call.dialogue.deadline or len(outcome.risks)
    return max(outcome.risks[:until], default=0.0)


def lead(outcome: Outcome) -> tuple[int, float] | None:
    """Turns and seconds by which the alarm came before the deadline turn's end; None without alarm or deadline."""
    deadline = outcome.call.dialogue.deadline
    if deadline is None or "alarm" not in outcome.levels or deadline > len(outcome.ends_ms):
        return None
    at = outcome.levels["alarm"]
    return deadline - at, (outcome.ends_ms[deadline - 1] - outcome.ends_ms[at - 1]) / 1000


def stage_table(outcomes: list[Outcome]) -> list[tuple[str, int, float, float, float]]:
    """Stage, turns that have it, precision, recall, F1 at a probability of one half."""
    rows = []
    turns = [(turn, heard) for o in outcomes if o.call.labelled for turn, heard in zip(o.call.dialogue.turns, o.stages)]
    for label in LABELS:
        true = sum(label in turn.stages for turn, _ in turns)
        hit = sum(heard.get(label, 0.0) > 0.5 for _, heard in turns)
        both = sum(label in turn.stages and heard.get(label, 0.0) > 0.5 for turn, heard in turns)
        rows.append((label, true, both / max(hit, 1), both / max(true, 1), 2 * both / max(hit + true, 1)))
    return rows
