"""Real workers, real trainings: killed amid one, and without the teacher."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from job_code import PREPARE, do, wait_for
from results_mock import small_recipe

from emopi.convert.reproduction import crew
from emopi.convert.reproduction.plan import Places, plan
from emopi.convert.reproduction.reproduce import Corpus, report
from emopi.convert.reproduction.results import read_result
from emopi.convert.reproduction.worker import Order
from emopi.device.contract import read
from emopi.train.corpora import LABELS
from emopi.train.run_record import History, RunRecord
from emopi.train.splits import load_protocol
from emopi.train.training import CHECKPOINT, run_hash


def test_killed_training_goes_on_where_it_was(
    corpus: Corpus, places: Places, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A real worker, killed for real amid its training; the second one ends it, and only that."""
    pytest.importorskip("keras", reason="training needs TensorFlow")
    code = (
        PREPARE
        + """
import emopi.convert.reproduction.plan, emopi.train.training
from emopi.convert.reproduction import worker
emopi.convert.reproduction.plan.default_recipe = small_recipe
emopi.train.training.SAVE_EVERY_S = 0.0
sys.exit(worker.main())
"""
    )
    monkeypatch.setattr("emopi.convert.reproduction.plan.default_recipe", small_recipe)
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
        "emopi.convert.reproduction.illustrations.draw_clip",
        lambda _path, trace, **_: traced.append(trace),
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
import emopi.convert.reproduction.plan
from emopi.convert.reproduction import worker
emopi.convert.reproduction.plan.default_recipe = small_recipe
sys.exit(worker.main())
"""
    )
    monkeypatch.setattr("emopi.convert.reproduction.plan.default_recipe", small_recipe)
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
