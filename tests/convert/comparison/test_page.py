"""The page and the terminal's text: whole, self-contained, and what the figures are."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections import Counter
from html.parser import HTMLParser

import pytest
from comparison_mock import compared, comparison

from emopi.convert.comparison.canvas import inline
from emopi.convert.comparison.layers import Inside, LayerRange
from emopi.convert.comparison.page import render_page
from emopi.convert.comparison.text import render
from emopi.convert.comparison.verdict import verdict
from emopi.convert.layer_noise import LayerNoise

VOID = {"meta", "br", "hr", "img", "link", "input"}

WHOLE = comparison(
    compared("cnn-float32", wrong=[3, 9, 40], n_bytes=4096),
    compared("cnn-int8", wrong=[3, 10], n_bytes=1024),
    compared("lstm-int8", wrong=[3, 9, 40], model_ms=9.0),
)
INSIDE = [
    Inside(
        "cnn-float32",
        (LayerRange("conv<1>", "CONV_2D", (-0.5, 0.75), (0.0, 6.25), None, 0.0),),
        None,
        (),
    ),
    Inside(
        "cnn-int8",
        (LayerRange("conv_7", "CONV_2D", (-0.5, 0.74), (0.0, 6.0), (0.0, 8.0), 0.01),),
        "cnn-float32",
        (
            LayerNoise("input", "QUANTIZE", 35.5, 120.0),
            LayerNoise("conv<1>", "CONV_2D", 21.25, 35.5),
        ),
    ),
]


class Read(HTMLParser):
    """Tags, attributes and text of a page, which must close what it opens."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self.open[-1] != "style":
            self.words.append(data.strip())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def text() -> str:
    pytest.importorskip("matplotlib", reason="figures need the extra 'report'")
    pytest.importorskip("jinja2", reason="the page needs the extra 'report'")
    return render_page(WHOLE, verdict(WHOLE), INSIDE)


@pytest.fixture(scope="module")
def page(text: str) -> Read:
    return Read(text)


class TestPage:
    def test_loads_nothing(self, text: str, page: Read) -> None:
        names = {"src", "href", "srcset", "action", "data", "poster"}
        for tag, attributes in page.tags:
            for name in names & set(attributes):
                assert (attributes[name] or "").startswith("#"), (tag, attributes)
            assert not any(name.startswith("on") for name in attributes)
        assert not {"script", "link", "iframe", "object", "img"} & {tag for tag, _ in page.tags}
        assert "@import" not in text
        assert not re.search(r"url\((?!#)", text)
        policy = next(m for m in page.all("meta") if "http-equiv" in m)["content"]
        assert policy == "default-src 'none'; style-src 'unsafe-inline'"

    def test_ids_are_unique_and_those_referred_to_exist(self, text: str, page: Read) -> None:
        ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
        assert [name for name, n in Counter(ids).items() if n > 1] == []
        wanted = {(a.get("href") or "")[1:] for _, a in page.tags if "href" in a}
        wanted |= {a["aria-labelledby"] or "" for _, a in page.tags if "aria-labelledby" in a}
        wanted |= set(re.findall(r"url\(#([^)]*)\)", text))
        assert wanted <= set(ids)

    def test_can_be_read_without_seeing(self, page: Read) -> None:
        assert page.all("html")[0]["lang"] == "en"
        levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
        figures = page.all("svg")
        assert len(figures) == len(page.all("figure")) == len(page.all("figcaption"))
        for figure in figures:
            assert figure["role"] == "img"
            assert len(figure["aria-label"] or "") > 40
        for cell in page.all("th"):
            assert cell["scope"] in ("row", "col")

    def test_every_figure_is_there(self, page: Read) -> None:
        labels = " ".join(figure["aria-label"] or "" for figure in page.all("svg"))
        for start in (
            "UAR of each model: cnn-float32",
            "Change of UAR: cnn-int8 against cnn-float32 ",
            "Reliability of lstm-int8",
            "Change of recall from cnn-float32 to lstm-int8",
            "Network's time: cnn-float32 median 1.00 ms",
            "Front end and network: cnn-float32 0.50 and 1.00 ms",
            "Signal to noise behind each layer of cnn-int8, dB: input 36, conv<1> 21",
            "Range of the weights of cnn-float32: conv<1> -0.5 to 0.75",
            "Range of the outputs of cnn-float32: conv<1> 0 to 6.25",
        ):
            assert start in labels

    def test_follows_light_and_dark(self, text: str, page: Read) -> None:
        assert "prefers-color-scheme: dark" in text
        assert "width=device-width" in text
        drawn = re.findall(r"(?:fill|stroke): ?([^;\"]+)", text[text.index("<svg") :])
        fixed = {colour for colour in drawn if colour.startswith("#")}
        assert fixed <= {"#000000"}, fixed  # matplotlib's default of shapes that are not filled
        assert "var(--series-0)" in drawn
        assert "currentColor" in drawn
        assert page.all("figure")

    def test_says_what_the_verdict_says(self, page: Read) -> None:
        found = verdict(WHOLE)
        words = " ".join(page.words)
        for sentence in (found.choice, *found.reasons, *found.cautions):
            assert sentence in words

    def test_clips_and_confusions(self, page: Read) -> None:
        words = page.words
        place = words.index("0009")
        assert words[place : place + 5] == ["0009", "calm", "happy 90 %", "calm 90 %", "mended"]
        place = words.index("0010")
        assert words[place + 4] == "broken"
        assert "lstm-int8 against cnn-float32: none." in words
        assert "lstm-int8 against cnn-float32: nothing changes." in words
        changes = [w for w in words if re.fullmatch(r"[+-]\d+", w)]
        assert changes.count("+1") >= 3
        assert changes.count("-1") >= 3

    def test_one_speaker_and_no_look_inside(self) -> None:
        pytest.importorskip("matplotlib")
        one = comparison(
            compared("cnn-float32", speakers=1, n=16), compared("cnn-int8", speakers=1, n=16)
        )
        bare = Read(render_page(one, verdict(one), []))
        words = " ".join(bare.words)
        assert "of 1 speaker" in words
        assert "nan" not in words.split()
        assert "Inside the models" not in bare.words
        assert "#layers" not in [link["href"] for link in bare.all("a")]


def test_two_figures_in_one_page_do_not_disturb_each_other() -> None:
    one = (
        '<?xml version="1.0"?><svg xmlns="x" width="3pt" viewBox="0 0 3 3"><style>*{}</style>'
        '<g id="a" style="fill: #010101; clip-path: url(#b)"/><use xlink:href="#a"/><text '
        "style=\"font: 9px 'DejaVu Sans'; fill: #010203\">x</text></svg>"
    )
    found = inline(one, 'a "quoted" <name>')
    assert found.startswith(
        '<svg role="img" aria-label="a &quot;quoted&quot; &lt;name&gt;" viewBox="0 0 3 3">'
    )
    prefix = re.search(r'id="(f\w{8})-a"', found)
    assert prefix
    assert f"url(#{prefix[1]}-b)" in found
    assert f' href="#{prefix[1]}-a"' in found
    assert "fill: currentColor" in found
    assert "font-size: 9px; fill: var(--series-3)" in found
    assert "<style" not in found
    assert inline(one.replace('"a"', '"c"'), "")[:60] != found[:60]


class TestText:
    def test_plain(self) -> None:
        lines = render(WHOLE, verdict(WHOLE), INSIDE).splitlines()
        assert lines[0] == "paper-80-20 seed0: 240 test clips of 12 speakers"
        row = next(line for line in lines if line.startswith("accuracy  "))
        assert row.split() == ["accuracy", "98.8%", "99.2%", "98.8%"]
        row = next(line for line in lines if line.startswith("network p50, ms"))
        assert row.split()[-3:] == ["1.00", "1.00", "9.01"]
        row = next(line for line in lines if line.startswith("same label"))
        assert row.split() == ["same", "label", "98.8%", "100.0%"]
        row = next(line for line in lines if line.startswith("conv<1>"))
        assert row.split() == ["conv<1>", "CONV_2D", "21.2", "35.5", "14.2"]
        assert max(map(len, lines)) <= 100

    def test_the_choice_comes_last_but_cautions(self) -> None:
        found = verdict(WHOLE)
        paragraphs = [" ".join(part.split()) for part in render(WHOLE, found).split("\n\n") if part]
        last = [found.choice, *found.cautions]
        assert paragraphs[-len(last) :] == last

    def test_columns_are_aligned(self) -> None:
        block = next(
            part
            for part in render(WHOLE, verdict(WHOLE)).split("\n\n")
            if part.startswith("What they cost")
        )
        rows = [line for line in block.splitlines()[1:] if not line.startswith(("Times", "Load"))]
        assert len({len(line) for line in rows[:13]}) == 1

    def test_boards_are_told_of_where_they_were_counted(self) -> None:
        counts = {"cortex-a53": 4_000_000, "cortex-a72": 3_000_000, "cortex-a76": 2_500_000}
        counted = dataclasses.replace(compared("cnn-float32"), instructions=counts)
        whole = comparison(counted, compared("cnn-int8", wrong=[3]))
        lines = render(whole, verdict(whole)).splitlines()
        row = next(line for line in lines if line.startswith("Pi 5, instructions, M"))
        assert row.split()[-2:] == ["2.5", "-"]
        assert not any(line.startswith("Pi 5, instructions, times") for line in lines)
        assert "counted under emulation" in " ".join(lines)
        assert "instructions" not in render(WHOLE, verdict(WHOLE)).lower()

    def test_on_a_terminal(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        pytest.importorskip("rich", reason="the table on a terminal needs the extra 'live'")
        from emopi.convert.comparison import text as module

        monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
        monkeypatch.setenv("COLUMNS", "90")
        module.show(WHOLE, verdict(WHOLE), INSIDE)
        said = " ".join(capsys.readouterr().out.split())
        assert verdict(WHOLE).choice in said
        assert "What lies between them" in said
        assert "98.8%" in said
