"""Platt scaling: one slope and one offset a label, fitted on held-out families, that turn a logit into a probability."""

import numpy as np


def fit_platt(logits: np.ndarray, truth: np.ndarray, rounds: int = 50) -> tuple[float, float]:
    """Newton's method on the log loss with Platt's smoothed targets; a weak pull towards (1, 0) keeps a label with few
    examples sane."""
    positives, negatives = truth.sum(), len(truth) - truth.sum()
    target = np.where(truth > 0.5, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    a, b, pull = 1.0, 0.0, 2.0
    x = np.stack([logits, np.ones_like(logits)], axis=1).astype(np.float64)
    for _ in range(rounds):
        p = 1 / (1 + np.exp(-np.clip(a * logits + b, -30, 30)))
        gradient = x.T @ (p - target) + pull * np.array([a - 1.0, b])
        hessian = (x * (p * (1 - p))[:, None]).T @ x + pull * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        a, b = a - step[0], b - step[1]
        if np.abs(step).max() < 1e-6:
            break
    return round(float(np.clip(a, 0.2, 3.0)), 4), round(float(np.clip(b, -4.0, 4.0)), 4)
