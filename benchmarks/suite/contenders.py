"""A decision every half second, as emopi makes it and as a person would write it otherwise.

Each function loads what it needs and gives a call that hears the next half second and returns a
label. The others keep the last window of samples and compute all of its features anew, since no
other library takes MFCCs as they come; their features are those that the library gives for the
plain call, scaled by a mean and a deviation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.suite.making import shipped, untrained
from emopi.device.bench.run import BLOCK_S
from emopi.device.classifier import Classifier, find_interpreter
from emopi.device.contract import read
from emopi.device.frontend import Floats
from emopi.device.gate import GateSettings
from emopi.device.pipeline import Pipeline
from emopi.device.sources.audio import AudioBlock

Hear = Callable[[Floats], str | None]
"""From the next half second of samples to what is said of the window that ends with it."""

MODEL = "cnn-int8"
RATE_HZ = 16_000


def emopi(detector: str) -> Hear:
    """The pipeline of `emopi listen`, in a microphone's blocks."""
    always = GateSettings(detector=detector, level_dbfs=-200.0, speech_s=0.0)  # type: ignore[arg-type]
    pipeline = Pipeline(Classifier(shipped()[MODEL]), gate=always)
    block = round(BLOCK_S * RATE_HZ)

    def hear(samples: Floats) -> str | None:
        said = None
        for start in range(0, len(samples), block):
            for decision in pipeline.push(AudioBlock(samples[start : start + block])):
                said = decision.label
        return said

    return hear


def _librosa() -> Callable[[Floats], Any]:
    import librosa

    def features(window: Floats) -> Any:
        return librosa.feature.mfcc(
            y=window, sr=RATE_HZ, n_mfcc=40, n_mels=40, n_fft=512, win_length=400, hop_length=160
        ).T

    return features


def _python_speech_features() -> Callable[[Floats], Any]:
    from python_speech_features import mfcc

    return lambda window: mfcc(window, RATE_HZ, numcep=40, nfilt=40, nfft=512)


def _keras(how: str) -> Callable[[Floats], Any]:
    """The same shape with weights by chance: they take the same time."""
    from emopi.train.backend import import_tensorflow

    import_tensorflow("this benchmark")
    _, contract = read(shipped()[MODEL])
    model = untrained(contract)
    if how == "predict":
        return lambda window: model.predict(window[None], verbose=0)[0]
    return lambda window: np.asarray(model(window[None], training=False))[0]


def _tflite() -> Callable[[Floats], Any]:
    """Our int8 model in the same interpreter, which is smaller than the one in TensorFlow."""
    _, interpreter_class = find_interpreter()
    interpreter = interpreter_class(model_content=read(shipped()[MODEL])[0], num_threads=1)
    interpreter.allocate_tensors()
    taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero = taken["quantization"]

    def logits(window: Floats) -> Any:
        quantized = np.clip(np.rint(window / scale + zero), -128, 127).astype(np.int8)
        interpreter.set_tensor(taken["index"], quantized[None])
        interpreter.invoke()
        return interpreter.get_tensor(given["index"])[0]

    return logits


def _otherwise(features: Callable[[Floats], Any], network: Callable[[Floats], Any]) -> Hear:
    _, contract = read(shipped()[MODEL])
    n_frames, labels = contract.window_frames, contract.labels
    window = np.zeros(contract.frontend.samples_in(n_frames), np.float32)
    mean = np.asarray(contract.normalization.mean, np.float32)
    std = np.asarray(contract.normalization.std, np.float32)

    def hear(samples: Floats) -> str | None:
        nonlocal window
        window = np.concatenate([window[len(samples) :], samples])
        frames = (np.asarray(features(window), np.float32)[:n_frames] - mean) / std
        return labels[int(np.argmax(network(frames)))]

    return hear


OURS, HEEDFUL = "emopi", "emopi with its speech detector"
FIRST = "librosa + Keras predict"
CONTENDERS: Mapping[str, Callable[[], Hear]] = {
    OURS: lambda: emopi("none"),
    HEEDFUL: lambda: emopi("auto"),
    FIRST: lambda: _otherwise(_librosa(), _keras("predict")),
    "librosa + Keras call": lambda: _otherwise(_librosa(), _keras("call")),
    "librosa + TFLite": lambda: _otherwise(_librosa(), _tflite()),
    "python_speech_features + TFLite": lambda: _otherwise(_python_speech_features(), _tflite()),
}
"""By name; emopi's own first."""
