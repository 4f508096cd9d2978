"""What `emopi compare` measures: the same answers as `emopi evaluate`, and honest costs."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from support import MODELS, speech

from emopi.convert.comparison import hearing
from emopi.convert.comparison.footprint import footprints
from emopi.convert.comparison.hearing import SharedClip, hear
from emopi.convert.comparison.layers import layer_ranges, look_inside
from emopi.convert.comparison.timing import ratio_of_medians, timings
from emopi.device.classifier import Classifier
from emopi.device.contract import attach, read
from emopi.device.errors import ComparisonError, ModelError
from emopi.device.frontend import Floats, FrontendSpec, FrontendStream, extract
from emopi.device.sources.audio import FileSource
from emopi.train.corpora import Utterance
from emopi.train.evaluation.evaluate import classify_all

CNN, INT8, LSTM = (
    MODELS / f"{name}.tflite" for name in ("cnn-float32", "cnn-int8", "lstm-float32")
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Utterance, ...]:
    """Shorter than the window, longer, and at another rate."""
    folder = tmp_path_factory.mktemp("clips")
    found = []
    for number, (seconds, rate_hz) in enumerate(((0.8, 16_000), (4.3, 16_000), (3.4, 44_100))):
        path = folder / f"{number}.wav"
        soundfile.write(path, speech(seconds, rate_hz, number), rate_hz)
        found.append(Utterance(str(number), "1", "calm", path))
    return tuple(found)


def with_frontend(path: Path, out: Path, **changes: object) -> Path:
    """The model, its contract asking for another front end."""
    flatbuffer, contract = read(path)
    spec = dataclasses.replace(contract.frontend, **changes)
    out.write_bytes(attach(flatbuffer, dataclasses.replace(contract, frontend=spec)))
    return out


class TestHearing:
    def test_says_what_each_model_says_alone(
        self, clips: tuple[Utterance, ...], tmp_path: Path
    ) -> None:
        other = with_frontend(CNN, tmp_path / "other.tflite", preemphasis=0.5)
        models = [Classifier(path) for path in (CNN, INT8, LSTM, other)]
        alone = [list(classify_all(Classifier(m.path), clips)) for m in models]
        for number, said in enumerate(hear(models, clips)):
            for decision, expected in zip(said, (one[number] for one in alone), strict=True):
                assert dataclasses.replace(decision, latency_ms=0) == dataclasses.replace(
                    expected, latency_ms=0
                )

    def test_features_are_computed_once_for_equal_front_ends(
        self, clips: tuple[Utterance, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        computed: dict[FrontendSpec, int] = {}

        class Counted(FrontendStream):
            def push(self, samples: Floats) -> Floats:
                computed[self.spec] = computed.get(self.spec, 0) + len(samples)
                return super().push(samples)

        monkeypatch.setattr(hearing, "FrontendStream", Counted)
        other = with_frontend(CNN, tmp_path / "other.tflite", preemphasis=0.5)
        models = [Classifier(path) for path in (CNN, INT8, LSTM, other)]
        list(hear(models, clips[:2]))
        assert sorted(computed.values()) == [16_000 * 51 // 10] * 2

    def test_pipelines_must_cut_alike(self, clips: tuple[Utterance, ...]) -> None:
        spec = FrontendSpec()
        once = SharedClip(FileSource(clips[0].path, 16_000), spec)
        once.push(np.zeros(500, np.float32))
        once.reset()
        with pytest.raises(ValueError, match="400 samples where another pipeline had 500"):
            once.push(np.zeros(400, np.float32))
        once.close()


class TestCosts:
    def test_timings(self, clips: tuple[Utterance, ...]) -> None:
        found = timings([CNN, INT8], [clip.path for clip in clips], rounds=20)
        assert len(found) == 2
        for one in found:
            for times in (one.passed, one.computing):
                assert len(times.frontend_ms) == len(times.model_ms) == 20
                assert min(*times.frontend_ms, *times.model_ms) > 0
                assert times.total_ms[7] == times.frontend_ms[7] + times.model_ms[7]
            frontend, model, total = (one.stages[s] for s in ("frontend", "model", "total"))
            assert total.p50_ms >= max(frontend.p50_ms, model.p50_ms)
            assert model.p50_ms <= model.p90_ms <= model.p95_ms <= model.p99_ms <= model.max_ms
            assert total.max_ms == max(one.passed.total_ms)
            assert one.cpu_ms["model"] == np.median(one.computing.model_ms)
            # on one thread no more is computed than passes, but for the clocks' grain
            assert sum(one.computing.total_ms) < 1.05 * sum(one.passed.total_ms) + 1

    def test_ratio_of_medians(self) -> None:
        rng = np.random.default_rng(1)
        noise = rng.lognormal(0, 0.2, (2, 200))
        ratio, (low, high) = ratio_of_medians((3 * noise[0]).tolist(), noise[1].tolist())
        assert ratio == pytest.approx(3 * np.median(noise[0]) / np.median(noise[1]))
        assert low < 3 < high
        assert high - low < 0.6
        assert ratio_of_medians([2.0] * 5, [1.0] * 5) == (2.0, (2.0, 2.0))

    def test_footprints(self) -> None:
        exact, int8 = footprints([CNN, INT8])
        for one in (exact, int8):
            assert 0 < one.model_mb < one.rss_mb
            assert min(one.load_ms, one.first_ms) > 0
        # activations of 1 byte instead of 4
        assert exact.arena_kb / int8.arena_kb == pytest.approx(4, rel=0.15)
        window_kb = 300 * 40 * 4 / 1024
        assert exact.arena_kb > window_kb
        if sys.platform == "linux":
            assert int8.memory_source == "VmRSS of /proc/self/status"
            # the weights alone
            assert exact.model_mb > 2.0

    def test_a_model_that_does_not_load(self, tmp_path: Path) -> None:
        broken = tmp_path / "broken.tflite"
        broken.write_bytes(b"1234TFL3")
        with pytest.raises(ComparisonError, match="has no contract that can be read"):
            footprints([broken])


@pytest.fixture(scope="module")
def windows() -> Floats:
    """(2, 300, 40) MFCCs, not normalized."""
    spec = read(CNN)[1].frontend
    return np.stack([extract(speech(3.2, seed=k), spec)[:300] for k in range(2)])


class TestLayers:
    @pytest.mark.parametrize("path", [CNN, INT8, LSTM], ids=lambda path: path.stem)
    def test_last_layer_is_what_the_classifier_gives(self, path: Path, windows: Floats) -> None:
        classifier = Classifier(path)
        logits = np.stack([classifier.logits(window) for window in windows])
        flatbuffer, contract = read(path)
        found = layer_ranges(flatbuffer, contract.normalization.apply(windows))
        assert found[-1].layer == "logits"
        # XNNPACK rounds otherwise than TFLite's own kernels
        step = 0.1 if contract.precision == "int8" else 1e-3
        assert found[-1].outputs == pytest.approx((logits.min(), logits.max()), abs=step)

    def test_ranges_of_float_and_int8(self, windows: Floats) -> None:
        (exact, normalization), (int8, _) = (
            (flatbuffer, contract.normalization) for flatbuffer, contract in map(read, (CNN, INT8))
        )
        given = normalization.apply(windows)
        pairs = zip(layer_ranges(exact, given), layer_ranges(int8, given), strict=True)
        for a, b in pairs:
            assert a.operator == b.operator
            assert (a.weights is None) == (b.weights is None)
            if a.weights and b.weights:
                # each channel's largest weight is kept to half a step of 127
                assert b.weights == pytest.approx(a.weights, abs=max(map(abs, a.weights)) / 127)
            assert a.room is None
            assert b.room
            low, high = b.room
            assert low <= b.outputs[0] <= b.outputs[1] <= high
            assert a.clipped == 0
            assert 0 <= b.clipped < 0.05
        assert any(one.weights for one in layer_ranges(exact, given))

    def test_inside(self, clips: tuple[Utterance, ...]) -> None:
        found = look_inside([INT8, CNN], ["b", "a"], [clip.path for clip in clips])
        assert [(one.name, one.float_name) for one in found] == [("b", "a"), ("a", None)]
        assert found[0].noise[0].name == "input"
        assert len(found[0].noise) == len(found[0].ranges) + 1
        assert found[1].noise == ()
        assert found[0].to_json()["against"] == "a"


def test_a_float_model_that_claims_to_be_int8(tmp_path: Path) -> None:
    flatbuffer, contract = read(CNN)
    liar = tmp_path / "liar.tflite"
    liar.write_bytes(attach(flatbuffer, dataclasses.replace(contract, precision="int8")))
    with pytest.raises(ModelError, match="float32"):
        Classifier(liar)
