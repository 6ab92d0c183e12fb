"""Fits the risk of a call to the scores of the calibration side that `train.py` leaves, and draws what each threshold would do.

    python risk.py [--work work] [--corpus ../corpus]

Prints the constants of `src/screening/risk.rs`, whose arithmetic `evidence` and `risks` repeat, and a table of
thresholds: scams alarmed in time against genuine calls alarmed. The weights are fitted to the calibration side only; the
test side is printed beside it and decides nothing.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from corpus import DEMANDS, LABELS, Dialogue, load

HERE = Path(__file__).parent
PROBLEM, HANDOVER, SAFE, CALL = (*map(LABELS.index, ("problem_claim", "handover", "safe_conduct")), len(LABELS))
# As in `risk.rs`.
TRUST = np.array([{"pressure": 0.5}.get(label, 0.95 * (label in DEMANDS)) for label in LABELS])
FLOOR, CERTAIN, CALLEE, NEGATION, FRESH, TONE_LIMIT, RELIEVING = -3.0, 4.0, 0.3, 0.5, 0.25, 4.0, 0.6
# The log-odds that a call without a demand may reach: a probability of 0.35.
CLAIMS_LIMIT = float(np.log(0.35 / 0.65))
NAMES = ["BIAS", "TONE", "PROBLEM", "HANDOVER", "SAFE", "DEMAND"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=HERE / "work")
    parser.add_argument("--corpus", type=Path, default=HERE.parent / "corpus")
    o = parser.parse_args()
    dialogues = {d.id: d for d in load(o.corpus)}
    sides = {}
    for name in ("calibrate", "test"):
        scores = json.loads((o.work / f"{name}.json").read_text(encoding="utf-8"))
        sides[name] = [(dialogues[i], evidence(dialogues[i], np.array(rows))) for i, rows in scores.items()]
    weights = fit(sides["calibrate"])
    print(", ".join(f"{name} {weight:.2f}" for name, weight in zip(NAMES, weights)))
    for name, calls in sides.items():
        print(f"\n{name}: {len(calls)} calls")
        thresholds(calls, weights)


def evidence(dialogue: Dialogue, scores: np.ndarray) -> np.ndarray:
    """Per turn the tone of the call, in -1..=1; how clearly a problem and a handover were heard so far; the relief of safe
    conduct, negative; and the clearest demand."""
    tone, problem, handover, safe, demand, out = 0.0, 0.0, 0.0, 0.0, 0.0, []
    for turn, row in zip(dialogue.turns, scores, strict=True):
        tone += FRESH * (np.clip(logit(row[CALL]) / TONE_LIMIT, -1, 1) - tone)
        some = 1 - np.prod(1 - TRUST * row[:CALL])
        share = CALLEE if turn.speaker == "callee" else 1.0
        demand = max(demand, np.clip((logit(some) - FLOOR) / (CERTAIN - FLOOR), 0, 1) * share * (1 - NEGATION * row[SAFE]))
        if turn.speaker != "callee":
            problem, handover, safe = max(problem, row[PROBLEM]), max(handover, row[HANDOVER]), max(safe, row[SAFE])
        out.append([tone, problem, handover, -max(0.0, (safe - RELIEVING) / (1 - RELIEVING)), demand])
    return np.array(out)


def logit(p: float) -> float:
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return np.log(p / (1 - p))


def log_odds(heard: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Of a scam, after each turn."""
    return np.minimum(weights[0] + heard[:, :-1] @ weights[1:-1], CLAIMS_LIMIT) + weights[-1] * heard[:, -1]


def risks(heard: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-log_odds(heard, weights)))


def fit(calls) -> np.ndarray:
    """Log loss of the highest risk: a scam's up to its deadline, a genuine call's of the whole."""
    def loss(weights):
        total = 0.0
        for dialogue, heard in calls:
            odds = log_odds(heard, weights)
            total += np.logaddexp(0, -odds[: dialogue.deadline].max() if dialogue.kind == "scam" else odds.max())
        return total / len(calls) + 1e-3 * (weights**2).mean()
    start = np.array([-4.0, 2.0, 2.0, 1.0, 1.0, 7.0])
    return minimize(loss, start, method="L-BFGS-B", bounds=[(-9.0, -1.0)] + [(0.0, 15.0)] * 5).x


def thresholds(calls, weights) -> None:
    rows = []
    for dialogue, heard in calls:
        p = risks(heard, weights)
        rows.append((dialogue, p.max(), p[: dialogue.deadline or len(p)].max()))
    scams = [r for r in rows if r[0].kind == "scam"]
    hard, everyday = ([r for r in rows if r[0].group == name] for name in ("mirror", "everyday"))
    security = [r for r in hard if r[0].topic in ("bank", "broadband")]
    print(f"scams {len(scams)}, hard mirrors {len(hard)} (bank and broadband {len(security)}), everyday {len(everyday)}; "
          f"calibration error {calibration_error(rows):.3f}")
    print("at least   in time   at all    hard  everyday  bank+broadband")
    share = lambda group, column, t: np.mean([r[column] >= t for r in group])
    for t in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95):
        print(f"  {t:.2f}     {share(scams, 2, t):7.1%}  {share(scams, 1, t):7.1%} {share(hard, 1, t):7.1%}  {share(everyday, 1, t):7.1%}  {share(security, 1, t):7.1%}")


def calibration_error(rows, bins: int = 10) -> float:
    """Expected calibration error of the call's highest risk, ten bins of equal width."""
    p = np.array([r[1] for r in rows])
    truth = np.array([r[0].kind == "scam" for r in rows])
    index = np.minimum((p * bins).astype(int), bins - 1)
    return sum(abs(p[index == b].mean() - truth[index == b].mean()) * (index == b).mean() for b in range(bins) if (index == b).any())


if __name__ == "__main__":
    main()
