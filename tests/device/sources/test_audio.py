"""Audio files: every format that should work, and every way in which a file can be wrong."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st
from support import RAVDESS_16K, RAVDESS_48K, needs_16k, needs_48k, speech

from emopi.device.errors import AudioError
from emopi.device.sources.audio import ArraySource, FileSource, Resampler, read_clip

RATE_HZ = 16_000


def write(path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ, subtype: str = "PCM_16") -> Path:
    sf.write(path, samples, rate_hz, subtype=subtype)
    return path


def test_int16_wav_is_read_exactly(tmp_path: Path) -> None:
    integers = np.arange(-2000, 2000, dtype=np.int16)
    clip = read_clip(write(tmp_path / "a.wav", integers), RATE_HZ)
    np.testing.assert_array_equal(clip, integers.astype(np.float32) / 32768)


@pytest.mark.parametrize(
    ("name", "subtype", "tolerance"),
    [
        ("a.wav", "PCM_24", 1e-6),
        ("a.wav", "PCM_32", 1e-7),
        ("a.wav", "FLOAT", 1e-9),
        ("a.wav", "DOUBLE", 1e-9),
        ("a.wav", "PCM_U8", 1e-2),
        ("a.flac", "PCM_16", 1e-4),
        ("a.flac", "PCM_24", 1e-6),
    ],
)
def test_formats(tmp_path: Path, name: str, subtype: str, tolerance: float) -> None:
    samples = speech(1.0)
    clip = read_clip(write(tmp_path / name, samples, subtype=subtype), RATE_HZ)
    assert len(clip) == len(samples)
    np.testing.assert_allclose(clip, samples, atol=tolerance)


def test_lossy_format(tmp_path: Path) -> None:
    samples = speech(1.0)
    clip = read_clip(write(tmp_path / "a.ogg", samples, subtype="VORBIS"), RATE_HZ)
    assert len(clip) == len(samples)
    assert np.corrcoef(clip, samples)[0, 1] > 0.9


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_rates_are_resampled(tmp_path: Path, rate_hz: int) -> None:
    t = np.arange(rate_hz) / rate_hz
    tone = (0.5 * np.sin(2 * np.pi * 1000 * t)).astype(np.float32)
    clip = read_clip(write(tmp_path / "tone.wav", tone, rate_hz), RATE_HZ)
    assert abs(len(clip) - RATE_HZ) <= 1
    expected = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(len(clip)) / RATE_HZ)
    middle = slice(1000, -1000)
    np.testing.assert_allclose(clip[middle], expected[middle], atol=2e-3)


@pytest.mark.parametrize("channels", [2, 6, 8])
def test_channels_are_averaged(tmp_path: Path, channels: int) -> None:
    each = np.stack([speech(0.5, seed=k) for k in range(channels)], axis=1)
    clip = read_clip(write(tmp_path / "many.wav", each, subtype="FLOAT"), RATE_HZ)
    np.testing.assert_allclose(clip, each.mean(axis=1), atol=1e-6)


def test_low_rate_is_warned_of(tmp_path: Path) -> None:
    source = FileSource(write(tmp_path / "phone.wav", speech(1, 8000), 8000), RATE_HZ)
    assert source.bandwidth_warning
    assert "has 8000 Hz, so nothing above 4000 Hz" in source.bandwidth_warning
    source.close()
    fine = FileSource(write(tmp_path / "fine.wav", speech(1)), RATE_HZ)
    assert fine.bandwidth_warning is None
    fine.close()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 48_000), max_size=8), st.sampled_from([48_000, 44_100, 8_000]))
def test_resampling_does_not_depend_on_the_cuts(cuts: list[int], rate_hz: int) -> None:
    samples = speech(1.0, rate_hz)
    pieces = np.split(samples, sorted(min(cut, len(samples)) for cut in cuts))
    resampler = Resampler(rate_hz, RATE_HZ)
    found = [resampler.push(piece) for piece in pieces]
    found.append(resampler.push(np.empty(0, np.float32), last=True))
    whole = Resampler(rate_hz, RATE_HZ).push(samples, last=True)
    np.testing.assert_allclose(np.concatenate(found), whole, atol=1e-6)


def test_blocks_join_to_the_clip(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", speech(1.234, 44_100), 44_100)
    source = FileSource(path, RATE_HZ, block_s=0.0317)
    blocks = [block.samples for block in source.blocks()]
    source.close()
    source.close()
    assert len(blocks) > 30
    np.testing.assert_allclose(np.concatenate(blocks), read_clip(path, RATE_HZ), atol=1e-6)


def test_array_source() -> None:
    source = ArraySource(np.arange(5000, dtype=np.int16), RATE_HZ, block_samples=777)
    joined = np.concatenate([block.samples for block in source.blocks()])
    np.testing.assert_array_equal(joined * 32768, np.arange(5000))


def truncated_wav(path: Path) -> str:
    write(path, speech(1.0))
    path.write_bytes(path.read_bytes()[:20_000])
    return "is cut short: its header promises 32044 bytes, it has 20000; copy or download it again"


def truncated_flac(path: Path) -> str:
    sf.write(path, speech(1.0), RATE_HZ, format="FLAC")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return "cut short or damaged: copy it again|cannot be decoded"


def empty_file(path: Path) -> str:
    path.touch()
    return "is empty (0 bytes); expected an audio file"


def text_file(path: Path) -> str:
    path.write_text("This is no sound.\n" * 20)
    return "is not an audio file that can be read"


def random_bytes(path: Path) -> str:
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    return "is not an audio file that can be read"


def header_alone(path: Path) -> str:
    write(path, np.empty(0, np.int16))
    return "has a header but no samples"


def not_a_number(path: Path) -> str:
    samples = speech(1.0)
    samples[8000] = np.nan
    write(path, samples, subtype="FLOAT")
    return "samples are not finite (NaN or infinity)"


def absurd_rate(path: Path) -> str:
    write(path, speech(0.1), 1000)
    return "claims a sample rate of 1000 Hz; expected 4000 to 384000"


def folder(path: Path) -> str:
    path.mkdir()
    return "is a folder; expected an audio file"


def pipe(path: Path) -> str:
    os.mkfifo(path)
    return "is a pipe or a device; expected an audio file: save the recording first"


def huge_sample(path: Path) -> str:
    samples = speech(1.0)
    samples[8000] = 1e25
    write(path, samples, subtype="FLOAT")
    return "a sample is 1e+25; expected full scale at ±1"


def missing(_path: Path) -> str:
    return "no such file"


HOSTILE = [truncated_wav, truncated_flac, empty_file, text_file, random_bytes, header_alone,
           not_a_number, huge_sample, absurd_rate, folder, pipe, missing]  # fmt: skip


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_hostile_files(tmp_path: Path, make: object) -> None:
    path = tmp_path / "hostile.wav"
    message = make(path)  # type: ignore[operator]
    with pytest.raises(AudioError) as error:
        read_clip(path, RATE_HZ)
    assert any(part in str(error.value) for part in message.split("|")), error.value
    assert str(path) in str(error.value)


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF024, 0x7FFFFF24, 0])
def test_streamed_wav_of_unknown_length_is_read(tmp_path: Path, length: int) -> None:
    path = write(tmp_path / "pipe.wav", speech(0.5))
    content = bytearray(path.read_bytes())
    content[4:8] = length.to_bytes(4, "little")
    content[40:44] = (length or 0xFFFFFFFF).to_bytes(4, "little")
    path.write_bytes(content)
    assert len(read_clip(path, RATE_HZ)) == 8000


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 43), st.integers(0, 255))
def test_any_damaged_header_is_an_audio_error_or_audio(
    tmp_path_factory: pytest.TempPathFactory, position: int, value: int
) -> None:
    path = write(tmp_path_factory.mktemp("damaged") / "a.wav", speech(0.05))
    content = bytearray(path.read_bytes())
    content[position] = value
    path.write_bytes(content)
    try:
        outcome = f"{read_clip(path, RATE_HZ).ndim} dimension"
    except AudioError as error:  # and no other
        outcome = str(error)
    assert outcome == "1 dimension" or str(path) in outcome


@needs_48k
@needs_16k
def test_originals_resample_to_the_16k_corpus() -> None:
    originals = sorted(RAVDESS_48K.rglob("*.wav"))
    assert len(originals) == 63
    assert sum(sf.info(path).channels == 2 for path in originals) == 5
    for original in originals:
        prepared = read_clip(RAVDESS_16K / original.relative_to(RAVDESS_48K), RATE_HZ)
        clip = read_clip(original, RATE_HZ)
        assert abs(len(clip) - len(prepared)) <= 1
        n = min(len(clip), len(prepared))
        np.testing.assert_allclose(clip[:n], prepared[:n], atol=1.5 / 32768)
