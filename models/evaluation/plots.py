"""The report's pictures, as SVG: small, sharp, and a text that a diff can show."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from calls import Outcome  # noqa: E402
from figures import curve, lead, reliability  # noqa: E402

matplotlib.rcParams.update({"svg.hashsalt": "callward", "figure.figsize": (5, 4), "figure.dpi": 100, "font.size": 9})


def save(figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def precision_recall(outcomes: list[Outcome], path: Path) -> None:
    figure, axes = plt.subplots()
    points = curve(outcomes)
    axes.step([p[1] for p in points], [p[2] for p in points], where="post")
    for threshold in (0.3, 0.5, 0.7, 0.9):
        near = min(points, key=lambda p: abs(p[0] - threshold), default=None)
        if near:
            axes.annotate(f"{near[0]:.2f}", (near[1], near[2]), textcoords="offset points", xytext=(-4, -12))
            axes.plot(near[1], near[2], "o", color="C1")
    axes.set(xlabel="scams alarmed before the deadline", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.03))
    axes.set_title("Whole calls, by the threshold of the alarm")
    save(figure, path)


def calibration(outcomes: list[Outcome], path: Path) -> None:
    figure, (upper, lower) = plt.subplots(2, 1, height_ratios=[3, 1], sharex=True)
    table = reliability(outcomes)
    upper.plot([0, 1], [0, 1], color="grey", linestyle=":")
    upper.plot([t[0] for t in table], [t[1] for t in table], "o-")
    upper.set(ylabel="share of scams", title="Highest risk of a call against what it was")
    lower.bar([t[0] for t in table], [t[2] for t in table], width=0.06)
    lower.set(xlabel="highest risk", ylabel="calls")
    save(figure, path)


def leads(outcomes: list[Outcome], path: Path) -> None:
    figure, axes = plt.subplots()
    seconds = [found[1] for o in outcomes if o.call.scam and (found := lead(o))]
    axes.hist(seconds, bins=20)
    axes.axvline(0, color="C3")
    axes.set(xlabel="seconds between alarm and deadline (right of the line: in time)", ylabel="scam calls")
    axes.set_title("How early the alarm came")
    save(figure, path)
