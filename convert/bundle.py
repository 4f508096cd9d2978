"""A run folder to model files with their contract, proven and scored before any is written."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from emopi.convert.bundled import Bundled
from emopi.convert.calibration import calibration_windows, choose_clips
from emopi.convert.card import licence, render_card
from emopi.convert.expected import Expected, scores_of
from emopi.convert.frozen_calibration import calibration
from emopi.convert.operators import check_operators
from emopi.convert.parity import Parity, compare_with_keras, where_it_starts
from emopi.convert.precisions import CALIBRATED, DEFAULT, checked
from emopi.convert.quantize import to_tflite
from emopi.device.classifier import Classifier
from emopi.device.contract import Contract, Score, attach
from emopi.device.errors import ConversionError, RunError
from emopi.device.files import write_atomically
from emopi.device.frontend import Floats, FrontendSpec
from emopi.device.normalization import Normalization
from emopi.device.precision import Precision
from emopi.train.backend import load_model
from emopi.train.corpora import (
    LABELS,
    Corpora,
    Utterance,
    corpus_hash,
    ids_hash,
    read_corpora,
)
from emopi.train.evaluate import evaluate
from emopi.train.fit import training_side
from emopi.train.run_record import RECORD, RunRecord, commit
from emopi.train.training import MODEL

PROOF_CLIPS = 96
"""Training clips on which a model is compared with Keras."""


@dataclasses.dataclass(frozen=True, slots=True)
class Proof:
    """(n, window_frames, n_mfcc) MFCCs of training clips, not normalized."""

    calibration: Floats
    """What the ranges are taken from."""
    comparison: Floats
    """What a converted model is compared with Keras on: of other clips, if there are any."""


def bundle(
    run: Path,
    out: Path,
    corpus: Path | Sequence[Path] | None,
    *,
    precisions: Iterable[Precision] = DEFAULT,
    expected: Expected = (),
    tell: Callable[[str], None] = lambda _: None,
) -> list[Bundled]:
    """Convert a finished run to each of `precisions`, prove, score and write them, and their card.

    `corpus` is by default where the run found it. `expected` is what the same recipe scored under
    protocols that hold clips out, for contract and card. Everything is checked before the first
    file is written. Raises `RunError` for an unfinished run or another corpus, `ConversionError`
    for a precision that the network cannot have, at once, or a model that fails a check.
    """
    record = finished(run)
    chosen = checked(record.network, precisions)
    corpora = _corpora(run, record, corpus)
    side = training_side(corpora.utterances, record)
    spec = FrontendSpec.from_json(record.recipe["frontend"])
    ranges = calibration(record, corpora.utterances, side, spec.sample_rate_hz)
    tell(f"calibration: {len(ranges.clips)} of {len(side)} training clips, {ranges.why}")
    proof = _proof(record, side, ranges.clips, spec)
    model = load_model(run / MODEL)
    contract = _contract(record, corpora, spec, ranges.clips, run_hash(run))
    bundled = []
    for precision in chosen:
        tell(f"{record.network} {precision}: convert, check, score")
        one = _prove(record, model, _of(contract, precision), proof, corpora.folders)
        bundled.append(_sealed(one, scores_of(expected, precision)))
    out.mkdir(parents=True, exist_ok=True)
    for one in bundled:
        write_atomically(out / one.name, one.content)
    card = render_card(record, side, bundled, ranges.why)
    write_atomically(out / f"{record.network}.md", card.encode())
    return bundled


def finished(run: Path) -> RunRecord:
    """The record of a run folder; `RunError` if its training has not come to the end."""
    record = RunRecord.read(run)
    if not record.finished:
        raise RunError(
            f"{run} is not finished: {record.epochs_done} of {record.recipe['epochs']} epochs. "
            "Go on with: emopi train ... --resume"
        )
    return record


def run_hash(run: Path) -> str:
    """SHA-256 of a run folder's record and model, one after the other."""
    return hashlib.sha256((run / RECORD).read_bytes() + (run / MODEL).read_bytes()).hexdigest()


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


def _proof(
    record: RunRecord,
    side: Sequence[Utterance],
    clips: Sequence[Utterance],
    spec: FrontendSpec,
) -> Proof:
    """Windows to calibrate with, and others, of training clips besides `clips`, to compare on."""
    rest = set(side) - set(clips)
    others = choose_clips(tuple(rest or clips), n=PROOF_CLIPS)
    n_frames = record.recipe["window_frames"]
    return Proof(
        calibration_windows(clips, spec, n_frames), calibration_windows(others, spec, n_frames)
    )


def _prove(
    record: RunRecord, model: Any, contract: Contract, proof: Proof, folders: Sequence[Path]
) -> Bundled:
    """Convert to one precision; check operators, parity with Keras; score the test clips."""
    network, precision = contract.network, contract.precision
    normalized = contract.normalization.apply(proof.calibration)
    flatbuffer = to_tflite(model, network, precision, normalized)
    check_operators(flatbuffer, network, precision)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(attach(flatbuffer, contract))
        parity = compare_with_keras(model, Classifier(path), proof.comparison)
        if not parity.sufficient:
            raise _refused(model, contract, flatbuffer, parity, proof.comparison)
        tested = None
        if record.corpus["test"]:
            tested = evaluate(path, folders, record.protocol, record.fold)
    return Bundled(flatbuffer, contract, parity, tested)


def _refused(
    model: Any, contract: Contract, flatbuffer: bytes, parity: Parity, windows: Floats
) -> ConversionError:
    """The error that says how far a model is from Keras, and from which layer on."""
    what = f"{contract.network} {contract.precision} is not what Keras computes: {parity}"
    if contract.precision == "float32":
        return ConversionError(f"{what}. Nothing was written")
    exact = to_tflite(model, contract.network, "float32", windows)
    start = where_it_starts(exact, flatbuffer, contract.normalization.apply(windows))
    return ConversionError(f"{what}. {start}. Nothing was written")


def _sealed(bare: Bundled, expected: tuple[Score, ...]) -> Bundled:
    """A proven flatbuffer with its contract, its own score first, attached."""
    own = (bare.tested.score,) if bare.tested else ()
    scored = dataclasses.replace(bare.contract, scores=own + expected)
    return dataclasses.replace(bare, content=attach(bare.content, scored), contract=scored)


def _of(contract: Contract, precision: Precision) -> Contract:
    """The contract of the same network in one precision."""
    clips = contract.calibration if precision in CALIBRATED else ()
    return dataclasses.replace(contract, precision=precision, calibration=clips)


def _contract(
    record: RunRecord,
    corpora: Corpora,
    spec: FrontendSpec,
    clips: tuple[Utterance, ...],
    run_sha256: str,
) -> Contract:
    """Of the float32 model, but with `clips` as its calibration."""
    recipe = record.recipe
    return Contract(
        network=record.network,
        precision="float32",
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
            "run_sha256": run_sha256,
            "commit": record.commit,
            "conversion_commit": commit(),
            "versions": record.versions,
            "hardware": record.hardware,
        },
        calibration=tuple(clip.clip_id for clip in clips),
        scores=(),
        licence=licence(corpora.readers),
        model_sha256="",
    )
