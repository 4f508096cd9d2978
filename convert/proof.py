"""Conversion with proof: operators read back, answers compared with Keras, test clips scored."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from emopi.convert.bundled import Bundled
from emopi.convert.calibration import calibration_windows, choose_clips
from emopi.convert.operators import check_operators
from emopi.convert.parity import Parity, compare_with_keras, where_it_starts
from emopi.convert.quantize import ToTflite
from emopi.convert.streaming import streaming_form
from emopi.device.classifier import Classifier
from emopi.device.contract import Contract, attach
from emopi.device.errors import ConversionError
from emopi.device.frontend import Floats, FrontendSpec
from emopi.device.streaming import StreamingClassifier
from emopi.train.corpora import Utterance
from emopi.train.evaluation.evaluate import evaluate
from emopi.train.run_record import RunRecord

PROOF_CLIPS = 96
"""Training clips on which a model is compared with Keras."""


@dataclasses.dataclass(frozen=True, slots=True)
class Windows:
    """(n, window_frames, n_mfcc) MFCCs of training clips, not normalized."""

    calibration: Floats
    """What the ranges are taken from."""
    comparison: Floats
    """What a converted model is compared with Keras on: of other clips, if there are any."""


def windows_for(
    record: RunRecord,
    side: Sequence[Utterance],
    clips: Sequence[Utterance],
    spec: FrontendSpec,
) -> Windows:
    """Of `clips` to calibrate with, of other clips of the training side to compare on."""
    rest = set(side) - set(clips)
    others = choose_clips(tuple(rest or clips), n=PROOF_CLIPS)
    n_frames = record.recipe["window_frames"]
    return Windows(
        calibration_windows(clips, spec, n_frames), calibration_windows(others, spec, n_frames)
    )


def prove(
    record: RunRecord,
    model: Any,
    to_tflite: ToTflite,
    contract: Contract,
    windows: Windows,
    folders: Sequence[Path],
) -> Bundled:
    """A Keras model converted to the precision of `contract`, and scored on the test clips.

    Its content is the bare flatbuffer. Raises `ConversionError` for operators that a device lacks
    or that are not of the precision, and for one that is too far from Keras.
    """
    network, precision = contract.network, contract.precision
    normalized = contract.normalization.apply(windows.calibration)
    flatbuffer = to_tflite(precision, normalized)
    check_operators(flatbuffer, network, precision)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(attach(flatbuffer, contract))
        parity = compare_with_keras(model, Classifier(path), windows.comparison)
        if not parity.sufficient:
            raise _refused(to_tflite, contract, flatbuffer, parity, windows.comparison)
        tested = None
        if record.corpus["test"]:
            tested = evaluate(path, folders, record.protocol, record.fold)
    return Bundled(flatbuffer, contract, parity, tested)


def prove_streaming(model: Any, whole: Bundled, windows: Floats) -> Bundled:
    """The streaming form of what `prove` gave, proven in turn.

    It has no scores of its own: the pipeline that scores takes whole windows.
    """
    flatbuffer, stages = streaming_form(whole.content)
    check_operators(flatbuffer, whole.contract.network, whole.precision)
    contract = dataclasses.replace(whole.contract, streaming=stages)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(attach(flatbuffer, contract))
        parity = compare_with_keras(model, StreamingClassifier(path), windows)
    if not parity.sufficient:
        raise ConversionError(
            f"the streaming form of {contract.network} {contract.precision} is not what Keras "
            f"computes: {parity}. Nothing was written"
        )
    return Bundled(flatbuffer, contract, parity, tested=None)


def _refused(
    to_tflite: ToTflite, contract: Contract, flatbuffer: bytes, parity: Parity, windows: Floats
) -> ConversionError:
    """The error that says how far a model is from Keras, and from which layer on."""
    what = f"{contract.network} {contract.precision} is not what Keras computes: {parity}"
    if contract.precision == "float32":
        return ConversionError(f"{what}. Nothing was written")
    normalized = contract.normalization.apply(windows)
    start = where_it_starts(to_tflite("float32", normalized), flatbuffer, normalized)
    return ConversionError(f"{what}. {start}. Nothing was written")
