"""A run folder to model files with their contract, proven and scored before any is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from emopi.convert.bundled import Bundled
from emopi.convert.card import licence, render_card
from emopi.convert.expected import Expected, scores_of
from emopi.convert.fine_tune import FineTuning, fine_tune_run
from emopi.convert.frozen_calibration import calibration
from emopi.convert.precisions import CALIBRATED, DEFAULT, check_streamable, checked
from emopi.convert.proof import prove, prove_streaming, windows_for
from emopi.convert.quantize import converter_of
from emopi.device.contract import Contract, Score, attach
from emopi.device.errors import RunError
from emopi.device.files import write_together
from emopi.device.frontend import FrontendSpec
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
from emopi.train.fit import training_side
from emopi.train.run_record import RunRecord, commit
from emopi.train.training import MODEL, run_hash


def bundle(
    run: Path,
    out: Path,
    corpus: Path | Sequence[Path] | None,
    *,
    precisions: Iterable[Precision] = DEFAULT,
    streaming: bool = False,
    fine_tuning: FineTuning | None = None,
    expected: Expected = (),
    tell: Callable[[str], None] = lambda _: None,
) -> list[Bundled]:
    """Convert a finished run to each of `precisions`, prove, score and write them, and their card.

    With `streaming`, of an lstm, also to the streaming form of each; with `fine_tuning` after some
    more epochs with int8's rounding. `corpus` is by default where the run found it. `expected` is
    what the same recipe scored under protocols that hold clips out, for contract and card.
    Everything is checked before the first file is written. Raises `RunError` for an unfinished run
    or another corpus, `ConversionError` for what the network cannot be, at once, or a model that
    fails a check.
    """
    record = finished(run)
    chosen = checked(record.network, precisions)
    if streaming:
        check_streamable(record.network)
    corpora = _corpora(run, record, corpus)
    side = training_side(corpora.utterances, record)
    spec = FrontendSpec.from_json(record.recipe["frontend"])
    ranges = calibration(record, corpora.utterances, side, spec.sample_rate_hz)
    tell(f"calibration: {len(ranges.clips)} of {len(side)} training clips, {ranges.why}")
    windows = windows_for(record, side, ranges.clips, spec)
    model = load_model(run / MODEL)
    contract = _contract(record, corpora, spec, ranges.clips, run_hash(run), fine_tuning)
    if fine_tuning:
        tell(f"{record.network}: fine-tune with the rounding of int8")
        normalized = contract.normalization.apply(windows.calibration)
        fine_tune_run(model, record, corpora, side, normalized, fine_tuning)
    bundled = []
    with converter_of(model, record.network) as to_tflite:
        for precision in chosen:
            tell(f"{record.network} {precision}: convert, check, score")
            its = _of(contract, precision)
            one = prove(record, model, to_tflite, its, windows, corpora.folders)
            bundled.append(_sealed(one, scores_of(expected, precision)))
            if streaming:
                tell(f"{record.network} {precision}: streaming form")
                bundled.append(_sealed(prove_streaming(model, one, windows.comparison)))
    card = render_card(record, side, bundled, ranges.why)
    out.mkdir(parents=True, exist_ok=True)
    contents = {one.name: one.content for one in bundled} | {f"{record.network}.md": card.encode()}
    write_together({out / name: content for name, content in contents.items()})
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


def _sealed(bare: Bundled, expected: tuple[Score, ...] = ()) -> Bundled:
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
    fine_tuning: FineTuning | None,
) -> Contract:
    """Of the float32 model, but with `clips` as its calibration."""
    recipe = record.recipe
    tuned = {"fine_tuning": fine_tuning.to_json()} if fine_tuning else {}
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
            **({"teacher": record.teacher} if record.teacher else {}),
            **tuned,
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
