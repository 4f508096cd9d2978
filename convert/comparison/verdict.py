"""Which model to choose, in words that never claim more than the intervals. Pure.

The rules:

- A model counts as good as the most accurate one if the whole 95 % interval of its change of UAR
  against that one lies above `-MARGIN`. Of those, the ones that take at most `ALIKE` times the
  least median CPU time for a window are fast, and the smallest file of the fast ones is the choice.
- There is no choice where a model was trained on the clips, or where they are of one speaker.
- A change of UAR is "significant" if its interval leaves out 0. A network is slower or faster if
  the whole interval of the ratio of median CPU times lies beyond `ALIKE`, else about the same.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from emopi.convert.comparison.comparison import Compared, Comparison, Pair
from emopi.convert.comparison.instructions import boards
from emopi.device.board import BoardState

MARGIN = 0.02
"""UAR that a faster or smaller model may cost."""

ALIKE = 1.1
FEW_SPEAKERS = 10
"""Below that many, a bootstrap over speakers gives intervals that are too narrow."""


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What a person should do, and why."""

    choose: str | None
    """Name of a model; None where the clips cannot tell."""
    choice: str
    """A sentence or two: which model, by what rule."""
    reasons: tuple[str, ...]
    """One a pair that a person is told of."""
    cautions: tuple[str, ...]
    """What the figures must not be taken for."""

    def to_json(self) -> dict[str, Any]:
        """The fields by name, of JSON types."""
        return dataclasses.asdict(self)


def verdict(comparison: Comparison) -> Verdict:
    """By the rules above."""
    chosen, choice = _choose(comparison)
    return Verdict(
        chosen.name if chosen else None,
        choice,
        tuple(_reason(pair, comparison) for pair in comparison.told),
        tuple(_cautions(comparison)),
    )


def points(share: float, digits: int = 1) -> str:
    """A change in percentage points with its sign, such as "-0.8"."""
    return f"{round(100 * share, digits) + 0.0:+.{digits}f}"


def points_span(bounds: tuple[float, float], digits: int = 1) -> str:
    """An interval of changes, such as "-0.8 to +1.2"."""
    if math.isnan(bounds[0]):
        return "one speaker"
    return f"{points(bounds[0], digits)} to {points(bounds[1], digits)}"


def slower(pair: Pair) -> bool:
    """Whether b's network is clearly slower than a's."""
    return pair.latency[1][0] > ALIKE


def faster(pair: Pair) -> bool:
    """Whether b's network is clearly faster than a's."""
    return pair.latency[1][1] < 1 / ALIKE


def _choose(comparison: Comparison) -> tuple[Compared | None, str]:
    if seen := [model.name for model in comparison.models if model.seen]:
        return None, (
            f"These clips cannot tell which model to choose: {', '.join(seen)} "
            f"{'was' if len(seen) == 1 else 'were'} trained on some of them."
        )
    best = max(comparison.models, key=lambda model: model.outcome.figures.uar)
    lows = {
        model.name: _change(comparison, best, model)[1][0]
        for model in comparison.models
        if model is not best
    }
    if any(math.isnan(low) for low in lows.values()):
        return None, (
            "These clips cannot tell which model to choose: they are of one speaker, so nothing "
            "says how it would be for another."
        )
    good = [m for m in comparison.models if m is best or lows[m.name] >= -MARGIN]
    least_ms = min(_window_ms(model) for model in good)
    fast = [model for model in good if _window_ms(model) <= ALIKE * least_ms]
    chosen = min(fast, key=lambda model: model.n_bytes)
    return chosen, f"Choose {chosen.name} here. " + " ".join(
        [_why_good(comparison, chosen, best, lows), _why_chosen(comparison, chosen, good, fast)]
    ).strip()


def _why_good(
    comparison: Comparison, chosen: Compared, best: Compared, lows: dict[str, float]
) -> str:
    n_worse = sum(low < -MARGIN for low in lows.values())
    others = "the other" if len(lows) == 1 else "each of the others" if n_worse == len(lows) else ""
    if chosen is best:
        if not n_worse:
            return f"No other has a higher UAR ({best.outcome.figures.uar:.1%})."
        rest = others or f"{n_worse} of the others"
        return (
            f"It has the highest UAR ({best.outcome.figures.uar:.1%}), and {rest} may be more than "
            f"{100 * MARGIN:.0f} points below."
        )
    change, bounds = _change(comparison, best, chosen)
    return (
        f"Against {best.name}, which has the highest UAR ({best.outcome.figures.uar:.1%}), its "
        f"UAR changes by {points(change)} points (95 %: {points_span(bounds)}), so a loss of more "
        f"than {100 * MARGIN:.0f} points is unlikely."
    )


def _why_chosen(
    comparison: Comparison, chosen: Compared, good: list[Compared], fast: list[Compared]
) -> str:
    if len(good) == 1:
        return ""
    ms = f"{_window_ms(chosen):.1f} ms of computing a window, front end included"
    if len(fast) == 1:
        fastest = f"the fastest of the {len(good)} that are as good by that measure"
        return f"It is {'the faster' if len(comparison.models) == 2 else fastest} ({ms})."
    return (
        f"It is the smallest ({_kb(chosen)}) of those that are as fast as the fastest, to "
        f"{100 * (ALIKE - 1):.0f} % ({ms})."
    )


def _reason(pair: Pair, comparison: Comparison) -> str:
    architecture = comparison.machine["architecture"].lower()
    sentences = [_accuracy(pair), _cost(pair)]
    if slower(pair):
        sentences.append(_why_slower(pair, architecture))
    if not _on_arm(architecture):
        sentences.append(_on_boards(pair))
    return " ".join(filter(None, sentences))


def _accuracy(pair: Pair) -> str:
    says, a, b = pair.says, pair.a.name, pair.b.name
    if not says.changed:
        return f"{b} gives the same label as {a} on all {says.n} clips."
    low, high = bounds = says.intervals["uar_change"]
    if math.isnan(low):
        return (
            f"{b} gives the same label as {a} on {says.agreement:.1%} of the clips; they are of "
            f"one speaker, so its change of UAR ({points(says.uar_change)} points) says nothing of "
            "others."
        )
    figures = f"{points(says.uar_change)} points (95 %: {points_span(bounds)})"
    same = f"the same label on {says.agreement:.1%} of the clips"
    if low <= 0 <= high:
        return f"{b} against {a}: UAR {figures}, not a significant difference; {same}."
    word = "more" if low > 0 else "less"
    return f"{b} is {word} accurate than {a}: UAR {figures}; {same}."


def _cost(pair: Pair) -> str:
    ratio, bounds = pair.latency
    size = f"Its file has {pair.size_ratio:.0%} of the size"
    span = f"95 %: {bounds[0]:.2f} to {bounds[1]:.2f}"
    if slower(pair):
        a, b = pair.a.outcome, pair.b.outcome
        quantized = a.network == b.network and a.precision != b.precision
        slow = f": {b.precision} is slower here" if quantized else ""
        return f"{size}; its network takes {ratio:.1f} times the computing time ({span}){slow}."
    about = "" if faster(pair) else ", about the same"
    return f"{size}; its network takes {ratio:.2f} times the computing time ({span}){about}."


def _why_slower(pair: Pair, architecture: str) -> str:
    kinds = [(model.outcome.network, model.outcome.precision) for model in (pair.a, pair.b)]
    on_x86 = architecture in ("x86_64", "amd64")
    if on_x86 and kinds == [("lstm", "float32"), ("lstm", "int8")]:
        return (
            "LiteRT has a vector kernel for the int8 LSTM on ARM and none on x86-64; it has one "
            "for dynamic-int8, which is as small: convert to that for a PC."
        )
    return ""


def _on_boards(pair: Pair) -> str:
    """What a Raspberry Pi would execute, where that was counted; times were measured elsewhere."""
    if not (found := pair.instruction_ratio):
        return ""
    by_board = [f"{ratio:.2f} on {boards(core)}" for core, ratio in found.items()]
    return (
        f"On a Raspberry Pi its network executes, times the instructions: {'; '.join(by_board)} "
        "(counted under emulation, no measurement of time)."
    )


def _cautions(comparison: Comparison) -> list[str]:
    found = []
    speakers = comparison.pairs[0].says.speakers
    if 1 < speakers < FEW_SPEAKERS:
        found.append(f"The clips are of {speakers} speakers only: the intervals are too narrow.")
    if len(comparison.pairs) > 1:
        found.append(
            f"Each of the {len(comparison.pairs)} pairs has an interval of its own; of twenty such "
            "intervals, one misses the truth by chance."
        )
    if not _on_arm(comparison.machine["architecture"].lower()):
        found.append("Times and memory are of this machine, not of a Raspberry Pi.")
    if comparison.before.busy or comparison.after.busy:
        found.append(
            f"The machine had other work ({comparison.before.describe()}), so more time passed "
            "than need be; the models are set against each other by CPU time, which bears that."
        )
    if during := _since(comparison.before, comparison.after):
        found.append(f"The machine was held back during the timing: {', '.join(during)}.")
    for when, state in (("before", comparison.before), ("after", comparison.after)):
        if state.throttled_now:
            found.append(f"The machine was held back {when} the timing: {state.describe()}.")
    return found


def _since(before: BoardState, after: BoardState) -> list[str]:
    """What has befallen the board between the two and is over."""
    old, new = before.throttling or (), after.throttling or ()
    past = [word.removesuffix(" since boot") for word in new if word not in old]
    return [word for word in past if not word.endswith("now") and f"{word} now" not in new]


def _on_arm(architecture: str) -> bool:
    return architecture.startswith(("arm", "aarch64"))


def _change(comparison: Comparison, a: Compared, b: Compared) -> tuple[float, tuple[float, float]]:
    """Of UAR from a to b, and its interval."""
    says = comparison.pair(a, b).says
    return says.uar_change, says.intervals["uar_change"]


def _window_ms(model: Compared) -> float:
    return model.timing.cpu_ms["total"]


def _kb(model: Compared) -> str:
    return f"{model.n_bytes / 1024:.0f} KB"
