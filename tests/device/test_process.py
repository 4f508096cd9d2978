"""Fresh processes: what they say comes as it is, what fails is told, none is left behind."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

import pytest

from emopi.device.errors import ComparisonError
from emopi.device.process import answers


def script(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module `asked` that fresh processes can import."""
    head = "import os, sys\nfrom emopi.device.process import serve\n"
    (folder / "asked.py").write_text(head + textwrap.dedent(text))
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_answers_come_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(
        tmp_path,
        """
        threads = os.environ["OPENBLAS_NUM_THREADS"]
        sys.exit(serve(lambda order: iter([order["x"], os.getpid(), threads])))
        """,
        monkeypatch,
    )
    said, pid, threads = answers("asked", {"x": [1, "é"]})
    assert (said, threads) == ([1, "é"], "1")
    assert pid != os.getpid()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise KeyError('lost')", r"\(exit status 1\): KeyError: 'lost'"),
        ("os.kill(os.getpid(), 11)", r"\(signal 11\): it said nothing"),
        (
            "def no(order):\n    from emopi.device.errors import ModelError\n"
            "    raise ModelError('no model')\n    yield\nsys.exit(serve(no))",
            r"\(exit status 1\): no model$",
        ),
    ],
)
def test_failures_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, message: str
) -> None:
    script(tmp_path, code, monkeypatch)
    with pytest.raises(ComparisonError, match="measuring failed " + message):
        list(answers("asked", 0))


def test_ends_with_who_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(
        tmp_path,
        """
        import time
        def slowly(order):
            yield os.getpid()
            time.sleep(600)
        sys.exit(serve(slowly))
        """,
        monkeypatch,
    )
    asked = answers("asked", 0)
    pid = next(asked)
    asked.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
