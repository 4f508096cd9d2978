"""Reproduction: what is done, what is done again, and what is left after every kind of end."""

from __future__ import annotations

import dataclasses
import fcntl
import functools
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from results_mock import result, small_recipe
from support import ROOT, run_emopi

from emopi.convert import crew
from emopi.convert import reproduce as reproduce_module
from emopi.convert.board import Board
from emopi.convert.crew import Ended, run_all
from emopi.convert.plan import QUICK_EPOCHS, Job, Places, plan
from emopi.convert.reproduce import (
    Corpus,
    carry_out,
    due_jobs,
    epochs_done,
    open_corpus,
    report,
    valid_results,
)
from emopi.convert.results import read_result, write_result
from emopi.convert.worker import Order
from emopi.device.contract import read
from emopi.device.errors import CorpusError, RunError, SpecError
from emopi.train.corpora import LABELS
from emopi.train.run_record import History, RunRecord
from emopi.train.splits import load_protocol
from emopi.train.training import CHECKPOINT, run_hash

SVM = plan(["upm-5"], ["svm"])

PREPARE = f"""
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, {str(ROOT / "tests")!r})
from results_mock import result, small_recipe
from emopi.convert.results import write_result
from emopi.convert.worker import Order
order = Order.from_json(sys.argv[1])
job = order.job
"""
WRITE = PREPARE + "write_result(result(job, corpus_sha256={sha!r}), order.places.result(job))\n"


def worker(code: str) -> tuple[str, ...]:
    """The command of a worker that runs `code`."""
    return (sys.executable, "-c", code)


@pytest.fixture(scope="module")
def corpus(tiny_corpus: Path) -> Corpus:
    return open_corpus(tiny_corpus, plan())


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path / "work", tmp_path / "work" / "results", tmp_path / "cache")


@pytest.fixture
def no_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """For workers that need none."""
    monkeypatch.setattr(reproduce_module, "_extract", lambda *_: None)


def do(
    jobs: tuple[Job, ...],
    corpus: Corpus,
    places: Places,
    code: str = WRITE,
    n_workers: int = 2,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Ended]:
    command = worker(code.replace("{sha!r}", repr(corpus.sha256)))
    return carry_out(jobs, corpus, places, n_workers, tell, command=command)


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


def wait_for(condition: Callable[[], bool], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_ctrl_c_lets_workers_keep_what_they_have(tmp_path: Path) -> None:
    """The parent is a process of its own; its workers write down that they were interrupted."""
    slow = PREPARE + (
        "mine = order.places.work / job.fold\n"
        "mine.write_text('at work')\n"
        "try:\n    time.sleep(600)\n"
        "except KeyboardInterrupt:\n    mine.write_text('kept')\n    sys.exit(130)\n"
    )
    parent = f"""
import sys
from pathlib import Path
from emopi.convert.crew import run_all
from emopi.convert.plan import Places, plan
from emopi.convert.worker import Order
from emopi.device.errors import RunError
work = Path({str(tmp_path)!r})
orders = [Order(job, work, Places(work, work, work)) for job in plan(["upm-5"], ["svm"])]
try:
    run_all(orders, 2, lambda *_: None, [sys.executable, "-c", {slow!r}])
except RunError as error:
    sys.exit(f"refused: {{error}}")
"""
    process = subprocess.Popen([sys.executable, "-c", parent], stderr=subprocess.PIPE, text=True)
    files = [tmp_path / "fold1", tmp_path / "fold2"]
    wait_for(lambda: all(file.exists() and file.read_text() for file in files))
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=240)
    assert process.returncode == 1
    assert "refused: interrupted; what is done is kept, and the same command goes on" in said
    assert [file.read_text() for file in files] == ["kept", "kept"]
    assert not (tmp_path / "fold3").exists()


def test_a_worker_ends_with_its_parent() -> None:
    code = (
        "import sys, time\nfrom emopi.convert.worker import interrupt_at_the_end_of\n"
        "try:\n    interrupt_at_the_end_of(sys.stdin.fileno())\n"
        "    print('ready', flush=True)\n    time.sleep(600)\n"
        "except KeyboardInterrupt:\n    sys.exit(130)\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(timeout=240) == 130


def test_worker_tells_its_error_in_the_last_line(places: Places, tmp_path: Path) -> None:
    order = Order(SVM[0], tmp_path / "nowhere", places)
    assert Order.from_json(order.to_json()) == order
    ended = run_all([order], 1, lambda *_: None)
    assert "nowhere" in ended[0].error
    assert ended[0].error.endswith(f"See {places.log(SVM[0])}")
    assert "Traceback" not in places.log(SVM[0]).read_text()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts file descriptors in /proc")
def test_crew_leaves_nothing_open(places: Places, tmp_path: Path) -> None:
    orders = [Order(job, tmp_path, places) for job in SVM[:3]]
    run_all(orders[:1], 1, lambda *_: None, worker("pass"))
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    assert [one.error for one in run_all(orders, 3, lambda *_: None, worker("pass"))] == [""] * 3
    assert len(list(descriptors.iterdir())) == before


def test_board(monkeypatch: pytest.MonkeyPatch) -> None:
    long = functools.partial(dataclasses.replace, epochs=300)
    monkeypatch.setattr(
        "emopi.convert.plan.default_recipe", lambda *a, **b: long(small_recipe(*a, **b))
    )
    jobs = plan(["upm-5"], ["cnn"])
    done = dict.fromkeys(jobs, 0) | {jobs[0]: 150}
    now_s = [1000.0]
    board = Board(8, jobs, lambda job: done[job], lambda _: "fine", lambda: now_s[0])
    assert board.describe() == "3 of 8 done"
    board.watch(jobs[:2], [])
    assert board.describe() == "3 of 8 done, upm-5/cnn-fold1 50%, upm-5/cnn-fold2 0%"
    # 75 of the 1350 epochs that were left took ten minutes: 1275 take 170
    now_s[0] += 600
    done |= {jobs[0]: 195, jobs[1]: 30}
    board.watch(jobs[:2], [])
    assert board.describe().endswith("fold1 65%, upm-5/cnn-fold2 10%, about 2 h 50 min to go")
    done[jobs[0]] = 300
    board.watch(jobs[1:3], [Ended(jobs[0], "")])
    board.watch(jobs[2:3], [Ended(jobs[1], "no memory")])
    assert board.describe().startswith("4 of 8 done, 1 failed, upm-5/cnn-fold3 0%, about ")


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


def test_report_without_results(corpus: Corpus, places: Places, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="has no valid result, so there is nothing to report"):
        report(SVM, corpus, places, tmp_path, lambda _: None)


def test_report_has_what_is_there(corpus: Corpus, places: Places, tmp_path: Path) -> None:
    """Also of protocols that were not asked for, but nothing of others."""
    known = plan(["random-10fold"], ["svm"])
    for job in (*SVM[:2], known[0]):
        write_result(result(job, corpus_sha256=corpus.sha256), places.result(job))
    path, findings = report(SVM, corpus, places, tmp_path / "out", lambda _: None)
    assert path == tmp_path / "out" / "RESULTS.md"
    assert findings.protocols == ("random-10fold", "upm-5")
    text = path.read_text()
    assert "- upm-5, svm: 2 of 5 folds; missing: fold3, fold4, fold5\n" in text
    assert "- random-10fold, svm: 1 of 10 folds" in text
    assert "emobox-6 |" not in text
    assert "cnn" not in "".join(line for line in text.splitlines() if line.startswith("|"))
    for line in text.splitlines():
        if line.startswith("!["):
            assert (path.parent / line.split("](")[1].rstrip(")")).is_file()


def test_command_from_corpus_to_report(corpus: Corpus, tiny_corpus: Path, tmp_path: Path) -> None:
    """A real worker; `--quick`, which must not touch what is no trial."""
    pytest.importorskip("sklearn", reason="the baseline needs scikit-learn")
    kept = tmp_path / "kept"
    full = Places(tmp_path, kept, tmp_path).result(SVM[0])
    write_result(result(SVM[0], corpus_sha256=corpus.sha256), full)
    before = full.read_bytes()
    arguments = [
        "reproduce", "--quick", "--corpus", tiny_corpus, "--protocol", "upm-5", "--network", "svm",
        "--work", tmp_path / "work", "--results", kept, "--cache", tmp_path / "cache",
    ]  # fmt: skip
    first = run_emopi(*arguments, "--json")
    assert first.returncode == 0, first.stderr
    assert "1 of 1 done" in first.stderr
    summary = json.loads(first.stdout)
    assert (summary["quick"], summary["failed"]) == (True, [])
    (model,) = summary["models"]
    assert (model["network"], model["folds"], model["n"]) == ("svm", 1, 300)
    path = tmp_path / "work" / "RESULTS-quick.md"
    text = path.read_text()
    assert text.startswith("# A quick trial, not results")
    assert f"| svm-float64 | 1 | 300 | {100 * model['accuracy']:.1f} | " in text
    trial = read_result(kept / "quick" / "upm-5" / "svm-fold1.json")
    assert trial.quick
    assert trial.outcomes["float64"].figures.accuracy == model["accuracy"]
    again = run_emopi(*arguments)
    assert again.returncode == 0, again.stderr
    assert again.stderr == "1 of 1 jobs are done already\n"
    assert again.stdout == f"{path}: 1 of 1 results\n"
    assert path.read_text() == text
    # what is no trial is as it was, and is reported apart
    assert full.read_bytes() == before
    arguments.remove("--quick")
    report = run_emopi(*arguments, "--report", "--out", tmp_path / "out")
    assert report.returncode == 0, report.stderr
    assert (tmp_path / "out" / "RESULTS.md").read_text().startswith("# Results\n")
    assert "| svm-float64 | 1 of 5 | 300 | 75.0 | " in (tmp_path / "out" / "RESULTS.md").read_text()


def test_command_line_errors(tiny_corpus: Path, tmp_path: Path) -> None:
    base = ("reproduce", "--corpus", tiny_corpus, "--work", tmp_path / "work")
    done = run_emopi(*base, "--protocol", "loso")
    assert done.returncode == 1
    assert "cannot reproduce 'loso'; expected one of: paper-80-20, paper-70-30" in done.stderr
    done = run_emopi(*base, "--report")
    assert done.returncode == 1
    assert "there is nothing to report" in done.stderr
    assert not (tmp_path / "work").exists()
    assert run_emopi("reproduce").returncode == 2


def test_killed_training_goes_on_where_it_was(
    corpus: Corpus, places: Places, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A real worker, killed for real amid its training; the second one ends it, and only that."""
    pytest.importorskip("keras", reason="training needs TensorFlow")
    code = (
        PREPARE
        + """
import emopi.convert.plan, emopi.train.training
from emopi.convert import worker
emopi.convert.plan.default_recipe = small_recipe
emopi.train.training.SAVE_EVERY_S = 0.0
sys.exit(worker.main())
"""
    )
    monkeypatch.setattr("emopi.convert.plan.default_recipe", small_recipe)
    jobs = plan(["paper-80-20"], ["cnn"])[:1]
    run = places.run(jobs[0])
    processes = []
    start = crew.start

    def started(order: Order, command: tuple[str, ...]) -> object:
        running = start(order, command)
        processes.append(running.process)
        return running

    def kill() -> None:
        wait_for((run / CHECKPOINT).exists, 600)
        processes[0].kill()

    monkeypatch.setattr(crew, "start", started)
    killer = threading.Thread(target=kill)
    killer.start()
    (ended,) = do(jobs, corpus, places, code)
    killer.join()
    assert ended.error.startswith("its process was ended by SIGKILL")
    assert not places.result(jobs[0]).exists()
    before = History.read(run).epochs
    assert 1 <= len(before) < 4

    (ended,) = do(jobs, corpus, places, code)
    assert ended.error == ""
    after = History.read(run).epochs
    assert [entry["epoch"] for entry in after] == [1, 2, 3, 4]
    assert after[: len(before) - 1] == before[:-1]  # seconds too: these are the same epochs
    done = read_result(places.result(jobs[0]))
    assert (done.epochs, done.seed, set(done.outcomes)) == (4, 0, {"int8", "float32"})
    assert [entry["loss"] for entry in done.curve] == [entry["loss"] for entry in after]
    _, contract = read(places.model(jobs[0]))
    assert contract.precision == "int8"
    assert contract.scores[0].accuracy == done.outcomes["int8"].figures.accuracy
    assert done.bytes["int8"] == places.model(jobs[0]).stat().st_size < done.bytes["float32"]

    traced = []
    monkeypatch.setattr(
        "emopi.convert.illustrations.draw_clip", lambda _path, trace, **_: traced.append(trace)
    )
    path, findings = report(jobs, corpus, places, tmp_path / "out", lambda _: None)
    assert findings.find("cnn", "paper-80-20") is not None
    text = path.read_text()
    test = load_protocol("paper-80-20").fold("seed0").test
    for trace in traced:
        assert trace.clip_id in test
        assert LABELS[int(trace.clip_id[6:8]) - 1] == trace.label
        assert f"RAVDESS clip {trace.clip_id}, CC BY-NC-SA 4.0" in text
    assert {trace.label for trace in traced} == set(LABELS)
    assert {trace.model for trace in traced} == {contract.model_id}


def test_a_student_whose_teacher_is_gone_trains_it_anew(
    corpus: Corpus, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The teacher's result is there, as it is in the repository, but not its run folder."""
    pytest.importorskip("keras", reason="training needs TensorFlow")
    code = (
        PREPARE
        + """
import emopi.convert.plan
from emopi.convert import worker
emopi.convert.plan.default_recipe = small_recipe
sys.exit(worker.main())
"""
    )
    monkeypatch.setattr("emopi.convert.plan.default_recipe", small_recipe)
    (job,) = plan(["paper-80-20"], ["lstm"])[:1]
    assert job.teacher
    (ended,) = do([job], corpus, places, code)
    assert ended.error == ""
    assert RunRecord.read(places.run(job.teacher)).finished
    record = RunRecord.read(places.run(job))
    assert record.teacher
    assert record.teacher["run_sha256"] == run_hash(places.run(job.teacher))
    contract = read(places.model(job))[1]
    assert contract.training["teacher"] == record.teacher
    assert not places.result(job.teacher).exists()
