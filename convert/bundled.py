"""One converted model with what has been proven of it."""

from __future__ import annotations

import dataclasses

from emopi.convert.arithmetic import multiplications
from emopi.convert.operators import too_new
from emopi.convert.parity import Parity
from emopi.device.contract import Contract
from emopi.device.errors import RunError
from emopi.device.precision import Precision
from emopi.train.evaluation.evaluate import Evaluation


@dataclasses.dataclass(frozen=True, slots=True)
class Bundled:
    """One converted model, before it is written."""

    content: bytes
    """Of the file: flatbuffer and contract."""
    contract: Contract
    """With its scores, without `model_sha256`."""
    parity: Parity
    tested: Evaluation | None
    """On the fold's test clips; None if it has none, and for a streaming form."""

    @property
    def precision(self) -> Precision:
        """Of weights, and of what lies between the layers."""
        return self.contract.precision

    @property
    def name(self) -> str:
        """File name, such as "cnn-int8.tflite"."""
        return f"{self.contract.name}.tflite"

    @property
    def evaluation(self) -> Evaluation:
        """`tested`, where there is something to test on."""
        if not self.tested:
            raise RunError(f"{self.name} has no test clips, so there is no evaluation of it")
        return self.tested

    @property
    def macs(self) -> int:
        """Multiply-accumulates of a window; of a streaming form, of one row of every stage."""
        return sum(multiplications(self.content).values())

    @property
    def too_new(self) -> str | None:
        """The operator that the last tflite-runtime for 32-bit ARM lacks, None if it loads."""
        return too_new(self.content)
