"""The store of results, and the report: it says what they say, all of it, the same each time."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from results_mock import CORPUS, outcome, result, small_recipe

from emopi.convert.reproduction.findings import Findings
from emopi.convert.reproduction.illustrations import Illustrations, draw_findings
from emopi.convert.reproduction.plan import Job, plan
from emopi.convert.reproduction.report import render
from emopi.convert.reproduction.results import (
    CURVE_POINTS,
    Result,
    read_result,
    thinned,
    write_result,
)
from emopi.device.errors import RunError, SpecError
from emopi.train.evaluation import scores

CNN = Job("cnn", "upm-5", "fold1", 0)
PROTOCOLS = ("paper-80-20", "upm-5")


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few resamples for intervals, few draws for wearers: their worth is tested elsewhere."""
    interval = scores.speaker_interval
    monkeypatch.setattr(
        "emopi.train.evaluation.scores.speaker_interval",
        lambda speakers, statistic: interval(speakers, statistic, resamples=20),
    )
    monkeypatch.setattr("emopi.convert.reproduction.findings.DRAWS", 1)


@pytest.fixture(scope="module")
def every() -> Findings:
    """Of two protocols, with the last two folds of the lstm missing and a condition here."""
    jobs = plan(PROTOCOLS)
    shares = {"svm": 0.5, "cnn": 0.75, "lstm": 0.7}
    results = []
    for job in jobs:
        if (job.network, job.protocol) == ("lstm", "upm-5") and job.fold in ("fold4", "fold5"):
            continue
        one = result(job, shares[job.network])
        if (job.network, job.protocol) == ("cnn", "upm-5"):
            noisy = outcome(job, "int8", 0.5)
            one = dataclasses.replace(one, conditions={"noise 10 dB": noisy})
        results.append(one)
    return Findings(jobs, tuple(results))


def tables(text: str) -> list[list[list[str]]]:
    """The cells of every Markdown table."""
    found: list[list[list[str]]] = []
    for block in text.split("\n\n"):
        if block.startswith("|"):
            rows = [line.strip("| ").split(" | ") for line in block.splitlines()]
            found.append([rows[0], *rows[2:]])
    return found


def section(text: str, title: str) -> str:
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0].strip()


def test_round_trip(tmp_path: Path) -> None:
    noisy = {"noise 10 dB": outcome(CNN, "int8", 0.5)}
    original = result(CNN, conditions=noisy)
    path = tmp_path / "upm-5" / "cnn-fold1.json"
    write_result(original, path)
    again = read_result(path)
    assert again.outcomes == original.outcomes
    assert again.conditions == noisy
    assert again.render() == original.render() == path.read_text()
    assert path.stat().st_size < 100_000
    assert json.loads(path.read_text())["outcomes"]["int8"]["network"] == "cnn"


def test_deployed_is_int8_or_the_only_one() -> None:
    assert result(CNN).deployed.precision == "int8"
    assert result(Job("svm", "upm-5", "fold1", 0)).deployed.precision == "float64"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "it has format 2; expected 1"),
        ({"surprise": 1}, "unknown field 'surprise'"),
        ({"outcomes": {"int8": {}}}, "field 'answers' is missing in Outcome"),
        ({"outcomes": []}, "'list' object has no attribute 'items'"),
        ({"outcomes": {}}, "there is no outcome"),
        ({"fold": "fold2"}, r"an outcome is of \('cnn', 'upm-5', 'fold1'\)"),
    ],
)
def test_unusable_files(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(json.loads(result(CNN).render()) | change))
    with pytest.raises(RunError, match=rf"a\.json cannot be read \(.*{message}"):
        read_result(path)
    path.write_text("{")
    with pytest.raises(RunError, match=r"cannot be read .* expected a result of this emopi"):
        read_result(path)


def test_a_result_counts_only_for_its_recipe_and_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    one = result(CNN)
    assert one.why_not(CNN, CORPUS) == ""
    assert one.why_not(CNN, "d1" * 32) == "of another corpus (c0c0c0c0, now d1d1d1d1)"
    seed = dataclasses.replace(CNN, seed=1)
    assert one.why_not(seed, CORPUS).startswith("of another recipe (")
    quick = result(dataclasses.replace(CNN, quick=True))
    assert quick.why_not(CNN, CORPUS).startswith("of another recipe (")
    svm = Job("svm", "upm-5", "fold1", 0)
    trial = result(dataclasses.replace(svm, quick=True))
    assert trial.why_not(svm, CORPUS) == "of a quick trial"
    monkeypatch.setattr("emopi.convert.reproduction.plan.default_recipe", small_recipe)
    assert one.why_not(CNN, CORPUS).startswith("of another recipe (")


def test_thinned() -> None:
    history = [{"epoch": k, "loss": 1.0, "seconds": 3.0} for k in range(1, 301)]
    kept = thinned(history)
    assert [entry["epoch"] for entry in kept] == list(range(5, 301, 5))
    assert len(kept) == CURVE_POINTS
    assert kept[0] == {"epoch": 5, "loss": 1.0}
    assert [entry["epoch"] for entry in thinned(history[:7])] == list(range(1, 8))
    assert [entry["epoch"] for entry in thinned(history[:61])][-1] == 61
    assert thinned([]) == ()


def test_report_repeats(every: Findings) -> None:
    text = render(every, Illustrations({}))
    again = tuple(Result.parse(one.render()) for one in every.results)
    assert render(Findings(every.jobs, again), Illustrations({})) == text


def test_report_beside_the_paper(every: Findings) -> None:
    text = render(every, Illustrations({}))
    head, *rows = tables(section(text, "Beside the paper's Table 1"))[0]
    assert head == ["accuracy, %", "**as the paper states**", "paper-80-20", "upm-5 (unseen)"]
    by = {row[0]: row[1:] for row in rows}
    assert by["CNN"][0] == "93"
    assert by["RNN (LSTM)"][0] == "86"
    assert by["SVM"][0] == "no figure"
    assert [cell.split()[0] for cell in by["CNN"][1:]] == ["75.0", "75.0"]
    assert [cell.split()[0] for cell in by["SVM"][1:]] == ["50.0", "50.0"]


def test_report_by_protocol(every: Findings) -> None:
    text = render(every, Illustrations({}))
    figures, recalls = tables(section(text, "upm-5"))
    names = [row[0] for row in figures[1:]]
    assert names == ["svm-float64", "cnn-int8", "cnn-float32", "lstm-int8", "lstm-float32"]
    by = {row[0]: dict(zip(figures[0][1:], row[1:], strict=True)) for row in figures[1:]}
    assert by["cnn-int8"]["folds"] == "5"
    assert by["cnn-int8"]["clips"] == "1440"
    assert by["lstm-int8"]["folds"] == "3 of 5"
    assert by["lstm-int8"]["clips"] == "900"
    model = every.find("cnn", "upm-5")
    assert model is not None
    expected = f"{100 * model.mean.uar:.1f} ± {100 * model.std.uar:.1f}"
    assert by["cnn-int8"]["UAR"] == expected
    assert dict(zip(*recalls[:2], strict=True)).keys() >= set(model.labels)
    recall = dict(zip(recalls[0], recalls[2], strict=True))
    assert recall["angry"] == f"{100 * model.recall['angry']:.1f}"


def test_report_says_what_is_missing_and_known(every: Findings) -> None:
    text = render(every, Illustrations({}))
    assert "**Not complete.**\n\n- upm-5, lstm: 3 of 5 folds; missing: fold4, fold5\n" in text
    assert "the same 24 actors on both sides" in text
    assert "Nothing was chosen on a fold's test clips" in text
    whole = Findings(plan(["upm-5"], ["svm"]), tuple(map(result, plan(["upm-5"], ["svm"]))))
    assert "Not complete" not in render(whole, Illustrations({}))
    assert "Known against unseen" not in render(whole, Illustrations({}))
    assert "Known against unseen" in text


def test_report_of_quantization(every: Findings) -> None:
    """Paired over all folds: the int8 outcomes against the float32 ones of the same results."""
    rows = tables(section(render(every, Illustrations({})), "What quantization costs"))[0]
    names = [row[0] for row in rows[1:]]
    assert names == [f"{network}-int8, {p}" for p in PROTOCOLS for network in ("cnn", "lstm")]
    assert [row[1] for row in rows[1:]] == ["5", "5", "5", "3"]
    for row, one in zip(rows[1:], every.quantized, strict=True):
        pairs = [
            (result.outcomes["float32"], result.outcomes["int8"])
            for result in every.results
            if (result.network, result.protocol) == (one.network, one.protocol)
        ]
        a, b = (np.array([k for o in side for k in o.answers]) for side in zip(*pairs, strict=True))
        truth = np.array([k for o, _ in pairs for k in o.truth])
        assert int(row[2]) == one.says.n == len(truth)
        change = 100 * (scores.uar(truth, b, 8) - scores.uar(truth, a, 8))
        assert float(row[3]) == pytest.approx(change, abs=0.006)
        low, high = map(float, row[4].split(" to "))
        assert low <= change <= high
        assert float(row[5]) == pytest.approx(
            100 * np.mean(1.0 * (b == truth) - (a == truth)), abs=0.006
        )
        assert row[7] == f"{100 * np.mean(a == b):.1f}"
        assert one.to_json()["folds"] == list(one.folds)
    svm = tuple(result for result in every.results if result.network == "svm")
    assert "What quantization" not in render(Findings(every.jobs, svm), Illustrations({}))


def test_report_of_conditions(every: Findings) -> None:
    text = render(every, Illustrations({}))
    head, clean, noisy = tables(section(text, "Under worse conditions"))[0]
    assert head == ["UAR, %", "cnn upm-5"]
    assert clean[0] == "clean"
    (one,) = every.heard
    assert clean[1] == f"{100 * one.clean.mean.uar:.1f} ± {100 * one.clean.std.uar:.1f}"
    now, change = one.under.mean.uar, one.under.mean.uar - one.clean.mean.uar
    assert noisy == ["noise 10 dB", f"{100 * now:.1f} ({100 * change:+.1f})"]
    assert one.clean.mean.accuracy - one.under.mean.accuracy == pytest.approx(0.25)
    without = tuple(dataclasses.replace(one, conditions={}) for one in every.results)
    assert "Under worse" not in render(Findings(every.jobs, without), Illustrations({}))


def test_a_condition_is_compared_on_its_own_folds() -> None:
    jobs = plan(["upm-5"], ["cnn"])[:2]
    heard = outcome(jobs[0], "int8", 0.5)
    first = result(jobs[0], 0.9, conditions={"reverberation": heard})
    findings = Findings(jobs, (first, result(jobs[1], 0.1)))
    (one,) = findings.heard
    assert one.clean.folds == one.under.folds == ("fold1",)
    assert one.clean.mean.accuracy == pytest.approx(0.9)


def test_provenance(every: Findings) -> None:
    other = dataclasses.replace(
        every.results[-1],
        commit="fedcba987654-dirty",
        hardware="another",
        versions={"numpy": "2.5"},
    )
    text = render(Findings(every.jobs, (*every.results[:-1], other)), Illustrations({}))
    end = section(text, "Where these figures are from")
    assert "commits 0123456789ab, fedcba987654-dirty" in end
    assert "A commit that ends in -dirty had changes" in end
    assert "numpy 2.4.6 and 2.5" in end
    assert "a processor, 2 cores; another" in end
    assert CORPUS in end
    assert "svm no randomness" in end
    assert "cnn seed 0 to 4" in end
    assert "emopi reproduce --corpus DIR" in end
    assert "dirty" not in render(every, Illustrations({}))
    training = {row[0]: row for row in tables(text)[-1][1:]}
    assert training["cnn"][1:] == ["10", str(CNN.epochs), "24", "661", "2419"]
    assert training["svm"][2:] == ["–", "0.1", "–", "–"]


def test_quick_trial_cannot_pass_for_results(tmp_path: Path) -> None:
    jobs = plan(["upm-5"], ["svm"], quick=True)
    findings = Findings(jobs, (result(jobs[0]),))
    text = render(findings, Illustrations({}))
    assert text.startswith("# A quick trial, not results\n\n> **Trained for a few epochs")
    assert "--corpus DIR --quick" in text
    draw_findings(findings, tmp_path)
    full = Findings(plan(["upm-5"], ["svm"])[:1], (result(plan(["upm-5"], ["svm"])[0]),))
    marked = (tmp_path / "confusion-upm-5-svm.png").read_bytes()
    draw_findings(full, tmp_path)
    assert (tmp_path / "confusion-upm-5-svm.png").read_bytes() != marked


def test_figures_of_findings(every: Findings, tmp_path: Path) -> None:
    folder = tmp_path / "figures"
    folder.mkdir()
    drawn = draw_findings(every, folder)
    assert set(drawn) == {
        "accuracy", "random-against-unseen", "curves",
        *(f"confusion-{p}-{n}" for p in PROTOCOLS for n in ("svm", "cnn", "lstm")),
    }  # fmt: skip
    assert sorted(drawn.values()) == sorted(f"figures/{p.name}" for p in folder.iterdir())
    clips = {"angry": "03-01-05-01-01-01-12"}
    shown = Illustrations(drawn | {"clip-angry": "figures/clip-angry.png"}, "cnn-int8-abc", clips)
    text = render(every, shown)
    for path in drawn.values():
        assert f"]({path})" in text
    assert "(the paper's Fig. 6): RAVDESS clip 03-01-05-01-01-01-12, CC BY-NC-SA 4.0." in text
    assert "![angry, as the model hears it](figures/clip-angry.png)" in text
    assert "cnn-int8-abc says every 0.1 s" in text


def test_seeds_are_counted_once() -> None:
    one = result(CNN)
    with pytest.raises(SpecError, match="has 2 outcomes of upm-5 fold1 with seed 0"):
        _ = Findings((CNN,), (one, one)).models
