"""Features of a corpus: extracted once on all cores, kept on disk, read through a memory map."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import multiprocessing
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emopi.device.errors import CorpusError, EmopiError
from emopi.device.frontend import Floats, FrontendSpec, extract
from emopi.device.normalization import Normalization, c0_range, fit_window, relative_level, silence
from emopi.device.progress import track
from emopi.device.sources.audio import read_clip
from emopi.train.augment import FeatureAugmentation, Perturbation, augment, perturb, rng_for
from emopi.train.corpora import LABELS, Utterance
from emopi.train.vocal_tract import stretch

CACHE_FORMAT = 2
"""Raised when the meaning of a cache changes, so that old ones are not read."""

FRAMES, INDEX = "frames.f32", "index.json"
"""Little-endian float32 rows, and how many each copy of each clip has, with their CRC-32."""

RANGE_DB = 60.0
"""What lies further below a window's loudest frame counts as silence."""


@dataclasses.dataclass(frozen=True, slots=True)
class FeatureSet:
    """MFCCs of clips and of their augmented copies; copy 0 is the clip as it is."""

    clip_ids: tuple[str, ...]
    labels: tuple[str, ...]
    """One a clip, as `clip_ids`."""
    starts: NDArray[np.int64]
    """(clips, 1 + copies) first row in `frames`."""
    lengths: NDArray[np.int64]
    """(clips, 1 + copies) rows."""
    frames: Floats
    """(rows, n_mfcc), mapped from disk."""

    def __reduce__(self) -> tuple[Any, ...]:
        """For another process on this machine: where the frames lie, not the frames."""
        frames = self.frames
        if not isinstance(frames, np.memmap):
            return FeatureSet, tuple(getattr(self, f.name) for f in dataclasses.fields(self))
        apart = (self.clip_ids, self.labels, self.starts, self.lengths)
        return _mapped, (*apart, frames.filename, frames.shape)

    def clip(self, index: int, copy: int = 0) -> Floats:
        """(frames, n_mfcc) of one copy of one clip."""
        start = self.starts[index, copy]
        return self.frames[start : start + self.lengths[index, copy]]


def _mapped(
    clip_ids: tuple[str, ...],
    labels: tuple[str, ...],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    path: Path,
    shape: tuple[int, int],
) -> FeatureSet:
    frames = np.memmap(path, np.float32, "r", shape=shape)
    return FeatureSet(clip_ids, labels, starts, lengths, frames)


def default_cache() -> Path:
    """`$XDG_CACHE_HOME/emopi`, by default `~/.cache/emopi`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "emopi"


def features(
    utterances: Sequence[Utterance],
    corpus_sha256: str,
    spec: FrontendSpec,
    how: Perturbation,
    *,
    cache: Path,
    jobs: int | None = None,
) -> FeatureSet:
    """The features of `utterances`, from `cache` if they are there, else extracted and kept.

    The cache's key is the spec, the augmentation and `corpus_sha256`, which is
    `corpus_hash(utterances)`, so that nothing stale is ever read; what is damaged is extracted
    again. Trainings of any seed draw from the same copies. Raises `CorpusError` naming the first
    clip that cannot be read.
    """
    folder = cache / "features" / _key(corpus_sha256, spec, how)
    if not (loaded := _load(folder, spec)):
        shutil.rmtree(folder, ignore_errors=True)  # damaged, if it is there at all
        try:
            _extract_all(utterances, spec, how, folder, jobs or os.cpu_count() or 1)
        except OSError as error:
            raise CorpusError(
                f"the features cannot be kept in {folder.parent}: {error.strerror or error}; they "
                "take 1 GB for RAVDESS: make room, or choose another folder with --cache"
            ) from None
        loaded = _load(folder, spec)
    if not loaded:
        raise CorpusError(f"{folder} cannot be read back; is its disk sound?")
    lengths, frames = loaded
    ends = np.cumsum(lengths).reshape(lengths.shape)
    return FeatureSet(
        tuple(u.clip_id for u in utterances),
        tuple(u.label for u in utterances),
        ends - lengths,
        lengths,
        frames,
    )


def statistics(
    data: FeatureSet, indices: Sequence[int], spec: FrontendSpec, window_frames: int
) -> Normalization:
    """Mean and standard deviation over the clean clips `indices`: the training side, no other."""
    widest = c0_range(RANGE_DB, spec)
    total = np.zeros(spec.n_mfcc)
    squares = np.zeros(spec.n_mfcc)
    n = 0
    for index in indices:
        frames = np.asarray(data.clip(index))
        if len(frames) < window_frames:
            frames = fit_window(frames, window_frames, spec)
        frames = relative_level(frames, widest).astype(np.float64)
        total += frames.sum(axis=0)
        squares += np.square(frames).sum(axis=0)
        n += len(frames)
    mean = total / n
    std = np.sqrt(np.maximum(squares / n - np.square(mean), 1e-12))
    return Normalization(tuple(mean.tolist()), tuple(std.tolist()), widest)


@dataclasses.dataclass(frozen=True, slots=True)
class WindowSampler:
    """Training batches: random windows of random copies of clips, augmented."""

    data: FeatureSet
    indices: tuple[int, ...]
    """Clips of the training side."""
    spec: FrontendSpec
    normalization: Normalization
    window_frames: int
    augmentation: FeatureAugmentation
    batch: int
    seed: int

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return -(-len(self.indices) // self.batch)

    def epoch(self, number: int) -> Iterator[tuple[Floats, Floats]]:
        """Every clip once, in an order and with copies that depend on seed and `number` alone.

        Yields (batch, window_frames, n_mfcc) and one-hot labels (batch, classes).
        """
        rng = rng_for("epoch", self.seed, number)
        order = rng.permutation(np.array(self.indices))
        classes = np.array([LABELS.index(label) for label in self.data.labels])
        for start in range(0, len(order), self.batch):
            chosen = order[start : start + self.batch]
            windows = np.stack([self._window(index, rng) for index in chosen])
            targets = np.eye(len(LABELS), dtype=np.float32)[classes[chosen]]
            yield augment(self.normalization.apply(windows), self.augmentation, rng), targets

    def _window(self, index: int, rng: np.random.Generator) -> Floats:
        """A random window of a random copy, reaching up to 0.3 s beyond the clip's ends.

        Perhaps from another vocal tract.
        """
        frames = self.data.clip(index, int(rng.integers(self.data.lengths.shape[1])))
        beyond = 30
        start = int(rng.integers(-beyond, max(len(frames) - self.window_frames, 0) + beyond + 1))
        if len(frames) < self.window_frames:
            start = -int(rng.integers(0, self.window_frames - len(frames) + 1))
        window = cut(frames, start, self.window_frames, self.spec)
        if rng.random() < self.augmentation.stretched:
            factor = rng.uniform(*self.augmentation.vocal_tract)
            window = window @ stretch(factor, self.spec).astype(np.float32)
        return window


def cut(frames: Floats, start: int, n: int, spec: FrontendSpec) -> Floats:
    """Frames `start` to `start + n`, with silence where that lies outside the clip."""
    before = max(0, -start)
    inside = frames[max(0, start) : max(0, start + n)]
    after = n - before - len(inside)
    if not before and not after:
        return inside
    return np.concatenate([silence(before, spec), inside, silence(after, spec)])


def centred(data: FeatureSet, indices: Sequence[int], window: int, spec: FrontendSpec) -> Floats:
    """(clips, window, n_mfcc): the middle of each clean clip, for validation and calibration."""
    return np.stack(
        [
            cut(clip, (len(clip) - window) // 2, window, spec)
            for clip in (data.clip(index) for index in indices)
        ]
    )


def _key(corpus_sha256: str, spec: FrontendSpec, how: Perturbation) -> str:
    parts = [CACHE_FORMAT, spec.to_json(), dataclasses.asdict(how), corpus_sha256]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def _load(folder: Path, spec: FrontendSpec) -> tuple[NDArray[np.int64], Floats] | None:
    """Lengths (clips, 1 + copies) and frames (rows, n_mfcc) of a whole, undamaged cache."""
    try:
        index = json.loads((folder / INDEX).read_text())
        lengths = np.array(index["lengths"], np.int64)
        shape = (int(lengths.sum()), spec.n_mfcc)
        if (folder / FRAMES).stat().st_size != shape[0] * shape[1] * 4:
            return None
        if _checksum(folder / FRAMES) != index["crc32"]:
            return None
        return lengths, np.memmap(folder / FRAMES, np.float32, "r", shape=shape)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _checksum(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 22):
            value = zlib.crc32(chunk, value)
    return value


def _extract_all(
    utterances: Sequence[Utterance],
    spec: FrontendSpec,
    how: Perturbation,
    folder: Path,
    jobs: int,
) -> None:
    """Write features and index into `folder`, which appears only when complete."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder.parent))
    try:
        lengths = []
        with (
            one_thread_each(),
            (unfinished / FRAMES).open("wb") as file,
            # not forked: TensorFlow's threads do not survive a fork
            ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool,
        ):
            work = pool.map(
                _extract_one,
                utterances,
                *([value] * len(utterances) for value in (spec, how)),
                chunksize=8,
            )
            for copies in track(work, len(utterances), "features"):
                lengths.append([len(frames) for frames in copies])
                for frames in copies:
                    file.write(frames.tobytes())
        index = {"lengths": lengths, "crc32": _checksum(unfinished / FRAMES)}
        (unfinished / INDEX).write_text(json.dumps(index))
        try:
            unfinished.rename(folder)
        except OSError:
            if not folder.exists():  # another process was faster: its cache is the same
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


@contextlib.contextmanager
def one_thread_each() -> Iterator[None]:
    """Processes started in this context do their matrix products on one core each."""
    name = "OPENBLAS_NUM_THREADS"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _extract_one(utterance: Utterance, spec: FrontendSpec, how: Perturbation) -> list[Floats]:
    try:
        samples = read_clip(utterance.path, spec.sample_rate_hz)
        copies = [extract(samples, spec)]
        for copy in range(how.copies):
            rng = rng_for("copy", utterance.clip_id, copy)
            copies.append(extract(perturb(samples, spec.sample_rate_hz, how, rng), spec))
    except EmopiError as error:
        raise CorpusError(f"{utterance.path}: {error}. See: emopi dataset check DIR") from None
    return copies
