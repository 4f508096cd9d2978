"""A run folder to model files with their contract, proven and scored before any is written."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from emopi.convert.calibration import choose_clips
from emopi.convert.card import render_card
from emopi.convert.operators import check_operators
from emopi.convert.parity import Parity, compare_with_keras
from emopi.convert.quantize import to_tflite
from emopi.device.audio import read_clip
from emopi.device.classifier import Classifier
from emopi.device.contract import Contract, Precision, attach
from emopi.device.errors import RunError
from emopi.device.frontend import Floats, FrontendSpec, extract
from emopi.device.normalization import Normalization
from emopi.train.backend import load_model
from emopi.train.corpora import LABELS, Ravdess, Utterance, corpus_hash
from emopi.train.dataset import cut
from emopi.train.evaluate import Evaluation, evaluate
from emopi.train.fit import training_side
from emopi.train.run_record import RunRecord, commit, write_atomically
from emopi.train.training import MODEL

LICENCE = (
    "Trained on RAVDESS (CC BY-NC-SA 4.0, Livingstone and Russo 2018): use it for "
    "non-commercial purposes, with attribution, and share what is derived from it alike."
)


@dataclasses.dataclass(frozen=True, slots=True)
class Bundled:
    """One converted model, before it is written."""

    content: bytes
    parity: Parity
    evaluation: Evaluation

    @property
    def name(self) -> str:
        """File name, such as "cnn-int8.tflite"."""
        contract = self.evaluation.contract
        return f"{contract.network}-{contract.precision}.tflite"


def bundle(
    run: Path,
    out: Path,
    corpus: Path | None,
    *,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Bundled]:
    """Convert a finished run to float32 and int8, prove, score and write both, and their card.

    `corpus` is by default where the run found it. Everything is checked before the first file is
    written. Raises `RunError` for an unfinished run or another corpus, `ConversionError` for a
    model that fails a check.
    """
    record = RunRecord.read(run)
    if not record.finished:
        raise RunError(
            f"{run} is not finished: {record.epochs_done} of {record.recipe['epochs']} epochs. "
            "Go on with: emopi train ... --resume"
        )
    corpus = corpus or Path(record.corpus["folder"])
    if not corpus.is_dir():
        raise RunError(f"{corpus}, where {run} found RAVDESS, is gone; say where: --corpus DIR")
    utterances = Ravdess.read(corpus)
    if corpus_hash(utterances) != record.corpus["sha256"]:
        raise RunError(f"{corpus} is not what {run} was trained on: its SHA-256 differs")
    clips = choose_clips(training_side(utterances, record))
    spec = FrontendSpec.from_json(record.recipe["frontend"])
    windows = calibration_windows(clips, spec, record.recipe["window_frames"])
    model = load_model(run / MODEL)
    bundled = []
    for precision in get_args(Precision):
        tell(f"{record.network} {precision}: convert, check, score")
        contract = _contract(record, spec, precision, clips)
        bundled.append(_prove(record, model, contract, windows, corpus))
    out.mkdir(parents=True, exist_ok=True)
    for one in bundled:
        write_atomically(out / one.name, one.content)
    card = render_card(record, [one.evaluation for one in bundled])
    write_atomically(out / f"{record.network}.md", card.encode())
    return bundled


def _prove(
    record: RunRecord, model: Any, contract: Contract, windows: Floats, corpus: Path
) -> Bundled:
    """Convert to one precision; check operators, parity with Keras; score the test clips."""
    network, precision = contract.network, contract.precision
    normalized = contract.normalization.apply(windows)
    flatbuffer = to_tflite(model, network, precision, normalized)
    check_operators(flatbuffer, network, precision)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(attach(flatbuffer, contract))
        parity = compare_with_keras(model, Classifier(path), windows)
        evaluation = evaluate(path, corpus, record.protocol, record.fold)
    scored = dataclasses.replace(contract, scores=(evaluation.score,))
    return Bundled(attach(flatbuffer, scored), parity, evaluation)


def _contract(
    record: RunRecord, spec: FrontendSpec, precision: Precision, clips: tuple[Utterance, ...]
) -> Contract:
    recipe = record.recipe
    return Contract(
        network=record.network,
        precision=precision,
        labels=LABELS,
        frontend=spec,
        normalization=Normalization.from_json(record.normalization),
        window_frames=recipe["window_frames"],
        training={
            "corpus": record.corpus["name"],
            "corpus_sha256": record.corpus["sha256"],
            "corpus_source": Ravdess.source,
            "protocol": record.protocol,
            "fold": record.fold,
            "clips": record.corpus["train"],
            "validation_share": record.validation_share,
            "recipe": {k: v for k, v in recipe.items() if k not in ("frontend", "network")},
            "minutes": round(record.seconds / 60, 1),
            "commit": record.commit,
            "conversion_commit": commit(),
            "versions": record.versions,
            "hardware": record.hardware,
        },
        calibration=tuple(clip.clip_id for clip in clips) if precision == "int8" else (),
        scores=(),
        licence=LICENCE,
        model_sha256="",
    )


def calibration_windows(clips: Sequence[Utterance], spec: FrontendSpec, n_frames: int) -> Floats:
    """(2 * clips, n_frames, n_mfcc): of each clip the middle, and a window that ends inside it.

    The converter sees an LSTM's cell state only after a window's last frame. Windows that all end
    in the pause behind the speech would give it a range that the speech itself exceeds (measured:
    2 instead of 10, and probabilities off by 0.03 in the mean).
    """
    middles, ending_inside = [], []
    for number, clip in enumerate(clips):
        frames = extract(read_clip(clip.path, spec.sample_rate_hz), spec)
        middles.append(cut(frames, (len(frames) - n_frames) // 2, n_frames, spec))
        end = round(len(frames) * (0.2 + 0.6 * number / len(clips)))
        ending_inside.append(cut(frames, end - n_frames, n_frames, spec))
    return np.stack(middles + ending_inside)
