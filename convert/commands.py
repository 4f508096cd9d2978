"""The command `emopi convert`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from emopi.convert.bundle import Bundled


@click.command()
@click.argument("run", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the .tflite files and the model card.",
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
    run: Path, out: Path, corpus: tuple[Path, ...], expect: Path | None, as_json: bool
) -> None:
    """Convert the finished training RUN to TFLite, float32 and int8, with contract and card.

    Calibrates on training clips, reads the operators back, compares with Keras, scores the test
    clips, if the protocol has any, through the device pipeline; writes only if all of that is well.
    """
    from emopi.convert.bundle import bundle
    from emopi.convert.expected import read_expected
    from emopi.train.backend import import_tensorflow

    expected = read_expected(expect) if expect else ()
    import_tensorflow("emopi convert")

    for model in bundle(
        run, out, corpus or None, expected=expected, tell=lambda text: click.echo(text, err=True)
    ):
        click.echo(json.dumps(_facts(model, out)) if as_json else _line(model, out))


def _facts(model: Bundled, out: Path) -> dict[str, Any]:
    score = model.tested.score if model.tested else None
    return {
        "model": str(out / model.name),
        "bytes": len(model.content),
        "accuracy": score.accuracy if score else None,
        "uar": score.uar if score else None,
        "n": score.n if score else 0,
        "keras_agreement": model.parity.agreement,
        "keras_probability_change": model.parity.probability,
    }


def _line(model: Bundled, out: Path) -> str:
    scored = "nothing held out to test on"
    if model.tested:
        score = model.tested.score
        scored = f"accuracy {score.accuracy:.1%}  UAR {score.uar:.1%}"
    return (
        f"{out / model.name}  {len(model.content) / 1024:.0f} KB  {scored}  "
        f"labels as Keras {model.parity.agreement:.1%}"
    )
