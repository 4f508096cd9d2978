"""Corpora beside RAVDESS: their published names, the spellings that circulate, and mixtures."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emopi.device.errors import CorpusError
from emopi.train.corpora import (
    LABELS,
    READERS,
    CremaD,
    EmoDb,
    Ravdess,
    Reader,
    Savee,
    Tess,
    Utterance,
    read_corpora,
    readers_named,
    recognize,
)

EXAMPLES = {
    Ravdess: "03-01-05-01-01-01-07.wav",
    CremaD: "1001_DFA_ANG_XX.wav",
    EmoDb: "03a01Wa.wav",
    Savee: "DC_a01.wav",
    Tess: "OAF_back_angry.wav",
}


def touch(folder: Path, *names: str) -> Path:
    """Empty files: readers go by names alone."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


# file, clip id, speaker, label
NAMES = [
    # Cao et al. 2014
    (CremaD, "AudioWAV/1001_DFA_ANG_XX.wav", "1001_DFA_ANG_XX", "1001", "angry"),
    (CremaD, "1091_WSI_DIS_XX.wav", "1091_WSI_DIS_XX", "1091", "disgust"),
    (CremaD, "1002_IEO_FEA_LO.wav", "1002_IEO_FEA_LO", "1002", "fearful"),
    (CremaD, "1002_IEO_HAP_MD.wav", "1002_IEO_HAP_MD", "1002", "happy"),
    (CremaD, "1002_IEO_SAD_HI.wav", "1002_IEO_SAD_HI", "1002", "sad"),
    (CremaD, "1050_TSI_NEU_XX.wav", "1050_TSI_NEU_XX", "1050", "neutral"),
    (CremaD, "1040_ITH_SAD_X.wav", "1040_ITH_SAD_XX", "1040", "sad"),  # published like that
    (CremaD, "1001_dfa_ang_xx.WAV", "1001_DFA_ANG_XX", "1001", "angry"),
    # Burkhardt et al. 2005
    (EmoDb, "wav/03a01Wa.wav", "03a01Wa", "03", "angry"),
    (EmoDb, "08b10Eb.wav", "08b10Eb", "08", "disgust"),
    (EmoDb, "16a05Ac.wav", "16a05Ac", "16", "fearful"),
    (EmoDb, "09a07Fa.wav", "09a07Fa", "09", "happy"),
    (EmoDb, "15b03Td.wav", "15b03Td", "15", "sad"),
    (EmoDb, "10a02Nb.wav", "10a02Nb", "10", "neutral"),
    (EmoDb, "12b09N.wav", "12b09N", "12", "neutral"),  # the only version
    (EmoDb, "03A01WA.WAV", "03a01Wa", "03", "angry"),
    # Haq and Jackson 2009
    (Savee, "AudioData/DC/a01.wav", "DC_a01", "DC", "angry"),
    (Savee, "ALL/DC_a01.wav", "DC_a01", "DC", "angry"),
    (Savee, "JE_d15.wav", "JE_d15", "JE", "disgust"),
    (Savee, "JK/f07.wav", "JK_f07", "JK", "fearful"),
    (Savee, "KL_h02.wav", "KL_h02", "KL", "happy"),
    (Savee, "KL/n30.wav", "KL_n30", "KL", "neutral"),
    (Savee, "DC/sa11.wav", "DC_sa11", "DC", "sad"),
    (Savee, "JE_su15.wav", "JE_su15", "JE", "surprised"),
    (Savee, "dc/SA11.WAV", "DC_sa11", "DC", "sad"),
    # Pichora-Fuller and Dupuis 2020
    (Tess, "OAF_angry/OAF_back_angry.wav", "OAF_back_angry", "OAF", "angry"),
    (Tess, "YAF_disgust/YAF_dog_disgust.wav", "YAF_dog_disgust", "YAF", "disgust"),
    (Tess, "OAF_Fear/OAF_youth_fear.wav", "OAF_youth_fear", "OAF", "fearful"),
    (Tess, "YAF_happy/YAF_said_happy.wav", "YAF_said_happy", "YAF", "happy"),
    (Tess, "OAF_Sad/OAF_said_sad.wav", "OAF_said_sad", "OAF", "sad"),
    (Tess, "YAF_pleasant_surprised/YAF_dog_ps.wav", "YAF_dog_ps", "YAF", "surprised"),
    (Tess, "OAF_Pleasant_surprise/OAF_dog_ps.wav", "OAF_dog_ps", "OAF", "surprised"),
    (Tess, "OAF_neutral/OA_bite_neutral.wav", "OAF_bite_neutral", "OAF", "neutral"),
    (Tess, "yaf_Dog_PS.wav", "YAF_dog_ps", "YAF", "surprised"),
]


@pytest.mark.parametrize(("reader", "file", "name", "speaker", "label"), NAMES)
def test_names(
    tmp_path: Path, reader: type[Reader], file: str, name: str, speaker: str, label: str
) -> None:
    touch(tmp_path, file)
    assert recognize(tmp_path) is reader
    expected = Utterance(
        f"{reader.name}/{name}", f"{reader.name}/{speaker}", label, tmp_path / file
    )
    assert reader.read(tmp_path) == (expected,)
    assert read_corpora(tmp_path).utterances == (expected,)
    assert expected.corpus == reader.name


@pytest.mark.parametrize(
    "file",
    [
        "1000_DFA_ANG_XX.wav", "1092_DFA_ANG_XX.wav", "1001_DFA_ANG.wav", "1001_XYZ_ANG_XX.wav",
        "1001_DFA_SUR_XX.wav", "1001_DFA_ANG_XXX.wav", "2001_DFA_ANG_XX.wav", "1001-DFA-ANG-XX.wav",
        "1001_DFA_ANG_XX.mp3", "1001_DFA_ANG_XX (1).wav",
        "07a01Wa.wav", "03c01Wa.wav", "03a1Wa.wav", "03a01Xa.wav", "03a01Waa.wav", "3a01Wa.wav",
        "a01.wav", "XX/a01.wav", "DC_a16.wav", "DC_a00.wav", "DC/n31.wav", "DC_s01.wav",
        "DC_a1.wav", "DCa01.wav", "AB_a01.wav", "DC_XX/a01.wav",
        "OAF_back_bored.wav", "OAF_angry.wav", "BAF_back_angry.wav", "OAF-back-angry.wav",
        "OAF_back_angry_2.wav", "AF_back_angry.wav",
        "03-02-01-01-01-01-01.wav", "03-01-09-01-01-01-01.wav", "dog.wav", ".wav",
        "\u0661001_DFA_ANG_XX.wav",  # an Arabic digit one is \d to a careless pattern
    ],
)  # fmt: skip
def test_other_names_are_of_no_corpus(tmp_path: Path, file: str) -> None:
    touch(tmp_path, file)
    with pytest.raises(CorpusError, match="holds no RAVDESS speech clip, nor one of CREMA-D"):
        recognize(tmp_path)


def test_published_numbers() -> None:
    totals = {reader.name: sum(reader.counts.values()) for reader in READERS}
    assert totals == {"ravdess": 1440, "crema-d": 7441, "emodb": 454, "savee": 480, "tess": 2800}
    n_speakers = {reader.name: len(reader.speakers) for reader in READERS}
    assert n_speakers == {"ravdess": 24, "crema-d": 91, "emodb": 10, "savee": 4, "tess": 2}
    for reader in READERS:
        assert set(reader.counts) <= set(LABELS)
        if any(reader.speakers.values()):
            assert sum(reader.speakers.values()) == totals[reader.name]
        if published := reader.published():
            clips = [reader.clip(Path(f"{i.rpartition('/')[2]}.wav")) for i in published]
            assert Counter(clip.label for clip in clips if clip) == reader.counts
            assert Counter(clip.speaker for clip in clips if clip) == reader.speakers
    assert len(Savee.published()) == len(set(Savee.published())) == 480


def test_both_layouts_of_savee_give_the_same_clips(tmp_path: Path) -> None:
    names = [clip_id.partition("/")[2] for clip_id in Savee.published()]
    flat = touch(tmp_path / "flat", *(f"{name}.wav" for name in names))
    nested = touch(tmp_path / "nested", *(f"AudioData/{n.replace('_', '/')}.wav" for n in names))
    assert Savee.scan(flat).missing == Savee.scan(nested).missing == ()
    ids = [u.clip_id for u in Savee.read(flat)]
    assert ids == [u.clip_id for u in Savee.read(nested)] == sorted(Savee.published())
    report = Savee.scan(tmp_path)  # and both below one folder are copies
    assert (len(report.utterances), len(report.copies)) == (480, 480)


class TestHostileFolders:
    def test_boredom_is_left_out_and_said(self, tmp_path: Path) -> None:
        touch(tmp_path, "03a01Wa.wav", "03a01Lb.wav", "08b10La.wav")
        corpora = read_corpora(tmp_path)
        assert [u.label for u in corpora.utterances] == ["angry"]
        note = f"{tmp_path}: 2 clips of EmoDB are left out: boredom is none of the labels"
        assert corpora.notes == (note,)
        assert EmoDb.scan(tmp_path).foreign == ()

    def test_nothing_but_boredom(self, tmp_path: Path) -> None:
        touch(tmp_path, "03a01Lb.wav", "dog.wav")
        assert recognize(tmp_path) is EmoDb
        expected = r"no EmoDB speech clip \(1 other audio files, 1 clips left out: boredom is"
        with pytest.raises(CorpusError, match=expected):
            read_corpora(tmp_path)

    def test_the_silent_clip_of_crema_d(self, tmp_path: Path) -> None:
        touch(tmp_path, "1076_MTI_SAD_XX.wav", "1076_MTI_NEU_XX.wav")
        corpora = read_corpora(tmp_path)
        assert [u.clip_id for u in corpora.utterances] == ["crema-d/1076_MTI_NEU_XX"]
        assert corpora.notes == (f"{tmp_path}: 1 clips of CREMA-D are left out: without sound",)

    def test_copies_under_any_spelling_are_one_clip(self, tmp_path: Path) -> None:
        touch(
            tmp_path, "TESS/OAF_neutral/OA_bite_neutral.wav", "oaf_bite_neutral.WAV",
            "TESS/TESS/OAF_neutral/OAF_bite_neutral.flac",
        )  # fmt: skip
        report = Tess.scan(tmp_path)
        assert [u.clip_id for u in report.utterances] == ["tess/OAF_bite_neutral"]
        assert len(report.copies[0]) == 3
        assert report.utterances[0].path == report.copies[0][0]

    @pytest.mark.parametrize("reader", READERS)
    def test_files_of_macos_are_no_clips(self, tmp_path: Path, reader: type[Reader]) -> None:
        touch(tmp_path, EXAMPLES[reader], f"._{EXAMPLES[reader]}", f"a/._{EXAMPLES[CremaD]}")
        assert recognize(tmp_path) is reader
        assert (len(reader.read(tmp_path)), reader.scan(tmp_path).foreign) == (1, ())

    def test_files_of_several_corpora(self, tmp_path: Path) -> None:
        touch(tmp_path, "a/03-01-01-01-01-01-01.wav", "b/DC/a01.wav", "b/DC/a02.wav", "c/dog.wav")
        with pytest.raises(CorpusError) as caught:
            read_corpora(tmp_path)
        assert str(caught.value) == (
            f"{tmp_path} holds clips of several corpora: "
            "1 of RAVDESS (such as 03-01-01-01-01-01-01.wav), 2 of SAVEE (such as a01.wav); "
            "expected one. Give each a folder of its own, and its own --corpus"
        )
        assert recognize(tmp_path / "a") is Ravdess
        assert recognize(tmp_path / "b") is Savee

    def test_files_of_no_corpus(self, tmp_path: Path) -> None:
        touch(tmp_path, "dog.wav", "cat.FLAC", "README.md")
        with pytest.raises(CorpusError) as caught:
            recognize(tmp_path)
        assert "(2 other audio files); expected names like 03-01-06-01-02-01-12.wav, " in str(
            caught.value
        )
        for reader in READERS:
            assert reader.example in str(caught.value)
            assert reader.title in str(caught.value)

    def test_no_folder(self, tmp_path: Path) -> None:
        touch(tmp_path, "DC_a01.wav")
        for path in (tmp_path / "none", tmp_path / "DC_a01.wav"):
            with pytest.raises(CorpusError, match="is not a folder; expected one that holds"):
                recognize(path)

    def test_the_same_corpus_twice(self, tmp_path: Path) -> None:
        one, two = touch(tmp_path / "1", "DC_a01.wav"), touch(tmp_path / "2", "DC_a02.wav")
        with pytest.raises(CorpusError, match=r"1 and .*2 both hold clips of SAVEE; expected each"):
            read_corpora([one, two])
        with pytest.raises(CorpusError, match="both hold clips of SAVEE"):
            read_corpora([one, one])


class TestMixture:
    def test_ids_and_speakers_stay_apart(self, tmp_path: Path) -> None:
        folders = [touch(tmp_path / reader.name, EXAMPLES[reader]) for reader in READERS]
        corpora = read_corpora(folders[::-1])
        assert corpora.name == "ravdess+crema-d+emodb+savee+tess"
        assert corpora.readers == readers_named(corpora.name) == READERS
        assert corpora.folders == tuple(folders)
        assert corpora.utterances == tuple(sorted(corpora.utterances))
        assert [u.clip_id for u in corpora.utterances] == [
            "03-01-05-01-01-01-07", "crema-d/1001_DFA_ANG_XX", "emodb/03a01Wa", "savee/DC_a01",
            "tess/OAF_back_angry",
        ]  # fmt: skip
        # without their corpora the first speaker of EmoDB would be an actor of RAVDESS
        assert [u.speaker for u in corpora.utterances] == [
            "07", "crema-d/1001", "emodb/03", "savee/DC", "tess/OAF",
        ]  # fmt: skip
        assert {u.label for u in corpora.utterances} == {"angry"}

    def test_order_of_folders_does_not_matter(self, tmp_path: Path) -> None:
        folders = [touch(tmp_path / reader.name, EXAMPLES[reader]) for reader in READERS]
        assert read_corpora(folders) == read_corpora(folders[::-1])

    def test_one_corpus_is_itself(self, tmp_path: Path) -> None:
        touch(tmp_path, EXAMPLES[Ravdess])
        corpora = read_corpora(tmp_path)
        assert (corpora.name, corpora.notes) == ("ravdess", ())
        assert corpora.utterances == Ravdess.read(tmp_path)
        assert readers_named("ravdess") == (Ravdess,)
        assert readers_named("None") == ()


def letters(least: int) -> st.SearchStrategy[str]:
    return st.text("abcdefghijklmnopqrstuvwxyz", min_size=least, max_size=8)


def joined(*parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map("".join)


CLIPS = {
    Ravdess: st.sampled_from(Ravdess.published()),
    CremaD: joined(
        st.sampled_from(sorted(CremaD.speakers)),
        st.sampled_from(["_IEO", "_TIE", "_ITH", "_WSI"]),
        st.sampled_from(["_ANG", "_DIS", "_FEA", "_HAP", "_NEU", "_SAD"]),
        st.sampled_from(["_LO", "_MD", "_HI", "_XX", "_X"]),
    ),
    EmoDb: joined(
        st.sampled_from(sorted(EmoDb.speakers)),
        st.sampled_from(["a01", "a07", "b02", "b10"]),
        st.sampled_from("WLEAFTN"),
        st.sampled_from(["", "a", "b", "f"]),
    ),
    Savee: st.sampled_from([clip_id.partition("/")[2] for clip_id in Savee.published()]),
    Tess: joined(
        st.sampled_from(["OAF_", "YAF_", "OA_"]),
        letters(1),
        st.sampled_from(["_angry", "_disgust", "_fear", "_happy", "_neutral", "_ps", "_sad"]),
    ),
}


@given(st.data())
def test_every_name_is_of_one_corpus_in_any_case(data: st.DataObject) -> None:
    reader = data.draw(st.sampled_from(READERS))
    name = data.draw(CLIPS[reader])
    upper = data.draw(st.lists(st.booleans(), min_size=len(name), max_size=len(name)))
    spelled = "".join(c.upper() if u else c.lower() for c, u in zip(name, upper, strict=True))
    path = Path("any", f"{spelled}.wav")
    assert [other for other in READERS if other.clip(path)] == [reader]
    clip = reader.clip(path)
    assert clip == reader.clip(Path("other", f"{name}.wav"))
    assert clip
    assert clip == reader.clip(Path(f"{clip.name}.wav"))  # the id is a name that it reads
    assert clip.label in (*LABELS, None)
    assert clip.speaker in reader.speakers
    assert (clip.label is None) == bool(clip.left_out)


@given(st.text(max_size=30))
def test_any_name_is_taken(name: str) -> None:
    if "/" not in name and "\0" not in name:
        for reader in READERS:
            clip = reader.clip(Path("DC", f"{name}.wav"))
            assert clip is None or clip.speaker in reader.speakers
