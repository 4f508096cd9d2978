"""RAVDESS on disk in every layout that people have it in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from clips import A, B, write

from emopi.device.errors import CorpusError
from emopi.train.corpora import LABELS, Ravdess, Utterance, corpus_hash
from emopi.train.corpus_check import check_corpus


def test_published_clips() -> None:
    published = Ravdess.published()
    assert len(published) == len(set(published)) == 1440
    assert published[0] == "03-01-01-01-01-01-01"
    assert "03-01-01-02-01-01-01" not in published  # nobody is strongly neutral
    assert sum(clip_id.endswith("-24") for clip_id in published) == 60


class TestScan:
    def test_clip_speaker_and_label_come_from_the_name(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a" / "b" / "c" / f"{B}.wav")
        report = Ravdess.scan(tmp_path)
        assert report.utterances == (Utterance(B, "12", "angry", path),)
        assert len(report.missing) == 1439
        assert B not in report.missing
        assert (report.copies, report.foreign) == ((), ())

    @pytest.mark.parametrize(("number", "label"), [*enumerate(LABELS, start=1)])
    def test_labels(self, tmp_path: Path, number: int, label: str) -> None:
        write(tmp_path / f"03-01-{number:02}-01-01-01-01.wav")
        assert [u.label for u in Ravdess.read(tmp_path)] == [label]

    def test_label_order(self) -> None:
        assert " ".join(LABELS) == "neutral calm happy sad angry fearful disgust surprised"

    def test_sorted_by_clip_whatever_the_folders(self, tmp_path: Path) -> None:
        write(tmp_path / "a" / f"{B}.wav")
        write(tmp_path / "z" / f"{A}.wav")
        assert [u.clip_id for u in Ravdess.read(tmp_path)] == [A, B]

    @pytest.mark.parametrize("suffix", [".wav", ".WAV", ".flac", ".FLAC", ".Wav"])
    def test_suffixes(self, tmp_path: Path, suffix: str) -> None:
        path = write(tmp_path / f"{A}{suffix}", 3)
        assert [u.path for u in Ravdess.read(tmp_path)] == [path]
        check = check_corpus(tmp_path)
        assert (check.unreadable, check.rates_hz) == ([], {48_000: 1})

    def test_kaggle_has_every_clip_twice(self, tmp_path: Path) -> None:
        outer = write(tmp_path / "Actor_01" / f"{A}.wav")
        inner = write(tmp_path / "audio_speech_actors_01-24" / "Actor_01" / f"{A}.wav")
        report = Ravdess.scan(tmp_path)
        assert [u.path for u in report.utterances] == [outer]
        assert report.copies == ((outer, inner),)
        assert len(report.missing) == 1439

    def test_resource_forks_of_macos_are_no_clips(self, tmp_path: Path) -> None:
        write(tmp_path / f"{A}.wav")
        (tmp_path / f"._{A}.wav").write_bytes(b"\0\5\x16\7")
        (tmp_path / "._cover.wav").write_bytes(b"\0\5\x16\7")
        report = Ravdess.scan(tmp_path)
        assert [u.clip_id for u in report.utterances] == [A]
        assert (report.copies, report.foreign) == ((), ())

    def test_songs_video_sound_and_other_names_are_foreign(self, tmp_path: Path) -> None:
        names = ("01-01-01-01-01-01-01", "03-01-01-02-01-01-01", "03-02-01-01-01-01-01", "dog")
        foreign = tuple(write(tmp_path / f"{name}.wav") for name in names)
        write(tmp_path / f"{A}.wav")
        (tmp_path / "README.md").write_text("not audio, not counted")
        report = Ravdess.scan(tmp_path)
        assert report.foreign == foreign
        assert [u.clip_id for u in report.utterances] == [A]

    def test_opens_no_file(self, tmp_path: Path) -> None:
        (tmp_path / f"{A}.wav").write_bytes(b"")
        assert len(Ravdess.scan(tmp_path).utterances) == 1

    @pytest.mark.parametrize("call", [Ravdess.scan, Ravdess.read, check_corpus])
    def test_no_folder(self, tmp_path: Path, call: Callable[[Path], object]) -> None:
        with pytest.raises(CorpusError) as caught:
            call(tmp_path / "none")
        expected = "is not a folder; expected one that holds "
        assert str(caught.value).startswith(f"{tmp_path / 'none'} {expected}")


def test_read_of_a_folder_without_clips(tmp_path: Path) -> None:
    write(tmp_path / "03-02-01-01-01-01-01.wav")
    with pytest.raises(CorpusError) as caught:
        Ravdess.read(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} holds no RAVDESS speech clip (1 other audio files); "
        "expected names like 03-01-06-01-02-01-12.wav. "
        "Get the corpus with: emopi dataset download DIR"
    )


class TestCorpusHash:
    def corpus(self, folder: Path, seed: int = 0, clips: tuple[str, ...] = (A, B)) -> str:
        for n, clip in enumerate(clips):
            write(folder / f"{clip}.wav", seed + n)
        return corpus_hash(Ravdess.read(folder))

    def test_does_not_depend_on_location_or_order(self, tmp_path: Path) -> None:
        here = self.corpus(tmp_path / "here")
        assert len(here) == 64
        assert here == self.corpus(tmp_path / "else" / "where")
        assert here == corpus_hash(reversed(Ravdess.read(tmp_path / "here")))

    def test_depends_on_content_and_names(self, tmp_path: Path) -> None:
        hashes = {
            self.corpus(tmp_path / "as-it-is"),
            self.corpus(tmp_path / "content", seed=5),
            self.corpus(tmp_path / "names", clips=(A, B[:-1] + "3")),
            self.corpus(tmp_path / "swapped", clips=(B, A)),
            self.corpus(tmp_path / "fewer", clips=(A,)),
        }
        assert len(hashes) == 5

    def test_depends_on_every_bit(self, tmp_path: Path) -> None:
        before = self.corpus(tmp_path)
        path = tmp_path / f"{B}.wav"
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        assert corpus_hash(Ravdess.read(tmp_path)) != before


def test_linked_folders_are_followed_and_loops_end(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / f"{B}.wav")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "Actor_01").symlink_to(tmp_path / "elsewhere")
    (corpus / "loop").symlink_to(corpus)
    assert [u.clip_id for u in Ravdess.read(corpus)] == [B]
    assert not Ravdess.scan(corpus).copies
