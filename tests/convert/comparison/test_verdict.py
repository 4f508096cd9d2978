"""Which model to choose: by the rules, and never claiming more than the intervals."""

from __future__ import annotations

import dataclasses
import re

import pytest
from comparison_mock import compared, comparison, on

from emopi.convert.comparison.verdict import Verdict, points, verdict
from emopi.device.board import BoardState

BROKEN = range(0, 240, 6)
"""Every sixth clip: UAR falls by 17 points for every speaker alike."""


class TestChoice:
    def test_the_smaller_of_two_that_say_the_same(self) -> None:
        found = verdict(
            comparison(
                compared("cnn-float32", n_bytes=4000, wrong=[1, 50]),
                compared("cnn-int8", n_bytes=1000, wrong=[1, 50]),
            )
        )
        assert found.choose == "cnn-int8"
        assert "It is the smallest (1 KB) of those that are as fast as the fastest" in found.choice
        assert found.reasons[0].startswith(
            "cnn-int8 gives the same label as cnn-float32 on all 240"
        )

    def test_the_faster_although_it_is_larger(self) -> None:
        found = verdict(
            comparison(
                compared("lstm-float32", n_bytes=4000, model_ms=1.0),
                compared("lstm-int8", n_bytes=1000, model_ms=8.0),
            )
        )
        assert found.choose == "lstm-float32"
        assert "It is the faster (1.5 ms of computing a window, front end included)" in found.choice

    def test_the_fastest_of_those_that_are_good(self) -> None:
        models = [
            compared("cnn-float32", model_ms=5.0),
            compared("cnn-int8"),
            compared("lstm-int8", wrong=BROKEN, model_ms=0.1),
        ]
        said = "It is the fastest of the 2 that are as good by that measure (1.5 ms"
        assert said in verdict(comparison(*models)).choice

    def test_the_more_accurate_although_it_is_slower(self) -> None:
        found = verdict(
            comparison(
                compared("cnn-float32", model_ms=5.0),
                compared("cnn-int8", model_ms=1.0, wrong=BROKEN),
            )
        )
        assert found.choose == "cnn-float32"
        assert "the other may be more than 2 points below" in found.choice
        assert "is less accurate than cnn-float32: UAR -16.7 points" in found.reasons[0]

    def test_a_loss_within_the_margin_is_taken_for_speed(self) -> None:
        found = verdict(
            comparison(
                compared("cnn-float32", model_ms=5.0, n=2400),
                compared("cnn-int8", n=2400, wrong=range(0, 2400, 600)),
            )
        )
        assert found.choose == "cnn-int8"
        assert "so a loss of more than 2 points is unlikely" in found.choice

    def test_an_uncertain_loss_is_not(self) -> None:
        """Not significantly worse, but perhaps by more than the margin: no reason to choose it."""
        wrong = [k for k in range(240) if k // 8 % 12 in (1, 7)][::4]
        found = verdict(
            comparison(compared("cnn-float32", model_ms=5.0), compared("cnn-int8", wrong=wrong))
        )
        assert found.choose == "cnn-float32"

    def test_order_does_not_matter(self) -> None:
        models = [
            compared("cnn-float32", n_bytes=4000, wrong=[1, 50]),
            compared("cnn-int8", n_bytes=1000, wrong=[1, 51]),
            compared("lstm-float32", n_bytes=500, wrong=BROKEN),
        ]
        for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2]):
            found = verdict(comparison(*(models[k] for k in order)))
            assert found.choose == "cnn-int8"

    def test_trained_on_the_clips(self) -> None:
        found = verdict(comparison(compared("cnn-float32", seen=5), compared("cnn-int8")))
        assert found.choose is None
        assert found.choice == (
            "These clips cannot tell which model to choose: cnn-float32 was trained on some of "
            "them."
        )

    def test_one_speaker(self) -> None:
        found = verdict(
            comparison(
                compared("cnn-float32", speakers=1), compared("cnn-int8", speakers=1, wrong=[2])
            )
        )
        assert found.choose is None
        assert "they are of one speaker" in found.choice
        assert "says nothing of others" in found.reasons[0]
        assert "nan" not in str(found)


class TestReasons:
    def test_not_significant(self) -> None:
        found = verdict(
            comparison(compared("cnn-float32", wrong=[1, 50]), compared("cnn-int8", wrong=[1, 90]))
        )
        assert re.search(
            r"UAR \+0\.0 points \(95 %: -\d\.\d to \+\d\.\d\), not a significant difference; the "
            r"same label on 99\.2% of the clips\.",
            found.reasons[0],
        )

    def test_more_accurate(self) -> None:
        found = verdict(comparison(compared("cnn-int8", wrong=BROKEN), compared("cnn-float32")))
        assert "cnn-float32 is more accurate than cnn-int8: UAR +16.7 points" in found.reasons[0]

    @pytest.mark.parametrize(
        ("ms", "said"),
        [
            (8.0, "takes 8.0 times the computing time (95 %: 8.00 to 8.00): int8 is slower here"),
            (0.5, "takes 0.50 times the computing time (95 %: 0.50 to 0.50)."),
            (1.05, "takes 1.05 times the computing time (95 %: 1.05 to 1.05), about the same."),
        ],
    )
    def test_speed(self, ms: float, said: str) -> None:
        models = compared("lstm-float32"), compared("lstm-int8", model_ms=ms)
        assert said in verdict(on("aarch64", comparison(*models))).reasons[0]

    def test_a_quantized_model_is_set_against_its_own_float_model(self) -> None:
        found = verdict(
            comparison(
                compared("cnn-float32"),
                compared("lstm-float32", wrong=[1]),
                compared("lstm-int8", wrong=[1]),
            )
        )
        assert found.reasons[1].startswith("lstm-int8 gives the same label as lstm-float32")

    def test_slow_networks_of_another_kind_are_not_blamed_on_int8(self) -> None:
        models = compared("cnn-float32"), compared("lstm-int8", model_ms=8.0)
        (reason,) = verdict(on("x86_64", comparison(*models))).reasons
        assert "int8 is slower" not in reason
        assert "kernel" not in reason

    @pytest.mark.parametrize(
        ("network", "machine", "explained"),
        [("lstm", "x86_64", True), ("lstm", "aarch64", False), ("cnn", "x86_64", False)],
    )
    def test_why_the_int8_lstm_is_slow(self, network: str, machine: str, explained: bool) -> None:
        models = compared(f"{network}-float32"), compared(f"{network}-int8", model_ms=8.0)
        (reason,) = verdict(on(machine, comparison(*models))).reasons
        assert "int8 is slower here" in reason
        assert ("none on x86-64" in reason) is explained
        assert ("it has one for dynamic-int8" in reason) is explained

    @pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
    def test_which_board_gains_what(self, machine: str) -> None:
        cores = "cortex-a53", "cortex-a72", "cortex-a76"
        exact, int8 = (dict(zip(cores, n, strict=True)) for n in ((100, 100, 100), (70, 80, 25)))
        models = [
            dataclasses.replace(compared("cnn-float32"), instructions=exact),
            dataclasses.replace(compared("cnn-int8"), instructions=int8),
            compared("lstm-float32"),
        ]
        counted, not_counted = verdict(on(machine, comparison(*models))).reasons
        said = "times the instructions: 0.70 on Zero 2 W, 3 B; 0.80 on 4 B; 0.25 on 5 (counted"
        assert (said in counted) is (machine == "x86_64")
        assert "instructions" not in not_counted


class TestCautions:
    def cautions(self, found: Verdict) -> str:
        return " ".join(found.cautions)

    def test_few_speakers(self) -> None:
        few = comparison(compared("cnn-float32", speakers=5), compared("cnn-int8", speakers=5))
        assert "of 5 speakers only: the intervals are too narrow" in self.cautions(verdict(few))
        many = comparison(compared("cnn-float32"), compared("cnn-int8"))
        assert "speakers" not in self.cautions(verdict(many))

    def test_several_pairs(self) -> None:
        models = [compared(f"cnn-{p}") for p in ("float32", "float16", "int8")]
        assert "Each of the 3 pairs" in self.cautions(verdict(comparison(*models)))

    def test_another_machine_than_a_pi(self) -> None:
        models = compared("cnn-float32"), compared("cnn-int8")
        assert "not of a Raspberry Pi" in self.cautions(verdict(on("x86_64", comparison(*models))))
        assert self.cautions(verdict(on("aarch64", comparison(*models)))) == ""

    def test_a_busy_machine(self) -> None:
        models = compared("cnn-float32"), compared("cnn-int8")
        busy = BoardState(None, None, None, None, load=5.25, cores=4)
        assert "had other work (load 5.2 on 4 cores)" in self.cautions(
            verdict(comparison(*models, before=busy))
        )
        quiet = BoardState(None, None, None, None, load=1.25, cores=4)
        assert "other work" not in self.cautions(verdict(comparison(*models, before=quiet)))

    def test_throttled_meanwhile(self) -> None:
        past = BoardState(1500, "ondemand", 60.0, ("under-voltage since boot",))
        later = dataclasses.replace(
            past, throttling=("under-voltage since boot", "throttled since boot")
        )
        models = compared("cnn-float32"), compared("cnn-int8")
        said = self.cautions(verdict(comparison(*models, before=past, after=later)))
        assert "The machine was held back during the timing: throttled." in said
        assert "held back" not in self.cautions(
            verdict(comparison(*models, before=past, after=past))
        )

    def test_throttled(self) -> None:
        hot = BoardState(600, "ondemand", 85.0, ("throttled now",))
        models = compared("cnn-float32"), compared("cnn-int8")
        said = self.cautions(verdict(comparison(*models, after=hot)))
        assert "The machine was held back after the timing: 600 MHz (ondemand), 85 °C" in said


def test_points_have_one_zero() -> None:
    assert points(-0.0004) == points(0.0) == "+0.0"
    assert points(-0.0128) == "-1.3"
