"""The command `emopi convert`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from emopi.convert.precisions import DEFAULT, check_streamable, checked, possible
from emopi.device.precision import PRECISIONS, Precision

if TYPE_CHECKING:
    from emopi.convert.bundled import Bundled

ALL = "all"


@click.command()
@click.argument("run", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the .tflite files and the model card.",
)
@click.option(
    "--precision",
    "wanted",
    multiple=True,
    type=click.Choice([*PRECISIONS, ALL]),
    help="What to make; once for each. float16: half the size, computed in float32. dynamic-int8: "
    "int8 weights, float32 in and out. int8: integers throughout. int16x8: int8 weights, int16 "
    "between layers, not for the lstm. all: everything that the network can have. "
    f"Default: {' and '.join(DEFAULT)}.",
)
@click.option(
    "--streaming",
    is_flag=True,
    help="Also a form of the lstm that takes frames as they come, for programs in Python.",
)
@click.option(
    "--fine-tune",
    "epochs",
    type=click.IntRange(1, 1000),
    metavar="EPOCHS",
    help="First train that many epochs more with the rounding of int8 (quantization-aware). Every "
    "file, float32 too, is then of the network so fine-tuned.",
)
@click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    help="For the features that --fine-tune needs, as of emopi train. Default: ~/.cache/emopi.",
)
@click.option(
    "--corpus",
    multiple=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where a corpus of the training is now; once for each. Default: where the run found them.",
)
@click.option(
    "--expect",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="JSON list of scores of the same recipe under protocols that hold clips out: "
    "{protocol, fold, n, accuracy, uar}, fold being mean. For contract and card.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a model on stdout.")
def convert(
    run: Path,
    out: Path,
    wanted: tuple[Precision, ...],
    streaming: bool,
    epochs: int | None,
    cache: Path | None,
    corpus: tuple[Path, ...],
    expect: Path | None,
    as_json: bool,
) -> None:
    """Convert the finished training RUN to TFLite, with contract and card.

    Calibrates on training clips, reads the operators back, compares with Keras on training clips
    that did not calibrate, scores the test clips, if the protocol has any, through the device
    pipeline; writes only if all of that is well, and says otherwise in which layer it goes wrong.
    """
    from emopi.convert.expected import read_expected
    from emopi.train.backend import import_tensorflow

    if cache and not epochs:
        raise click.UsageError("--cache is for the features that --fine-tune needs: give both")
    precisions = _precisions(run, wanted, streaming)
    _check_out(out)
    expected = read_expected(expect) if expect else ()
    import_tensorflow("emopi convert")
    from emopi.convert.bundle import bundle
    from emopi.convert.fine_tune import FineTuning
    from emopi.train.dataset import default_cache

    for model in bundle(
        run,
        out,
        corpus or None,
        precisions=precisions,
        streaming=streaming,
        fine_tuning=FineTuning(epochs, cache or default_cache()) if epochs else None,
        expected=expected,
        tell=lambda text: click.echo(text, err=True),
    ):
        click.echo(json.dumps(_facts(model, out)) if as_json else _line(model, out))


def _precisions(run: Path, wanted: Sequence[str], streaming: bool) -> tuple[Precision, ...]:
    """What to make of a run; a `ConversionError` before anything heavy is imported."""
    from emopi.train.run_record import RunRecord

    network = RunRecord.read(run).network
    if streaming:
        check_streamable(network)
    if ALL in wanted:
        return possible(network)
    return checked(network, [one for one in PRECISIONS if one in wanted] or DEFAULT)


def _check_out(out: Path) -> None:
    """Refuse now, rather than after minutes of work, a folder that could not be written."""
    from emopi.device.files import check_folder

    try:
        check_folder(out)
    except OSError as error:
        raise click.UsageError(f"--out {out} cannot be written: {error.strerror}") from None


def _facts(model: Bundled, out: Path) -> dict[str, Any]:
    from emopi.convert.operators import OLD_RUNTIME

    score = model.tested.score if model.tested else None
    return {
        "model": str(out / model.name),
        "precision": model.precision,
        "streaming": bool(model.contract.streaming),
        "bytes": len(model.content),
        "accuracy": score.accuracy if score else None,
        "uar": score.uar if score else None,
        "n": score.n if score else 0,
        "keras_agreement": model.parity.agreement,
        "keras_probability_change": model.parity.probability,
        "runtimes": ["ai-edge-litert", *([] if model.too_new else [OLD_RUNTIME])],
    }


def _line(model: Bundled, out: Path) -> str:
    from emopi.convert.operators import OLD_RUNTIME

    scored = "nothing held out to test on"
    if model.contract.streaming:
        scored = "takes frames as they come"
    elif model.tested:
        score = model.tested.score
        scored = f"accuracy {score.accuracy:.1%}  UAR {score.uar:.1%}"
    line = (
        f"{out / model.name}  {len(model.content) / 1024:.0f} KB  {scored}  "
        f"labels as Keras {model.parity.agreement:.1%}"
    )
    if model.too_new:
        line += f"  not on {OLD_RUNTIME}: {model.too_new}"
    return line
