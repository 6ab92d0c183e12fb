"""What simpler models do on the same split as the shipped one: TF-IDF with logistic regression, and the frozen encoder
with a trained head. Prints F1 per stage and the share of genuine turns that get a demand.

    python baselines.py --base DIR [--corpus ../corpus] [--classifier ../classifier]

The shipped model is measured beside them, as the engine runs it (int8).
"""

import argparse
import tomllib
from pathlib import Path

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import export
from corpus import DEMANDS, LABELS, load, side
from model import StageModel
from samples import Sample, plain
from train import load_tokenizer

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, default=HERE.parent / "corpus")
    parser.add_argument("--classifier", type=Path, default=HERE.parent / "classifier")
    o = parser.parse_args()
    card = tomllib.loads((o.classifier / "classifier.toml").read_text(encoding="utf-8"))
    dialogues = load(o.corpus)
    train = [s for d in dialogues if side(d) != "test" for s in plain(d)]
    held = [s for d in dialogues if side(d) == "test" for s in plain(d)]
    print(f"{len(train)} turns to learn from, {len(held)} held out")
    truth = np.array([s.labels for s in held]) > 0.5
    results = {
        "tf-idf": tf_idf(train, held),
        "frozen": frozen(o.base, train, held),
        "shipped": shipped(o.classifier, card, held),
    }
    print(f"{'stage':15} {'n':>4} " + " ".join(f"{name:>8}" for name in results))
    for i, label in enumerate(LABELS):
        print(f"{label:15} {truth[:, i].sum():4} " + " ".join(f"{f1(p[:, i], truth[:, i]):8.2f}" for p in results.values()))
    print(f"{'mean F1':20} " + " ".join(f"{np.mean([f1(p[:, i], truth[:, i]) for i in range(len(LABELS))]):8.2f}" for p in results.values()))
    demands = [LABELS.index(label) for label in DEMANDS]
    genuine = np.array([not s.scam for s in held])
    print(f"{'false demands':20} " + " ".join(f"{(p[genuine][:, demands] > 0.5).any(1).mean():8.3f}" for p in results.values()))


def f1(probability: np.ndarray, truth: np.ndarray) -> float:
    hit = probability > 0.5
    return 2 * (hit & truth).sum() / max(hit.sum() + truth.sum(), 1)


def logistic(strength: float) -> OneVsRestClassifier:
    return OneVsRestClassifier(LogisticRegression(max_iter=2000, class_weight="balanced", C=strength))


def tf_idf(train: list[Sample], held: list[Sample]) -> np.ndarray:
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    inputs = words.fit_transform(s.target for s in train)
    model = logistic(4.0).fit(inputs, np.array([s.labels for s in train]))
    return model.predict_proba(words.transform(s.target for s in held))


def frozen(base: Path, train: list[Sample], held: list[Sample]) -> np.ndarray:
    encoder, tokenizer = StageModel(str(base)).eval(), load_tokenizer(base / "tokenizer.json")
    encoder.head = torch.nn.Identity()

    def embed(samples: list[Sample]) -> np.ndarray:
        rows = []
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            for at in range(0, len(samples), 32):
                piece = samples[at : at + 32]
                encoded = [tokenizer.encode(s.target, s.context) if s.context else tokenizer.encode(s.target) for s in piece]
                rows.append(encoder(**{k: torch.from_numpy(v) for k, v in export.pad(encoded).items()}).float().numpy())
        return np.concatenate(rows)

    # Scaled, or the fit takes longer than the embedding.
    model = make_pipeline(StandardScaler(), logistic(0.1)).fit(embed(train), np.array([s.labels for s in train]))
    return model.predict_proba(embed(held))


def shipped(folder: Path, card: dict, held: list[Sample]) -> np.ndarray:
    logits = export.Session(folder).logits([(s.target, s.context) for s in held])
    slope, offset = (np.array([label[key] for label in card["labels"]]) for key in ("slope", "offset"))
    return 1 / (1 + np.exp(-(slope * logits[:, : len(LABELS)] + offset)))


if __name__ == "__main__":
    main()
