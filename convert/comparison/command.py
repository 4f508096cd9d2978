"""The command `emopi compare`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from emopi.convert.comparison import ROUNDS
from emopi.device.model_files import resolve_model
from emopi.train.commands import corpus_option, fold_option, protocol_option

output = click.Path(path_type=Path, dir_okay=False, writable=True)


@click.command()
@click.argument("models", metavar="MODEL MODEL...", nargs=-1, required=True)
@corpus_option
@protocol_option
@fold_option
@click.option("--allow-seen", is_flag=True, help="Even on clips that a model was trained on.")
@click.option(
    "--explain", is_flag=True,
    help="Also which layers lose most: a quantized model beside its float32 one.",
)  # fmt: skip
@click.option(
    "--rounds",
    default=ROUNDS,
    show_default=True,
    type=click.IntRange(20, 100_000),
    help="Windows by which each latency is measured.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--csv", "csv_file", type=output, help="Also write a row a model to this CSV file.")
@click.option(
    "--html", "html_file", type=output,
    help="Also write one page with figures to this HTML file. Needs the extra 'report'.",
)  # fmt: skip
def compare(
    models: tuple[str, ...],
    corpus: tuple[Path, ...],
    protocol: str,
    fold: str | None,
    allow_seen: bool,
    explain: bool,
    rounds: int,
    as_json: bool,
    csv_file: Path | None,
    html_file: Path | None,
) -> None:
    """Set two or more MODELs against each other: same clips, same pipeline, same machine, one run.

    Says what each says of the test clips and costs in time and memory, how they differ and how
    sure that is, and which one to choose. Each is a .tflite file or the name of a shipped model;
    name the float32 one first to see what quantization costs. Needs no TensorFlow: run it on the
    Raspberry Pi as well.
    """
    if len(models) < 2:
        raise click.UsageError("one MODEL is nothing to compare; name two or more")
    if folder := next((model for model in models if Path(model).is_dir()), None):
        raise click.UsageError(f"{folder} is a folder; name model files")
    _check_outputs(csv_file, html_file)

    from emopi.convert.comparison.comparison import compare as compare_models
    from emopi.convert.comparison.layers import can_look_inside, check_explainable, look_inside
    from emopi.convert.comparison.tables import spreadsheet
    from emopi.convert.comparison.text import show
    from emopi.convert.comparison.verdict import verdict as judge
    from emopi.device.files import write_together

    paths = [resolve_model(model) for model in models]
    if html_file:
        from emopi.convert.comparison.page import check_extra

        check_extra()
    if explain:
        check_explainable(paths)
    comparison = compare_models(paths, corpus, protocol, fold, allow_seen=allow_seen, rounds=rounds)
    verdict = judge(comparison)
    names = [model.name for model in comparison.models]
    clips = [clip.path for clip in comparison.clips]
    wanted = explain or (html_file and can_look_inside())
    inside = look_inside(paths, names, clips) if wanted else []
    contents = {}
    if html_file:
        from emopi.convert.comparison.page import render_page

        contents[html_file] = render_page(comparison, verdict, inside).encode()
    if csv_file:
        contents[csv_file] = spreadsheet(comparison).encode()
    write_together(contents)
    if as_json:
        fields = comparison.to_json() | {"verdict": verdict.to_json()}
        if explain:
            fields["layers"] = [one.to_json() for one in inside]
        click.echo(json.dumps(fields, allow_nan=False))
    else:
        show(comparison, verdict, inside if explain else [])


def _check_outputs(*paths: Path | None) -> None:
    """Refuse now, rather than after minutes of work, files that could not be written."""
    from emopi.device.files import check_writable

    wanted = [path for path in paths if path]
    if len({path.resolve() for path in wanted}) < len(wanted):
        raise click.UsageError(f"{wanted[0]} cannot be both; give --csv and --html files apart")
    for path in wanted:
        try:
            check_writable(path)
        except OSError as error:
            raise click.UsageError(f"{path} cannot be written: {error.strerror}") from None
