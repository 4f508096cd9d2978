"""The command `emopi convert`."""

from __future__ import annotations

import json
from pathlib import Path

import click


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
    type=click.Path(path_type=Path, file_okay=False),
    help="Where RAVDESS is now. Default: where the run found it.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a model on stdout.")
def convert(run: Path, out: Path, corpus: Path | None, as_json: bool) -> None:
    """Convert the finished training RUN to TFLite, float32 and int8, with contract and card.

    Calibrates on training clips, reads the operators back, compares with Keras, scores the test
    clips through the device pipeline; writes only if all of that is well.
    """
    from emopi.convert.bundle import bundle
    from emopi.train.backend import import_tensorflow

    import_tensorflow("emopi convert")

    for model in bundle(run, out, corpus, tell=lambda text: click.echo(text, err=True)):
        facts = {
            "model": str(out / model.name),
            "bytes": len(model.content),
            "accuracy": model.evaluation.score.accuracy,
            "uar": model.evaluation.score.uar,
            "n": model.evaluation.score.n,
            "keras_agreement": model.parity.agreement,
            "keras_probability_change": model.parity.probability,
        }
        if as_json:
            click.echo(json.dumps(facts))
        else:
            click.echo(
                f"{facts['model']}  {len(model.content) / 1024:.0f} KB  "
                f"accuracy {model.evaluation.score.accuracy:.1%}  "
                f"UAR {model.evaluation.score.uar:.1%}  "
                f"labels as Keras {model.parity.agreement:.1%}"
            )
