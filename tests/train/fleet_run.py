"""What `test_fleet.py` runs in a process of its own: Keras on JAX. CORPUS WORK; JSON on stdout."""

import contextlib
import dataclasses
import json
import os
import sys
from pathlib import Path

from emopi.device.errors import RunError
from emopi.train.augment import Perturbation
from emopi.train.backend import import_jax, load_model


def main():
    import_jax("this test")
    import numpy as np

    from emopi.train import fleet
    from emopi.train.fit import fit, prepared
    from emopi.train.fleet import train_together
    from emopi.train.recipe import Recipe
    from emopi.train.run_record import History, RunRecord
    from emopi.train.training import CHECKPOINT, MODEL

    corpus, work = map(Path, sys.argv[1:])
    cnn = Recipe(
        "cnn",
        epochs=2,
        window_frames=40,
        batch=384,
        views=(0.9, 1.0),
        perturbation=Perturbation(copies=1),
    )
    windows = np.random.default_rng(0).normal(size=(4, 40, 40)).astype(np.float32)
    found = {}

    def members(recipe, seeds, stack, **options):
        return [
            stack.enter_context(
                prepared(
                    dataclasses.replace(recipe, seed=seed),
                    corpus,
                    "paper-80-20",
                    f"seed{seed}",
                    work / f"{recipe.network}{seed}",
                    cache=work / "cache",
                    jobs=1,
                    **options,
                    **({"teacher": work / f"cnn{seed}"} if recipe.network == "lstm" else {}),
                )
            )
            for seed in seeds
        ]

    def together(recipe, **options):
        with contextlib.ExitStack() as stack:
            train_together(members(recipe, (0, 1), stack), jobs=2, **options)

    def compared(network, **options):
        recipe = dataclasses.replace(cnn, network=network, seed=1)
        alone = work / f"{network}-alone"
        fit(recipe, corpus, "paper-80-20", "seed1", alone, cache=work / "cache", jobs=1, **options)
        runs = work / f"{network}1", alone
        logits = [load_model(run / MODEL).predict(windows, verbose=0) for run in runs]
        found[network] = {
            "difference": float(np.abs(logits[0] - logits[1]).max()),
            "size": float(np.abs(logits[1]).max()),
            "loss": [[one["loss"] for one in History.read(run).epochs] for run in runs],
            "files": sorted(path.name for path in runs[0].iterdir()),
            "finished": RunRecord.read(runs[0]).finished,
        }

    # interrupted after the first epoch, then to the end
    fleet.SAVE_EVERY_S = 0.0

    def interrupt(_entry):
        raise KeyboardInterrupt

    try:
        together(cnn, watch=interrupt)
    except RunError as error:
        found["interrupted"] = str(error)
    found["kept"] = [(work / f"cnn{seed}" / CHECKPOINT).exists() for seed in (0, 1)]
    with contextlib.ExitStack() as stack:
        train_together(members(cnn, (0, 1), stack, resume=True), jobs=2)
    compared("cnn")

    # taught by those
    if os.environ.get("EMOPI_TAUGHT_FLEET") == "1":
        together(dataclasses.replace(cnn, network="lstm"))
        compared("lstm", teacher=work / "cnn1")

    try:
        with contextlib.ExitStack() as stack:
            apart = members(dataclasses.replace(cnn, epochs=3), [2], stack)
            train_together([*apart, *members(cnn, [3], stack)], jobs=1)
    except RunError as error:
        found["refused"] = str(error)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
