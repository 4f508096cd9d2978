"""A run folder to model files with their contract, proven and scored before any is written."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from emopi.convert.calibration import choose_clips
from emopi.convert.card import licence, render_card
from emopi.convert.expected import Expected, scores_of
from emopi.convert.operators import check_operators
from emopi.convert.parity import Parity, compare_with_keras
from emopi.convert.quantize import to_tflite
from emopi.device.audio import read_clip
from emopi.device.classifier import Classifier
from emopi.device.contract import Contract, Precision, Score, attach
from emopi.device.errors import RunError
from emopi.device.files import write_atomically
from emopi.device.frontend import Floats, FrontendSpec, extract
from emopi.device.normalization import Normalization
from emopi.train.backend import load_model
from emopi.train.corpora import (
    LABELS,
    Corpora,
    Utterance,
    corpus_hash,
    ids_hash,
    read_corpora,
)
from emopi.train.dataset import cut
from emopi.train.evaluate import Evaluation, evaluate
from emopi.train.fit import training_side
from emopi.train.run_record import RunRecord, commit
from emopi.train.training import MODEL


@dataclasses.dataclass(frozen=True, slots=True)
class Bundled:
    """One converted model, before it is written."""

    content: bytes
    contract: Contract
    """With its scores, without `model_sha256`."""
    parity: Parity
    tested: Evaluation | None
    """On the fold's test clips; None if it has none."""

    @property
    def precision(self) -> Precision:
        """Of input, output and weights."""
        return self.contract.precision

    @property
    def name(self) -> str:
        """File name, such as "cnn-int8.tflite"."""
        return f"{self.contract.network}-{self.precision}.tflite"

    @property
    def evaluation(self) -> Evaluation:
        """`tested`, where there is something to test on."""
        if not self.tested:
            raise RunError(f"{self.name} has no test clips, so there is no evaluation of it")
        return self.tested


def bundle(
    run: Path,
    out: Path,
    corpus: Path | Sequence[Path] | None,
    *,
    expected: Expected = (),
    tell: Callable[[str], None] = lambda _: None,
) -> list[Bundled]:
    """Convert a finished run to float32 and int8, prove, score and write both, and their card.

    `corpus` is by default where the run found it. `expected` is what the same recipe scored under
    protocols that hold clips out, for contract and card. Everything is checked before the first
    file is written. Raises `RunError` for an unfinished run or another corpus, `ConversionError`
    for a model that fails a check.
    """
    record = RunRecord.read(run)
    if not record.finished:
        raise RunError(
            f"{run} is not finished: {record.epochs_done} of {record.recipe['epochs']} epochs. "
            "Go on with: emopi train ... --resume"
        )
    corpora = _corpora(run, record, corpus)
    side = training_side(corpora.utterances, record)
    clips = choose_clips(side)
    spec = FrontendSpec.from_json(record.recipe["frontend"])
    windows = calibration_windows(clips, spec, record.recipe["window_frames"])
    model = load_model(run / MODEL)
    bundled = []
    for precision in get_args(Precision):
        tell(f"{record.network} {precision}: convert, check, score")
        contract = _contract(record, corpora, spec, precision, clips)
        one = _prove(record, model, contract, windows, corpora.folders)
        bundled.append(_sealed(one, scores_of(expected, precision)))
    out.mkdir(parents=True, exist_ok=True)
    for one in bundled:
        write_atomically(out / one.name, one.content)
    card = render_card(
        record, side, [one.contract for one in bundled], [one.tested for one in bundled]
    )
    write_atomically(out / f"{record.network}.md", card.encode())
    return bundled


def _corpora(run: Path, record: RunRecord, corpus: Path | Sequence[Path] | None) -> Corpora:
    """What the run was trained on, read again; `RunError` if it is not that any more."""
    # runs of older versions have one folder
    folders = corpus or record.corpus.get("folders") or [record.corpus["folder"]]
    folders = [Path(folder) for folder in ([folders] if isinstance(folders, Path) else folders)]
    for folder in folders:
        if not folder.is_dir():
            raise RunError(f"{folder}, where {run} found its corpus, is gone; say where: --corpus")
    corpora = read_corpora(folders)
    if corpus_hash(corpora.utterances) != record.corpus["sha256"]:
        names = ", ".join(map(str, folders))
        raise RunError(f"{names} is not what {run} was trained on: its SHA-256 differs")
    return corpora


def _prove(
    record: RunRecord, model: Any, contract: Contract, windows: Floats, folders: Sequence[Path]
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
        tested = None
        if record.corpus["test"]:
            tested = evaluate(path, folders, record.protocol, record.fold)
    return Bundled(flatbuffer, contract, parity, tested)


def _sealed(bare: Bundled, expected: tuple[Score, ...]) -> Bundled:
    """A proven flatbuffer with its contract, its own score first, attached."""
    own = (bare.tested.score,) if bare.tested else ()
    scored = dataclasses.replace(bare.contract, scores=own + expected)
    return dataclasses.replace(bare, content=attach(bare.content, scored), contract=scored)


def _contract(
    record: RunRecord,
    corpora: Corpora,
    spec: FrontendSpec,
    precision: Precision,
    clips: tuple[Utterance, ...],
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
            "corpus": corpora.name,
            "corpus_sha256": record.corpus["sha256"],
            "corpus_source": "; ".join(reader.source for reader in corpora.readers),
            "clip_ids_sha256": ids_hash(corpora.utterances),
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
        licence=licence(corpora.readers),
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
