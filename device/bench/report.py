"""What `emopi bench` has measured, for programs: of `--json`, and of a later `--compare`."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from emopi.device.bench.compare import Earlier, changes
from emopi.device.bench.measured import Bench, Measured, Run
from emopi.device.board_span import BoardSpan
from emopi.device.latency import Percentiles


def to_json(bench: Bench, earlier: Earlier | None = None) -> dict[str, Any]:
    """One object: the machine, and the figures of the model, or "models" where there are more."""
    shared = {
        "time": bench.time,
        "machine": bench.machine,
        "settings": dataclasses.asdict(bench.settings),
        "board": {
            "before": bench.before.to_json(),
            "during": BoardSpan.of(bench.during).to_json(),
            "after": bench.after.to_json(),
            "throttled": bench.throttled,
            "busy": bench.busy,
        },
        "interrupted": bench.interrupted,
    }
    models = [_model(bench, model, earlier) for model in bench.models]
    return shared | (models[0] if len(models) == 1 else {"models": models})


def slowdown(sustained: Run) -> float:
    """Median decision of the last tenth of the time, over that of the first tenth."""
    totals = sustained.passed_ms["total"]
    tenth = max(1, len(totals) // 10)
    return float(np.median(totals[-tenth:]) / np.median(totals[:tenth]))


def _model(bench: Bench, model: Measured, earlier: Earlier | None) -> dict[str, Any]:
    run, hop_s = model.every_run, bench.settings.hop_s
    fields = {
        "name": model.name,
        "model": model.contract.model_id,
        "bytes": model.n_bytes,
        "detector": run.detector,
        **_figures(run, hop_s),
        "load_ms": round(run.load_ms, 3),
        "first_ms": round(run.first_ms["model"], 3),
        "rss_mb": round(run.rss_mb, 1),
        "cpu_share": model.paced and round(model.paced.cpu_ms / 1000 / hop_s, 6),
        "python_share": round(run.python_share, 4),
        "runs": [one.to_json() for one in model.runs],
        "paced": model.paced and _lasting(model.paced, hop_s),
        "sustained": model.sustained and _lasting(model.sustained, hop_s),
    }
    if earlier:
        found = changes(bench, model, earlier)
        fields["against"] = found and {one.figure: one.to_json() for one in found}
    return fields


def _figures(run: Run, hop_s: float) -> dict[str, Any]:
    return {
        "stages": {
            stage: found.to_json() | {"first_ms": round(run.first_ms[stage], 3)}
            for stage, found in run.stages.items()
        },
        "decisions": len(run.passed_ms["total"]),
        "late": run.late(hop_s),
        "cpu_ms": round(run.cpu_ms, 3),
        "real_time_factor": round(run.total_ms / 1000 / hop_s, 6),
    }


def _lasting(run: Run, hop_s: float) -> dict[str, Any]:
    slices = [
        {
            "seconds": round(one.seconds, 2),
            "decisions": len(one.cpu_ms),
            **Percentiles.of(one.passed_ms["total"].tolist()).to_json(),
            "rss_mb": round(one.rss_mb, 1),
            **one.board.to_json(),
        }
        for one in run.slices
    ]
    seconds = sum(one.seconds for one in run.slices)
    return {
        "minutes": round(seconds / 60, 2),
        **_figures(run, hop_s),
        "slowdown": round(slowdown(run), 3),
        "slices": slices,
    }
