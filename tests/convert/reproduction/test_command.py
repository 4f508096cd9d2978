"""The command `emopi reproduce`, and the report of what there is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from job_code import SVM
from results_mock import result
from support import run_emopi

from emopi.convert.reproduction.plan import Places, plan
from emopi.convert.reproduction.reproduce import Corpus, report
from emopi.convert.reproduction.results import read_result, write_result
from emopi.device.errors import RunError


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
