"""Which jobs are done, in which order, and which are done again."""

from __future__ import annotations

import dataclasses
import fcntl
import json
from pathlib import Path

import pytest
from job_code import PREPARE, SVM, WRITE, do
from results_mock import result

from emopi.convert.reproduction.plan import QUICK_EPOCHS, Job, Places, plan
from emopi.convert.reproduction.reproduce import (
    Corpus,
    due_jobs,
    epochs_done,
    open_corpus,
    valid_results,
)
from emopi.convert.reproduction.results import write_result
from emopi.device.errors import CorpusError, RunError, SpecError


def test_plan() -> None:
    jobs = plan()
    assert len(jobs) == len({job.name for job in jobs}) == 3 * (5 + 5 + 10 + 5 + 6)
    seeds = {job.fold: job.seed for job in jobs if job.protocol == "paper-70-30"}
    assert seeds == {f"seed{k}": k for k in range(5)}
    assert {job.seed for job in jobs if job.protocol in ("random-10fold", "upm-5")} == {0}
    assert jobs[0].name == "paper-80-20/svm-seed0"
    assert len({job.recipe_sha256 for job in jobs if job.network == "cnn"}) == 5
    assert plan(["upm-5", "upm-5"], ["lstm"])[1] == Job("lstm", "upm-5", "fold2", 0)
    lstm = Job("lstm", "upm-5", "fold2", 0)
    assert lstm.teacher == Job("cnn", "upm-5", "fold2", 0)
    assert lstm.teacher.teacher is None
    assert Job("svm", "upm-5", "fold2", 0).teacher is None
    quick = plan(quick=True)
    assert len(quick) == 15
    assert {job.fold for job in quick} == {"seed0", "fold1"}
    assert all(job.epochs == QUICK_EPOCHS for job in quick if job.network != "svm")
    assert not {job.recipe_sha256 for job in quick if job.network != "svm"} & {
        job.recipe_sha256 for job in jobs
    }
    with pytest.raises(SpecError, match="cannot reproduce 'loso'; expected one of: paper-80-20"):
        plan(["loso"])
    with pytest.raises(SpecError, match="cannot reproduce 'gru'; expected one of: svm, cnn, lstm"):
        plan(networks=["gru"])


@pytest.mark.usefixtures("no_features")
def test_does_every_job_once_and_so_many_at_a_time(corpus: Corpus, places: Places) -> None:
    code = (
        PREPARE
        + """
times = Path(order.places.work, "times"); times.mkdir(exist_ok=True)
start = time.time(); time.sleep(0.6)
write_result(result(job, corpus_sha256={sha!r}), order.places.result(job))
(times / job.fold).write_text(f"{start} {time.time()}")
"""
    )
    ended = do(SVM, corpus, places, code)
    assert {one.job for one in ended} == set(SVM)
    assert not any(one.error for one in ended)
    spans = [
        tuple(map(float, path.read_text().split())) for path in (places.work / "times").iterdir()
    ]
    at_once = [sum(a <= start < b for a, b in spans) for start, _ in spans]
    assert max(at_once) == 2
    told: list[str] = []
    assert do(SVM, corpus, places, "raise SystemExit('not again')", tell=told.append) == []
    assert told == ["5 of 5 jobs are done already"]
    assert len(valid_results(SVM, corpus.sha256, places, told.append)) == 5


@pytest.mark.usefixtures("no_features")
def test_a_student_waits_for_its_teacher_and_no_one_else(corpus: Corpus, places: Places) -> None:
    code = (
        PREPARE
        + """
begun = Path(order.places.work, "begun"); begun.mkdir(exist_ok=True)
(begun / f"{job.network}-{job.fold}").touch()
if job.teacher and not order.places.result(job.teacher).exists():
    sys.exit("before its teacher")
deadline = time.monotonic() + 120
while job.name == "upm-5/cnn-fold1" and not (begun / "lstm-fold2").exists():
    if time.monotonic() > deadline:
        sys.exit("nothing was done meanwhile")
    time.sleep(0.05)
write_result(result(job, corpus_sha256={sha!r}), order.places.result(job))
"""
    )
    jobs = [job for job in plan(["upm-5"], ["cnn", "lstm"]) if job.fold in ("fold1", "fold2")]
    assert [one.error for one in do(jobs, corpus, places, code)] == [""] * 4


@pytest.mark.usefixtures("no_features")
def test_a_failing_job_keeps_none_from_being_done(
    corpus: Corpus, places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    code = (
        PREPARE
        + """
if job.fold == "fold2":
    sys.exit("first words\\nthe disk is full.\\n")
if job.fold == "fold3":
    os.kill(os.getpid(), signal.SIGKILL)
"""
        + WRITE.removeprefix(PREPARE)
    )
    errors = {one.job.fold: one.error for one in do(SVM, corpus, places, code) if one.error}
    log = places.log(SVM[1])
    assert errors.pop("fold2") == f"the disk is full. See {log}"
    assert errors.pop("fold3").startswith("its process was ended by SIGKILL: perhaps for want of")
    assert not errors
    assert log.read_text() == "first words\nthe disk is full.\n\n"
    shown = capsys.readouterr().err
    assert "upm-5/svm-fold2: FAILED: the disk is full." in shown
    assert "3 of 5 done, 2 failed" in shown
    assert "upm-5/svm-fold1: accuracy 75.0%, UAR " in shown
    again = do(SVM, corpus, places)
    assert {one.job.fold for one in again} == {"fold2", "fold3"}
    assert not any(one.error for one in again)


def test_results_of_another_recipe_or_corpus_are_moved(corpus: Corpus, places: Places) -> None:
    good, recipe, other, damaged, missing = SVM
    write_result(result(good, corpus_sha256=corpus.sha256), places.result(good))
    changes = {"corpus_sha256": corpus.sha256, "recipe_sha256": "e" * 64}
    write_result(result(recipe, **changes), places.result(recipe))
    write_result(result(other), places.result(other))
    places.result(damaged).write_text("{")
    before = places.result(recipe).read_bytes()
    told: list[str] = []
    assert len(valid_results(SVM, corpus.sha256, places, told.append)) == 1
    assert ["left out of the report" in text for text in told] == [True] * 3
    told.clear()
    assert due_jobs(SVM, corpus, places, told.append) == [recipe, other, damaged, missing]
    aside = places.work / "stale" / "upm-5" / "svm-fold2-result.json"
    assert told[0] == (
        f"{places.result(recipe)} is of another recipe (eeeeeeee, now {recipe.recipe_sha256[:8]}): "
        f"moved to {aside}; done again"
    )
    assert "is of another corpus (c0c0c0c0, now " in told[1]
    assert "is not usable (" in told[2]
    assert told[3] == "1 of 5 jobs are done already"
    assert aside.read_bytes() == before
    # a second one finds its name taken
    write_result(result(recipe, **changes), places.result(recipe))
    due_jobs(SVM, corpus, places, told.append)
    assert aside.with_stem("svm-fold2-result-2").exists()


def test_trainings_of_another_recipe_or_corpus_are_moved(corpus: Corpus, places: Places) -> None:
    jobs = plan(["upm-5"], ["cnn"])
    record = {
        "network": "cnn", "protocol": "upm-5", "fold": "", "validation_share": 0.0,
        "recipe": dataclasses.asdict(jobs[0].recipe), "corpus": {"sha256": corpus.sha256},
        "normalization": {}, "command": "", "commit": None, "versions": {}, "hardware": "",
        "epochs_done": 30,
    }  # fmt: skip
    changes = [
        {},
        {"recipe": record["recipe"] | {"learning_rate": 1.0}},
        {"corpus": {"sha256": "another"}},
        {"format": 99},
    ]
    for job, change in zip(jobs, changes, strict=False):
        places.run(job).mkdir(parents=True)
        (places.run(job) / "run.json").write_text(json.dumps(record | change))
    places.run(jobs[4]).mkdir(parents=True)
    told: list[str] = []
    assert due_jobs(jobs, corpus, places, told.append) == list(jobs)
    assert epochs_done(jobs[0], places) == 30
    assert [places.run(job).exists() for job in jobs] == [True, False, False, False, True]
    assert "fold2 is a training by another recipe: moved to" in told[0]
    assert "fold3 is a training on another corpus: moved to" in told[1]
    assert "fold4 is damaged (" in told[2]
    assert (places.work / "stale" / "upm-5" / "cnn-fold2-run" / "run.json").exists()


def test_one_reproduction_at_a_time(corpus: Corpus, places: Places) -> None:
    places.work.mkdir()
    with (places.work / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RunError, match="another emopi reproduce is at work in"):
            do(SVM, corpus, places)
    file = places.work / "file"
    file.touch()
    unusable = dataclasses.replace(places, work=file)
    with pytest.raises(RunError, match=r"cannot be written: .*; choose another --work"):
        do(SVM, corpus, unusable)


def test_corpus_must_be_complete(tiny_corpus: Path, tmp_path: Path) -> None:
    for clip in tiny_corpus.rglob("*.wav"):
        if clip.stem != "03-01-01-01-01-01-02":  # a test clip of upm-5 fold1
            (tmp_path / clip.name).symlink_to(clip)
    with pytest.raises(CorpusError, match=r"1 clips of fold fold1 are not in the corpus"):
        open_corpus(tmp_path, plan(["upm-5"]))
    other = tmp_path / "other"
    other.mkdir()
    (other / "1001_DFA_ANG_XX.wav").touch()
    with pytest.raises(CorpusError, match="holds crema-d; expected ravdess"):
        open_corpus(other, plan(["upm-5"]))
