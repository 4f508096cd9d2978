"""The contract: what a model needs to be used rightly, inside the `.tflite` file itself.

It is `contract.json` in a zip archive appended to the flatbuffer, as TFLite Metadata appends its
files: interpreters read the flatbuffer at the front, `unzip -p model.tflite contract.json` reads
the contract at the end, and the two cannot be separated.
"""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emopi.device.archive import read_archived
from emopi.device.digest import sha256
from emopi.device.errors import ModelError, SpecError
from emopi.device.frontend import FrontendSpec, checked_fields
from emopi.device.normalization import Normalization
from emopi.device.precision import PRECISIONS, TENSOR_TYPES
from emopi.device.precision import Precision as Precision

VERSION = 1
"""Of the contract. A device refuses newer ones, since it cannot know what they ask."""

ENTRY = "contract.json"

FRAMES = "frames"
"""What signatures of a streaming form call the frames. What another stage gives they call by its
signature's name."""

HEAD = "streaming_head"
"""The signature that makes logits of "mean" and "max", or one of them, over all rows that the last
stage gives."""

ROW = "row"
"""What a signature gives."""


@dataclasses.dataclass(frozen=True, slots=True)
class Score:
    """A published figure: what the device pipeline printed for the test clips of a protocol."""

    protocol: str
    fold: str
    n: int
    """Test clips."""
    accuracy: float
    """Share of them that was right, 0 to 1."""
    uar: float
    """Unweighted average recall: the mean over emotions of the share that was right."""

    def to_json(self) -> dict[str, Any]:
        """The fields by name, of JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Score:
        """The score that `to_json` described; `SpecError` if it is not one."""
        return cls(**checked_fields(cls, fields))


@dataclasses.dataclass(frozen=True, slots=True)
class Stage:
    """A piece of a network in streaming form: it slides over the frames, or the rows of others.

    A row is what there is at one point in time. Where a piece takes those of two others, it slides
    over both alike.
    """

    signature: str
    """Name of the flatbuffer's function that gives one row for `taken`. Its inputs are named after
    what they take: "frames", or the signature of a stage before it."""
    taken: int
    step: int
    """Rows from one that it gives to the next."""
    before: int
    """Rows of zeros that stand before the first, as at the edge of a whole window."""
    after: int
    """Likewise behind the last."""

    def __post_init__(self) -> None:
        """Raise `SpecError` for a value out of range."""
        for name, low, high in (
            ("taken", 1, 10_000), ("step", 1, 10_000), ("before", 0, self.taken),
            ("after", 0, self.taken),
        ):  # fmt: skip
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise SpecError(f"{name} is {value!r}; expected {low} to {high}")

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Stage:
        """The stage that `to_json` of a contract described; `SpecError` if it is not one."""
        return cls(**checked_fields(cls, fields))


@dataclasses.dataclass(frozen=True, slots=True)
class Contract:
    """What goes in, what comes out, where the model is from and how good it is."""

    network: str
    """Kind of network: "cnn" or "lstm"."""
    precision: Precision
    """Of weights, and of what lies between the layers."""
    labels: tuple[str, ...]
    """What each output means, in order."""
    frontend: FrontendSpec
    normalization: Normalization
    window_frames: int
    """Frames that go in at once."""
    training: dict[str, Any]
    """Corpus, protocol, fold, seed, versions, commit: provenance, for people and reports."""
    calibration: tuple[str, ...]
    """Ids of the training clips that fixed the ranges of int8 and int16x8; none for others."""
    scores: tuple[Score, ...]
    licence: str
    """Of the model: who may use it for what."""
    model_sha256: str
    """Of the flatbuffer before the archive; empty until `attach` fills it in."""
    version: int = VERSION
    streaming: tuple[Stage, ...] = ()
    """Of a model in streaming form, from the frames on; none for one that takes whole windows."""

    def __post_init__(self) -> None:
        """Raise `SpecError` for a value that no device could honour."""
        for name in ("labels", "calibration", "scores", "streaming"):
            if not isinstance(values := getattr(self, name), list | tuple):
                raise SpecError(f"{name} is {values!r}; expected a list")
            object.__setattr__(self, name, tuple(values))
        for name in ("network", "licence", "model_sha256"):
            if not isinstance(value := getattr(self, name), str):
                raise SpecError(f"{name} is {value!r}; expected a string")
        if not isinstance(self.training, dict):
            raise SpecError(f"training is {self.training!r}; expected an object")
        if self.precision not in PRECISIONS:
            raise SpecError(f"precision is {self.precision!r}; expected one of {PRECISIONS}")
        if len(self.labels) < 2 or len(set(self.labels)) != len(self.labels):
            raise SpecError(f"labels are {self.labels}; expected two or more different ones")
        if not all(isinstance(label, str) for label in self.labels):
            raise SpecError(f"labels are {self.labels}; expected strings")
        if not isinstance(self.window_frames, int) or not 1 <= self.window_frames <= 10_000:
            raise SpecError(f"window_frames is {self.window_frames!r}; expected 1 to 10000")
        if len(self.normalization.mean) != self.frontend.n_mfcc:
            raise SpecError(
                f"the normalization has {len(self.normalization.mean)} coefficients, "
                f"the front end {self.frontend.n_mfcc}"
            )

    @property
    def model_id(self) -> str:
        """Short name that appears in decisions: network, precision, start of the hash."""
        return f"{self.name}-{self.model_sha256[:8]}"

    @property
    def name(self) -> str:
        """What its file is called, without suffix: "lstm-int8", "lstm-int8-streaming"."""
        return f"{self.network}-{self.precision}" + ("-streaming" if self.streaming else "")

    @property
    def tensor_type(self) -> str:
        """Of the network's input and output, such as "int8"."""
        return TENSOR_TYPES[self.precision]

    @property
    def window_s(self) -> float:
        """Length of the audio that one inference sees."""
        return self.frontend.samples_in(self.window_frames) / self.frontend.sample_rate_hz

    def to_json(self) -> dict[str, Any]:
        """The contract as JSON types; without "streaming" for a model of whole windows."""
        fields = {"version": self.version} | dataclasses.asdict(self)
        if not self.streaming:
            del fields["streaming"]
        return fields

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Contract:
        """The contract that `to_json` described; `SpecError` if it is not one."""
        checked = checked_fields(cls, {"streaming": ()} | dict(fields))
        return cls(
            **checked
            | {
                "streaming": tuple(Stage.from_json(stage) for stage in checked["streaming"]),
                "frontend": FrontendSpec.from_json(checked["frontend"]),
                "normalization": Normalization.from_json(checked["normalization"]),
                "scores": tuple(Score.from_json(score) for score in checked["scores"]),
            }
        )


def attach(flatbuffer: bytes, contract: Contract) -> bytes:
    """The bytes of a model file: `flatbuffer` with the contract, its hash filled in, behind it.

    The same contract gives the same bytes.
    """
    import zipfile

    sealed = dataclasses.replace(contract, model_sha256=sha256(flatbuffer))
    file = io.BytesIO(flatbuffer)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(
            zipfile.ZipInfo(ENTRY, (1980, 1, 1, 0, 0, 0)),
            json.dumps(sealed.to_json(), indent=1) + "\n",
        )
    return file.getvalue()


def read(path: str | Path) -> tuple[bytes, Contract]:
    """The flatbuffer and the contract of a model file.

    Raises `ModelError` if the file is missing, damaged, without a contract, or with one that is
    malformed or newer than this version of emopi.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"{path}: no such model file")
    content = path.read_bytes()
    if content[4:8] != b"TFL3":
        raise ModelError(f"{path} is not a TFLite model (its bytes 4 to 8 are not TFL3)")
    try:
        start, text = read_archived(content, ENTRY)
    except ValueError as error:
        raise ModelError(
            f"{path} has no contract that can be read ({error}); without it labels and front end "
            "are unknown. Use a model that emopi convert made, or copy it again"
        ) from None
    contract = _parse(path, text)
    flatbuffer = content[:start]
    if sha256(flatbuffer) != contract.model_sha256:
        raise ModelError(
            f"{path} is damaged: its SHA-256 is not the one in its contract. Copy it again"
        )
    return flatbuffer, contract


def _parse(path: Path, text: bytes) -> Contract:
    try:
        fields = json.loads(text)
        found = fields["version"]
    except (ValueError, KeyError, TypeError):
        raise ModelError(f"{path}: its contract is not JSON with a version; convert anew") from None
    if type(found) is not int or not 1 <= found <= VERSION:
        raise ModelError(
            f"{path} has a contract of version {found!r}; this emopi knows 1 to {VERSION}: "
            "update emopi"
        )
    try:
        return Contract.from_json(fields)
    except (SpecError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: its contract is malformed: {error}") from None
