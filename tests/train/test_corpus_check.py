"""What `emopi dataset check` says of a folder, made up and real."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from clips import A, B, write, write_corpus
from support import SHARED

from emopi.device.errors import CorpusError
from emopi.device.sources.audio import read_clip
from emopi.train.commands import dataset
from emopi.train.corpora import LABELS, Ravdess, Savee, corpus_hash
from emopi.train.corpus_check import CorpusCheck, check_corpus
from emopi.train.corpus_report import render

STEREO = (
    "03-01-02-01-01-02-01",
    "03-01-02-01-02-02-05",
    "03-01-03-01-02-01-20",
    "03-01-06-01-01-02-20",
    "03-01-08-01-02-02-01",
)
"""The five clips that were published in stereo."""
TWINS = ("03-01-03-01-02-01-07", "03-01-03-01-02-02-07")
"""One recording, published twice."""


def real(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"needs real clips in {folder}")
    return folder


@pytest.fixture
def originals() -> Path:
    """63 clips as published, at 48 kHz."""
    return real("ravdess48k")


class TestCheck:
    def test_complete(self, tmp_path: Path) -> None:
        write_corpus(tmp_path)
        check = check_corpus(tmp_path)
        assert check.usable
        assert check.duration_s == pytest.approx(1440 * 24 / 48_000)
        assert render(check).splitlines() == [
            f"{tmp_path}: 1440 of 1440 RAVDESS speech clips",
            "  length      0.0 minutes",
            "  format      48000 Hz; mono",
            "Complete and readable.",
        ]
        content = check.to_json()
        assert content["labels"] == {label: 96 if label == "neutral" else 192 for label in LABELS}
        assert content["speakers"] == {f"{n:02}": 60 for n in range(1, 25)}

    def test_few_missing_are_named(self, tmp_path: Path) -> None:
        write_corpus(tmp_path, skip=lambda clip_id: clip_id in (A, B))
        check = check_corpus(tmp_path)
        assert not check.usable
        assert render(check).splitlines()[3:] == [
            "  missing     2 clips",
            f"    {A}",
            f"    {B}",
            f"Not usable yet: run emopi dataset download {tmp_path}",
        ]
        content = check.to_json()
        assert content["missing"] == [A, B]
        assert (content["clips"], content["expected"]) == (1438, 1440)
        assert (content["labels"]["neutral"], content["labels"]["angry"]) == (95, 191)
        assert (content["speakers"]["01"], content["speakers"]["12"]) == (59, 59)

    def test_many_missing_are_counted_by_actor_and_emotion(self, tmp_path: Path) -> None:
        absent = ("02", "03", "04", "06", "24")
        write_corpus(
            tmp_path,
            skip=lambda clip_id: clip_id[-2:] in absent or clip_id[3:] == "01-07-02-02-02-09",
        )
        assert render(check_corpus(tmp_path)).splitlines()[3:6] == [
            "  missing     301 clips",
            "    actors    09 59/60; none of 02-04, 06, 24",
            "    emotions  neutral 76/96, calm 152/192, happy 152/192, sad 152/192, "
            "angry 152/192, fearful 152/192, disgust 151/192, surprised 152/192",
        ]

    def test_empty_folder(self, tmp_path: Path) -> None:
        check = check_corpus(tmp_path)
        assert not check.usable
        assert render(check) == (
            f"{tmp_path}: 0 of 1440 RAVDESS speech clips\n"
            f"Not usable yet: run emopi dataset download {tmp_path}"
        )
        assert check.to_json()["duration_s"] == 0

    def test_unreadable(self, tmp_path: Path) -> None:
        write_corpus(tmp_path)
        empty, cut = (tmp_path / "Actor_01" / f"{A}.wav", tmp_path / "Actor_12" / f"{B}.wav")
        empty.write_bytes(b"")
        os.truncate(cut, 60)
        check = check_corpus(tmp_path)
        assert not check.usable
        assert [bad.path for bad in check.unreadable] == [empty, cut]
        lines = render(check).splitlines()
        assert lines[3] == "  unreadable  2 files"
        assert lines[4].startswith(f"    Actor_01/{A}.wav is empty (0 bytes); expected an audio")
        assert lines[5].startswith(f"    Actor_12/{B}.wav is cut short: its header promises 92 ")
        assert lines[6:] == [
            f"Not usable yet: delete what is unreadable, then run emopi dataset download {tmp_path}"
        ]
        content = check.to_json()
        assert [bad["file"] for bad in content["unreadable"]] == [
            f"Actor_01/{A}.wav",
            f"Actor_12/{B}.wav",
        ]
        assert "is empty (0 bytes)" in content["unreadable"][0]["error"]
        assert content["sample_rates_hz"] == {"48000": 1438}

    def test_samples_that_are_no_numbers(self, tmp_path: Path) -> None:
        samples = np.full(480, np.nan, np.float32)
        soundfile.write(tmp_path / f"{A}.wav", samples, 48_000, subtype="FLOAT")
        (bad,) = check_corpus(tmp_path).unreadable
        assert bad.path.stem == A

    def test_long_lists_are_cut_off(self, tmp_path: Path) -> None:
        for clip_id in Ravdess.published()[:20]:
            (tmp_path / f"{clip_id}.wav").write_bytes(b"no audio, but long enough for a header")
        check = check_corpus(tmp_path)
        lines = render(check).splitlines()
        start = lines.index("  unreadable  20 files")
        assert len(lines[start + 1 :]) == 8 + 1 + 1
        assert lines[-2] == "    and 12 more (all: --json)"
        assert len(check.to_json()["unreadable"]) == 20

    def test_copies_that_are_the_same(self, tmp_path: Path) -> None:
        write(tmp_path / "Actor_01" / f"{A}.wav", 1)
        write(tmp_path / "kaggle" / f"{A}.flac", 1, channels=2)
        check = check_corpus(tmp_path)
        assert check.different_copies == []
        assert check.identical == []
        assert "  copies      1 clips more than once; one of each is used" in render(check)
        assert check.to_json()["copies"] == [[f"Actor_01/{A}.wav", f"kaggle/{A}.flac"]]
        assert check.duration_s == pytest.approx(0.01)  # counted once

    @pytest.mark.parametrize("other", [{"seed": 2}, {"n": 479}, {"rate_hz": 44_100}])
    def test_copies_that_differ(self, tmp_path: Path, other: dict[str, int]) -> None:
        write(tmp_path / "Actor_01" / f"{A}.wav", seed=1)
        write(tmp_path / "kaggle" / f"{A}.wav", **{"seed": 1} | other)
        check = check_corpus(tmp_path)
        lines = render(check).splitlines()
        start = lines.index(
            "  differing   1 clips have copies that are not the same; used is the first"
        )
        assert lines[start + 1] == f"    Actor_01/{A}.wav, kaggle/{A}.wav"
        assert check.to_json()["different_copies"] == [[f"Actor_01/{A}.wav", f"kaggle/{A}.wav"]]

    def test_an_unreadable_spare_copy_does_no_harm(self, tmp_path: Path) -> None:
        write_corpus(tmp_path)
        spare = tmp_path / "spare" / f"{A}.wav"
        spare.parent.mkdir()
        spare.write_bytes(b"")
        check = check_corpus(tmp_path)
        assert check.usable
        assert [bad.path for bad in check.unreadable] == [spare]
        assert check.different_copies == []
        assert render(check).endswith(
            "Complete, and what is used can be read; delete the copies that are wrong."
        )

    def test_foreign_files_by_kind(self, tmp_path: Path) -> None:
        for name in ("03-02-01-01-01-01-01", "03-02-02-01-01-01-01", "01-01-01-01-01-01-01"):
            write(tmp_path / "more" / f"{name}.wav")
        write(tmp_path / "dog.flac")
        write(tmp_path / "03-01-01-02-01-01-01.wav")  # strongly neutral: never published
        check = check_corpus(tmp_path)
        lines = render(check).splitlines()
        assert "  not used    songs: 2, such as more/03-02-01-01-01-01-01.wav" in lines
        assert "  not used    sound of videos: 1, more/01-01-01-01-01-01-01.wav" in lines
        assert "  not used    others: 2, such as 03-01-01-02-01-01-01.wav" in lines
        assert check.to_json()["foreign"]["songs"] == [
            "more/03-02-01-01-01-01-01.wav",
            "more/03-02-02-01-01-01-01.wav",
        ]

    def test_identical_recordings(self, tmp_path: Path) -> None:
        for clip_id, seed in ((A, 1), (B, 1), (TWINS[0], 2), (TWINS[1], 2)):
            write(tmp_path / f"{clip_id}.wav", seed)
        write(tmp_path / "03-01-02-01-01-01-01.wav", 1, rate_hz=44_100)  # another recording
        check = check_corpus(tmp_path)
        assert sorted(check.to_json()["identical"]) == [[A, B], list(TWINS)]
        lines = render(check).splitlines()
        start = lines.index("  identical   the same recording under more than one name")
        assert lines[start + 1 : -1] == [
            f"    {A} = {B}",
            f"    {TWINS[0]} = {TWINS[1]} (so published)",
        ]

    def test_rates_and_channels(self, tmp_path: Path) -> None:
        for clip_id, rate_hz, channels in zip(
            Ravdess.published(), (48_000, 16_000, 48_000), (1, 2, 3), strict=False
        ):
            write(tmp_path / f"{clip_id}.wav", rate_hz=rate_hz, channels=channels)
        check = check_corpus(tmp_path)
        content = check.to_json()
        assert content["sample_rates_hz"] == {"48000": 2, "16000": 1}
        assert content["channels"] == {"1": 1, "2": 1, "3": 1}
        expected = "  format      2 48000 Hz, 1 16000 Hz; 1 mono, 1 stereo, 1 3 channels"
        assert expected in render(check).splitlines()

    def test_a_relative_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write(tmp_path / "03 01" / f"{A}.wav")
        (tmp_path / "03 01" / f"{B}.wav").write_bytes(b"")
        monkeypatch.chdir(tmp_path)
        for folder in (Path(), Path("03 01")):
            assert f"{B}.wav is empty (0 bytes)" in render(check_corpus(folder))
        assert "emopi dataset download '03 01'" in render(check_corpus(Path("03 01")))


class TestOtherCorpora:
    def test_complete(self, tmp_path: Path) -> None:
        for number, clip_id in enumerate(Savee.published()):
            write(tmp_path / f"{clip_id.partition('/')[2]}.wav", number, n=24, rate_hz=44_100)
        check = check_corpus(tmp_path)
        assert check.usable
        assert render(check).splitlines() == [
            f"{tmp_path}: 480 of 480 SAVEE speech clips",
            "  length      0.0 minutes",
            "  format      44100 Hz; mono",
            "Complete and readable.",
        ]
        content = check.to_json()
        assert content["corpus"] == "savee"
        assert content["speakers"] == {"DC": 120, "JE": 120, "JK": 120, "KL": 120}
        assert "calm" not in content["labels"]

    def test_missing_clips_that_a_rule_names(self, tmp_path: Path) -> None:
        for number, clip_id in enumerate(Savee.published()[:-2]):
            write(tmp_path / f"{clip_id.partition('/')[2]}.wav", number, n=24)
        check = check_corpus(tmp_path)
        assert not check.usable
        assert check.report.missing == ("savee/KL_su14", "savee/KL_su15")
        lines = render(check).splitlines()
        assert lines[3:6] == ["  missing     2 clips", "    savee/KL_su14", "    savee/KL_su15"]
        assert lines[-1].startswith("What is there can be trained on, but its figures would not")

    def test_missing_clips_that_are_counted(self, tmp_path: Path) -> None:
        """Which sentences a speaker of EmoDB has, no rule tells; how many an emotion, it does."""
        names = ("03a01Wa", "03a01Na", "08a01Wa", "03a01Lb", "16b10Lc")
        for number, name in enumerate(names):
            write(tmp_path / f"{name}.wav", number, rate_hz=16_000)
        check = check_corpus(tmp_path)
        assert (check.usable, check.n_missing, check.report.missing) == (False, 451, ())
        assert render(check).splitlines()[:-1] == [
            f"{tmp_path}: 3 of 454 EmoDB speech clips",
            "  length      0.0 minutes",
            "  format      16000 Hz; mono",
            "  missing     451 clips",
            "    actors    none of 09-16",
            "    emotions  neutral 1/79, angry 2/127; none of happy, sad, fearful, disgust",
            "  left out    2 clips: boredom is none of the labels",
        ]
        content = check.to_json()
        assert content["left_out"] == {
            "boredom is none of the labels": ["03a01Lb.wav", "16b10Lc.wav"]
        }
        assert (content["n_missing"], content["foreign"]) == (451, {})

    def test_more_than_are_published(self, tmp_path: Path) -> None:
        """As in the second edition of EmoDB."""
        for number in range(460):
            write(tmp_path / f"03{'ab'[number % 2]}{number // 52:02}N{chr(97 + number % 26)}.wav",
                  number, n=24)  # fmt: skip
        check = check_corpus(tmp_path)
        assert len(check.used) > 79
        assert check.by_label["neutral"] == (len(check.used), 79)
        assert check.n_missing == 454 - 79

    def test_unreadable(self, tmp_path: Path) -> None:
        write(tmp_path / "OAF_back_angry.wav")
        (tmp_path / "YAF_germ_angry.wav").write_bytes(b"")
        check = check_corpus(tmp_path)
        assert [bad.path.stem for bad in check.unreadable] == ["YAF_germ_angry"]
        assert render(check).splitlines()[-1].startswith("Delete what is unreadable. What is there")

    def test_identical_recordings_are_named_by_clip(self, tmp_path: Path) -> None:
        for name in ("OAF_back_angry", "OAF_bar_angry"):
            write(tmp_path / f"{name}.wav", 1)
        assert check_corpus(tmp_path).identical == [("tess/OAF_back_angry", "tess/OAF_bar_angry")]

    def test_several_corpora(self, tmp_path: Path) -> None:
        write(tmp_path / f"{A}.wav")
        write(tmp_path / "DC_a01.wav")
        with pytest.raises(CorpusError, match="holds clips of several corpora: 1 of RAVDESS"):
            check_corpus(tmp_path)


class TestCommand:
    def run(self, *arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(dataset, ["check", *arguments])
        return result.exit_code, result.stdout

    def test_incomplete_is_a_failure(self, tmp_path: Path) -> None:
        write(tmp_path / f"{A}.wav")
        code, text = self.run(str(tmp_path))
        assert code == 1
        assert text.startswith(f"{tmp_path}: 1 of 1440 RAVDESS speech clips\n")
        code, text = self.run(str(tmp_path), "--json")
        assert code == 1
        assert json.loads(text) == check_corpus(tmp_path).to_json()

    def test_complete_is_a_success(self, tmp_path: Path) -> None:
        write_corpus(tmp_path)
        code, text = self.run(str(tmp_path))
        assert (code, text.splitlines()[-1]) == (0, "Complete and readable.")


class TestRealClips:
    def test_originals(self, originals: Path) -> None:
        check = check_corpus(originals)
        assert not check.usable
        content = check.to_json()
        assert content["clips"] == 63
        assert len(content["missing"]) == 1377
        assert content["sample_rates_hz"] == {"48000": 63}
        assert content["channels"] == {"1": 58, "2": 5}
        stereo = sorted(used.path.stem for used in check.used if used.channels == 2)
        assert tuple(stereo) == STEREO
        assert (content["unreadable"], content["copies"], content["foreign"]) == ([], [], {})
        lines = render(check).splitlines()
        assert "    actors    05 1/60, 20 2/60; none of 02-04, 06-19, 21-24" in lines
        assert len(lines) == 7

    def test_stereo_originals_are_their_one_channel(self, originals: Path) -> None:
        for clip_id in STEREO:
            (path,) = originals.rglob(f"{clip_id}.wav")
            left = soundfile.read(path, dtype="float32")[0][:, 0]
            np.testing.assert_array_equal(read_clip(path, 48_000), left)

    def test_originals_as_kaggle_lays_them_out(self, originals: Path, tmp_path: Path) -> None:
        for folder in (tmp_path, tmp_path / "audio_speech_actors_01-24"):
            for actor in ("Actor_05", "Actor_20"):
                shutil.copytree(originals / actor, folder / actor)
        check = check_corpus(tmp_path)
        assert [used.path.parent.parent for used in check.used] == [tmp_path] * 3
        assert len(check.report.copies) == 3
        assert check.different_copies == []
        assert corpus_hash(Ravdess.read(tmp_path)) == corpus_hash(
            u for u in Ravdess.read(originals) if u.speaker in ("05", "20")
        )

    def test_whole_corpus(self) -> None:
        check: CorpusCheck = check_corpus(real("ravdess16k"))
        assert check.usable
        assert check.identical == [TWINS]
        assert check.rates_hz == {16_000: 1440}
        assert check.channels == {1: 1440}
        assert check.duration_s / 60 == pytest.approx(88.8, abs=0.1)
        assert render(check).splitlines()[3:] == [
            "  identical   the same recording under more than one name",
            f"    {TWINS[0]} = {TWINS[1]} (so published)",
            "Complete and readable.",
        ]
