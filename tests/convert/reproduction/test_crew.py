"""Worker processes: their ends, their errors, and the board that counts them."""

from __future__ import annotations

import dataclasses
import functools
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from job_code import PREPARE, SVM, wait_for, worker
from results_mock import small_recipe

from emopi.convert.reproduction.board import Board
from emopi.convert.reproduction.crew import Ended, run_all
from emopi.convert.reproduction.plan import Places, plan
from emopi.convert.reproduction.worker import Order


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
from emopi.convert.reproduction.crew import run_all
from emopi.convert.reproduction.plan import Places, plan
from emopi.convert.reproduction.worker import Order
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
        "import sys, time\nfrom emopi.convert.reproduction.worker import interrupt_at_the_end_of\n"
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
        "emopi.convert.reproduction.plan.default_recipe",
        lambda *a, **b: long(small_recipe(*a, **b)),
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
