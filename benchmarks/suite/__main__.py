"""Everything side by side, in one run: `make bench`.

    python -m benchmarks.suite [--corpus RAVDESS] [--quick] [--section NAME ...]

Writes `RESULTS.md`, `results.json` and `figures/` beside this folder. With `--section` the others
stay as they were measured last. Nothing here is a test; figures need a machine that does nothing
else, and say how busy it was.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from benchmarks.suite.order import Order
from benchmarks.suite.report import SECTIONS, Kept, measured, publish
from emopi.device.errors import EmopiError

HERE = Path(__file__).resolve().parents[1]


@click.command()
@click.option(
    "--corpus", type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="RAVDESS; without it the bundled, synthesized speech is heard and training is left out.",
)  # fmt: skip
@click.option("--quick", is_flag=True, help="A trial of a minute or two.")
@click.option(
    "--section", "sections", multiple=True, type=click.Choice(list(SECTIONS)),
    help="Only this one, or these; by default all.",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path), default=HERE, show_default="benchmarks/",
    help="Folder for RESULTS.md, results.json and figures/.",
)  # fmt: skip
def main(corpus: Path | None, quick: bool, sections: tuple[str, ...], out: Path) -> None:
    """Measure and write the results."""
    order = Order(str(corpus.resolve()) if corpus else None, quick)
    kept = Kept.read(out)
    for name in sections or SECTIONS:
        started_s = time.monotonic()
        click.echo(f"{SECTIONS[name].TITLE} ...", err=True)
        kept.sections[name] = measured(name, order)
        publish(kept, out)
        click.echo(f"{SECTIONS[name].TITLE}: {time.monotonic() - started_s:.0f} s", err=True)
    click.echo(out / "RESULTS.md")


if __name__ == "__main__":
    try:
        main()
    except EmopiError as error:
        sys.exit(f"benchmarks: {error}")
