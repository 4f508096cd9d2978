"""MFCCs: against python_speech_features, streaming against whole, and odd input."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import RAVDESS_16K, needs_16k, speech

from emopi.device import spectrum
from emopi.device.errors import AudioError, SpecError
from emopi.device.frontend import FrontendSpec, FrontendStream, extract
from emopi.device.sources.audio import read_clip

SPEC = FrontendSpec()
SPECS = {
    "default": SPEC,
    "floor": FrontendSpec(energy_floor=1e-10),
    "long frames": FrontendSpec(frame_samples=640, n_fft=1024, n_mels=64, n_mfcc=20, lifter=0),
    "8 kHz": FrontendSpec(sample_rate_hz=8000, frame_samples=200, hop_samples=80, n_fft=256,
                          n_mels=20, n_mfcc=13, high_hz=4000, window="hamming"),
    "bare": FrontendSpec(window="rectangular", preemphasis=0.0, n_mels=26, n_mfcc=13, low_hz=0),
}  # fmt: skip


def reference(samples: np.ndarray, spec: FrontendSpec) -> np.ndarray:
    """python_speech_features with the same settings, without the last frame that it pads."""
    psf = pytest.importorskip("python_speech_features", reason="the reference is not installed")
    windows = {"hann": np.hanning, "hamming": np.hamming, "rectangular": np.ones}
    rate_hz = spec.sample_rate_hz
    features = psf.mfcc(
        samples.astype(np.float64),
        samplerate=rate_hz,
        winlen=spec.frame_samples / rate_hz,
        winstep=spec.hop_samples / rate_hz,
        numcep=spec.n_mfcc,
        nfilt=spec.n_mels,
        nfft=spec.n_fft,
        lowfreq=spec.low_hz,
        highfreq=spec.high_hz,
        preemph=spec.preemphasis,
        ceplifter=spec.lifter,
        appendEnergy=False,
        winfunc=windows[spec.window],
    )
    return np.asarray(features[: spec.frames_in(len(samples))])


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["default", "long frames", "8 kHz", "bare"])
def test_equals_python_speech_features(name: str) -> None:
    spec = SPECS[name]
    samples = speech(rate_hz=spec.sample_rate_hz)
    assert_same(extract(samples, spec), reference(samples, spec))


@needs_16k
def test_equals_python_speech_features_on_real_clips() -> None:
    clips = sorted(RAVDESS_16K.rglob("*.wav"))[::29]
    assert len(clips) == 50
    for clip in clips:
        samples = read_clip(clip, 16_000)
        assert_same(extract(samples, SPEC), reference(samples, SPEC))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(SPECS)), st.lists(st.integers(0, 24_000), max_size=12))
def test_stream_equals_whole_clip_at_any_cut(name: str, cuts: list[int]) -> None:
    spec = SPECS[name]
    samples = speech(1.5)
    stream = FrontendStream(spec)
    pieces = [stream.push(piece) for piece in np.split(samples, sorted(cuts))]
    whole = extract(samples, spec)
    found = np.concatenate(pieces)
    assert found.shape == whole.shape
    np.testing.assert_allclose(found, whole, rtol=1e-4, atol=2e-4)


def test_spectra_in_pieces_equal_those_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    spec, samples = FrontendSpec(), speech(3.0)
    whole = extract(samples, spec)
    for n_bytes in (1, 5000, 10**9):
        monkeypatch.setattr(spectrum, "_BYTES", n_bytes)
        monkeypatch.setattr(spectrum, "_memory", spectrum._Memory())
        np.testing.assert_array_equal(extract(samples, spec), whole)


def test_features_of_any_kind_at_any_time_in_any_thread() -> None:
    """The memory for spectra that they share never shows: not in another length, spec or thread."""
    clips = [(name, speech(seconds)) for name in SPECS for seconds in (0.1, 2.0, 0.5)]

    def features(_: int) -> list[np.ndarray]:
        return [extract(samples, SPECS[name]) for name, samples in clips]

    def alone(name: str, samples: np.ndarray) -> np.ndarray:
        with ThreadPoolExecutor(1) as fresh:
            return fresh.submit(extract, samples, SPECS[name]).result()

    expected = [alone(name, samples) for name, samples in clips]
    with ThreadPoolExecutor(4) as pool:
        for found in [features(0), *pool.map(features, range(8))]:
            for own, one in zip(found, expected, strict=True):
                np.testing.assert_array_equal(own, one)


def test_sample_by_sample_equals_whole_clip() -> None:
    samples = speech(0.1)
    stream = FrontendStream(SPEC)
    frames = np.concatenate([stream.push(samples[k : k + 1]) for k in range(len(samples))])
    np.testing.assert_allclose(frames, extract(samples, SPEC), rtol=1e-4, atol=2e-4)


def test_reset_forgets_everything() -> None:
    stream = FrontendStream(SPEC)
    stream.push(speech(0.33))
    stream.reset()
    np.testing.assert_array_equal(stream.push(speech(0.5)), extract(speech(0.5), SPEC))


def test_frames_start_where_they_should() -> None:
    # an impulse in one hop shows in just the frames that hold it, and its successor's pre-emphasis
    spec = FrontendSpec(preemphasis=0.0, energy_floor=1e-9)
    samples = np.zeros(1600, np.float32)
    samples[805] = 1.0
    loud = np.flatnonzero(extract(samples, spec)[:, 0] > extract(samples, spec)[:, 0].min() + 1)
    first = [k for k in range(8) if k * 160 <= 805 < k * 160 + 400]
    assert loud.tolist() == first


@pytest.mark.parametrize(
    ("n", "frames"), [(0, 0), (1, 0), (399, 0), (400, 1), (559, 1), (560, 2), (16_000, 98)]
)
def test_frame_count(n: int, frames: int) -> None:
    assert SPEC.frames_in(n) == frames
    assert len(FrontendStream(SPEC).push(np.zeros(n, np.float32))) == frames
    if frames:
        assert SPEC.frames_in(SPEC.samples_in(frames)) == frames
        assert SPEC.frames_in(SPEC.samples_in(frames) - 1) == frames - 1


def test_silence_and_dc_are_defined() -> None:
    silent = extract(np.zeros(1600, np.float32), SPEC)
    expected = np.log(np.finfo(np.float64).eps) * np.sqrt(SPEC.n_mels)
    np.testing.assert_allclose(silent[:, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(silent[:, 1:], 0, atol=1e-2)
    assert np.isfinite(extract(np.full(1600, 0.5, np.float32), SPEC)).all()


def test_clipping_and_beyond_full_scale_are_finite() -> None:
    clipped = np.clip(50 * speech(0.5), -1, 1)
    assert np.isfinite(extract(clipped, SPEC)).all()
    assert np.isfinite(extract(9e5 * clipped, SPEC)).all()


def test_gain_moves_c0_alone() -> None:
    samples = speech(1.0)
    change = extract(samples * np.float32(0.25), SPEC) - extract(samples, SPEC)
    np.testing.assert_allclose(change[:, 0], np.sqrt(SPEC.n_mels) * np.log(1 / 16), rtol=1e-4)
    np.testing.assert_allclose(change[:, 1:], 0, atol=2e-3)


def test_int16_and_float_are_the_same_audio() -> None:
    integers = np.round(speech(0.5) * 32767).astype(np.int16)
    np.testing.assert_array_equal(
        extract(integers, SPEC), extract(integers.astype(np.float32) / 32768, SPEC)
    )


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(0, np.float32), "has 0 samples; expected at least 400"),
        (np.zeros(1, np.float32), "has 1 samples; expected at least 400"),
        (np.zeros((2, 800), np.float32), "shape (2, 800); expected one dimension"),
        (np.zeros(800, np.int32), "are int32; expected int16, or floating"),
        (np.array([0] * 500 + [np.nan, np.inf]), "2 of 502 samples are not finite"),
        (np.array([0] * 500 + [1e25]), "a sample is 1e+25; expected full scale at ±1, and 1e+06"),
    ],
)
def test_unusable_samples(samples: np.ndarray, message: str) -> None:
    with pytest.raises(AudioError) as error:
        extract(samples, SPEC)
    assert message in str(error.value)


def test_refused_samples_leave_the_stream_as_it_was() -> None:
    samples = speech(0.5)
    stream = FrontendStream(SPEC)
    before = stream.push(samples[:3000])
    with pytest.raises(AudioError, match="first at index 0"):
        stream.push(np.array([np.nan]))
    frames = np.concatenate([before, stream.push(samples[3000:])])
    np.testing.assert_allclose(frames, extract(samples, SPEC), rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("name", sorted(SPECS))
def test_spec_round_trip(name: str) -> None:
    text = json.dumps(SPECS[name].to_json())
    assert FrontendSpec.from_json(json.loads(text)) == SPECS[name]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("sample_rate_hz", 3999, "sample_rate_hz is 3999; expected an integer from 4000 to 48000"),
        ("n_fft", 500, "n_fft is 500; expected a power of two"),
        ("frame_samples", 513, "frame_samples is 513; expected an integer from 1 to 512"),
        ("frame_samples", 400.0, "frame_samples is 400.0; expected an integer"),
        ("hop_samples", 0, "hop_samples is 0; expected an integer from 1 to 400"),
        ("window", "blackman", "window is 'blackman'; expected one of"),
        ("preemphasis", 1.0, "expected 0 <= preemphasis < 1"),
        ("n_mels", 200, "mel filter"),
        ("n_mfcc", 41, "n_mfcc is 41; expected an integer from 1 to 40"),
        ("high_hz", 9000.0, "expected 0 <= low_hz < high_hz <= 8000.0"),
        ("low_hz", "0", "low_hz is '0'; expected a number"),
        ("energy_floor", -1.0, "energy_floor is -1.0; expected 0 to 1"),
    ],
)
def test_spec_refuses(field: str, value: object, message: str) -> None:
    with pytest.raises(SpecError) as error:
        FrontendSpec.from_json(SPEC.to_json() | {field: value})
    assert message in str(error.value)


def test_spec_refuses_unknown_and_missing_fields() -> None:
    with pytest.raises(SpecError, match="unknown field 'mel_bins' in FrontendSpec"):
        FrontendSpec.from_json(SPEC.to_json() | {"mel_bins": 40})
    fields = SPEC.to_json()
    del fields["n_mels"]
    with pytest.raises(SpecError, match="field 'n_mels' is missing in FrontendSpec"):
        FrontendSpec.from_json(fields)
