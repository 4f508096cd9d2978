"""What the Raspberry Pis execute for a window and for a decision: instructions, counted in QEMU.

    python -m benchmarks.instructions [MODEL...] [--update] [--json]

MODEL is a model file, by default the four shipped ones. Exit status 1 if a count has grown by more
than 3 % against the committed counts of the model of that name. Counts repeat to 0.2 % and do
not depend on what else the machine does. They are not times: a Raspberry Pi waits for its memory,
and how many instructions it completes in a cycle nobody has measured here.
"""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click

from benchmarks.emulation.cores import CORES
from benchmarks.emulation.machine import MIRROR
from benchmarks.instructions.emulation import HERE, Counted, Emulation
from benchmarks.instructions.report import page
from benchmarks.instructions.tally import CountError, changes
from emopi.convert.comparison import instructions
from emopi.device.contract import read
from emopi.device.errors import EmopiError
from emopi.device.files import write_atomically
from emopi.device.model_files import resolve_model

SHIPPED = ("cnn-int8", "cnn-float32", "lstm-int8", "lstm-float32")
COMMITTED = HERE.parents[1] / "convert" / "comparison" / instructions.COMMITTED
"""Where emopi compare finds them."""

RESULTS = HERE / "RESULTS.md"
NOTHING: dict[str, Any] = {"versions": {}, "models": {}, "graphs": {}, "counts": {}}


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option(
    "--cache",
    type=click.Path(path_type=Path),
    help="400 MB; may be deleted. Default: below emopi's.",
)
@click.option("--mirror", default=MIRROR, show_default=True)
@click.option("--jobs", type=click.IntRange(1), default=os.cpu_count(), help="Cores to use.")
@click.option("--update", is_flag=True, help="Commit the counts and RESULTS.md.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def main(
    models: tuple[str, ...], cache: Path | None, mirror: str, jobs: int, update: bool, as_json: bool
) -> None:
    """Count, compare, print."""
    try:
        named = _named(models or SHIPPED)
        emulation = Emulation(cache, mirror)
        found = _count(emulation, named, jobs)
        committed = json.loads(COMMITTED.read_text()) if COMMITTED.exists() else NOTHING
        beside = list(changes(committed["counts"], found["counts"]))
        print(json.dumps(found, indent=1) if as_json else page(found, beside))
        if update:
            _commit(committed, found)
    except (EmopiError, OSError) as error:
        print(f"instructions: {error}", file=sys.stderr)
        sys.exit(1)
    if not update and any(change.fails for change in beside):
        print("instructions: counts have grown; where that is meant: --update", file=sys.stderr)
        sys.exit(1)


def _commit(before: dict[str, Any], found: dict[str, Any]) -> None:
    """Write the committed counts and their page; models that were not counted stay."""
    now = found | {key: before[key] | found[key] for key in ("models", "graphs", "counts")}
    write_atomically(COMMITTED, json.dumps(now, indent=1).encode() + b"\n")
    text = f"# Instructions of the shipped models\n\n    make bench-instructions\n\n{page(now)}\n"
    write_atomically(RESULTS, text.encode())


def _named(models: tuple[str, ...]) -> dict[str, Path]:
    """The files by their contracts' names."""
    named: dict[str, Path] = {}
    for path in map(resolve_model, models):
        name = read(path)[1].name
        if name in named:
            raise CountError(
                f"{path} and {named[name]} are both a {name}; expected one of each: count them "
                "one after the other"
            )
        named[name] = path
    return named


def _count(emulation: Emulation, named: dict[str, Path], jobs: int) -> dict[str, Any]:
    """Everything on every core, as it is committed."""
    counts: dict[str, dict[str, dict[str, int]]] = {name: {} for name in named}
    versions: dict[str, str] = {}

    def work(task: tuple[str, Path, Any]) -> Counted:
        name, path, core = task
        done = emulation.count(core, path, name)
        network = done.instructions["network"] / 1e6
        print(f"{name} on {core.name}: network {network:.2f} M", file=sys.stderr)
        return done

    with ThreadPoolExecutor(jobs) as pool:
        tasks = [(name, path, core) for name, path in named.items() for core in CORES]
        try:
            for done in pool.map(work, tasks):
                counts[done.model][done.core] = done.instructions
                versions = done.versions
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    files = {name: read(path) for name, path in named.items()}
    digest = instructions.graph_digest
    return {
        "versions": versions,
        "boards": {core.name: [board.name for board in core.boards] for core in CORES},
        "models": {name: contract.model_id for name, (_, contract) in files.items()},
        "graphs": {name: digest(content) for name, (content, _) in files.items()},
        "counts": counts,
    }


if __name__ == "__main__":
    main()
