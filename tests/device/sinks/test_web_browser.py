"""The page in a browser: what a person sees, reaches with the keyboard, and is read out."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from telling import LABELS, PATIENCE_S, decision, wait_until

pytest.importorskip("bottle", reason="bottle is not installed (pip install 'emopi[web]')")
pytest.importorskip("waitress", reason="waitress is not installed (pip install 'emopi[web]')")
pytest.importorskip("selenium", reason="selenium is not installed (pip install 'emopi[dev]')")
from page_server import page
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from emopi.device.decision import NO_SPEECH, UNSURE
from emopi.device.sinks.web import Web, WebSettings
from emopi.device.sources.notice import Notice, NoticeKind

CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER),
    reason="chromium is not installed (apt install chromium chromium-driver)",
)
SIZES = {"phone": (360, 740), "desk": (1280, 900)}
CONTRAST = """
const parse = (text) => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
const light = (colour) => {
  const [r, g, b] = parse(colour).map((c) => (c /= 255) <= 0.04045 ? c / 12.92
    : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
byId("label").style.transition = "none";
byId("label").dataset.label = "LABEL";
const paper = light(getComputedStyle(document.documentElement).backgroundColor);
const worst = {};
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  if (!own || !element.checkVisibility() || element.closest("#trouble, .unseen, .skip")) continue;
  const ink = light(getComputedStyle(element).color);
  const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
  const large = parseFloat(getComputedStyle(element).fontSize) >= 24;
  if (ratio < (large ? 3 : 4.5)) worst[element.id || element.textContent] = ratio;
}
return worst;
"""
"""With a label: text whose contrast is below what WCAG 2 asks (AA)."""


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = Options()
    options.binary_location = str(CHROMIUM)
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    driver.set_script_timeout(PATIENCE_S)
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture(scope="module")
def shown() -> Iterator[Web]:
    """Says "happy", twice as often as a sensor, but while a test says something else."""
    with page(WebSettings(port=0)) as one:
        yield one


class Speaker:
    """Gives the page one decision after the other, of the label that is set."""

    def __init__(self, shown: Web) -> None:
        self.label = "happy"
        self._shown = shown
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._speak)

    def __enter__(self) -> Speaker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _speak(self) -> None:
        number = 0
        while not self._stop.wait(0.1):
            self._shown.show(decision(number, self.label, 0.6))
            number += 1


@pytest.fixture
def speaker(shown: Web) -> Iterator[Speaker]:
    with Speaker(shown) as one:
        yield one


def look(browser: webdriver.Chrome, shown: Web, size: str = "desk", scheme: str = "light") -> None:
    """Open the page; return when it shows a decision and the timeline."""
    width, height = SIZES[size]
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == "phone"}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.get(shown.url)
    wait_until(lambda: text(browser, "label") not in ("", "…"), "a label")
    wait_until(lambda: browser.find_elements(By.CSS_SELECTOR, "#chart rect"), "the timeline")


def text(browser: webdriver.Chrome, name: str) -> str:
    return str(browser.find_element(By.ID, name).get_property("textContent"))


def script(browser: webdriver.Chrome, code: str) -> Any:
    return browser.execute_script(code)  # type: ignore[no-untyped-call]


def test_it_shows_what_is_heard_now(
    browser: webdriver.Chrome, shown: Web, speaker: Speaker
) -> None:
    look(browser, shown)
    assert text(browser, "label") == "happy"
    assert text(browser, "confidence") == "60 %"
    assert text(browser, "connection") == "connected"
    bars = browser.find_elements(By.CSS_SELECTOR, "#emotions [role=meter]")
    values = {bar.get_attribute("aria-label"): bar.get_attribute("aria-valuenow") for bar in bars}
    assert len(values) == 8
    assert values["happy"] == "60"
    assert values["sad"] == "6"
    speaker.label = UNSURE
    wait_until(lambda: text(browser, "label") == UNSURE, "unsure")
    speaker.label = NO_SPEECH
    wait_until(lambda: text(browser, "label") == NO_SPEECH, "no speech")
    assert text(browser, "confidence") == ""
    assert [one for one in browser.get_log("browser") if one["level"] == "SEVERE"] == []


@pytest.mark.usefixtures("speaker")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_it_fits_and_can_be_read(
    browser: webdriver.Chrome, shown: Web, size: str, scheme: str
) -> None:
    look(browser, shown, size, scheme)
    assert script(browser, "return document.documentElement.scrollWidth") <= SIZES[size][0]
    for label in (*LABELS, UNSURE, NO_SPEECH):
        assert script(browser, CONTRAST.replace("LABEL", label)) == {}
    footer = browser.find_element(By.TAG_NAME, "footer")
    assert footer.is_displayed()
    assert "AI Act" in footer.text.replace("\n", " ")
    assert browser.find_element(By.CLASS_NAME, "caution").is_displayed()
    paper = script(browser, "return getComputedStyle(document.documentElement).backgroundColor")
    assert (paper == "rgb(19, 19, 21)") == (scheme == "dark")


@pytest.mark.usefixtures("speaker")
def test_the_keyboard_reaches_everything(browser: webdriver.Chrome, shown: Web) -> None:
    look(browser, shown)
    reached = []
    for _ in range(3):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        active = browser.switch_to.active_element
        reached.append(active.get_attribute("value") or active.text)
    assert reached == ["To the timeline", "6", "In numbers"]
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert browser.find_element(By.ID, "numbers").is_displayed()
    browser.find_element(By.CSS_SELECTOR, "[name=hours]:checked").send_keys(Keys.ARROW_RIGHT)
    chart = browser.find_element(By.ID, "chart")
    wait_until(
        lambda: str(chart.get_attribute("aria-label")).startswith("The last 24 h: of all speech"),
        "the other timeline",
    )


@pytest.mark.usefixtures("speaker")
def test_a_screen_reader_finds_every_part_and_no_column_of_the_chart(
    browser: webdriver.Chrome, shown: Web
) -> None:
    look(browser, shown)
    nodes = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    found = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"]
    ]
    for role, name in (
        ("heading", "emopi"),
        ("status", ""),
        ("region", "Now"),
        ("list", "Probability of each emotion"),
        ("meter", "happy"),
        ("meter", "level"),
        ("region", "What was heard"),
        ("group", "How far back"),
        ("radio", "24 hours"),
        ("DisclosureTriangle", "In numbers"),
        ("contentinfo", ""),
    ):
        assert (role, name) in found
    assert [name.partition(":")[0] for role, name in found if role in ("image", "img")] == [
        "The last 6 h"
    ]
    assert [name for role, name in found if role == "group" and ":" in name] == []


def test_a_screen_reader_is_told_what_holds_and_not_each_flicker(
    browser: webdriver.Chrome, shown: Web, speaker: Speaker
) -> None:
    look(browser, shown)
    speaker.label = "sad"
    wait_until(lambda: text(browser, "label") == "sad", "sad")
    script(
        browser,
        "window.said = []; new MutationObserver(() => said.push(byId('said').textContent))"
        ".observe(byId('said'), {childList: true}); Object.assign(spoken, {at: 0, said: 'happy'});",
    )
    assert script(browser, "return byId('said').getAttribute('aria-live')") == "polite"
    live = script(browser, "return document.querySelectorAll('[aria-live]').length")
    assert live == 1
    wait_until(lambda: script(browser, "return said.length"), "something to be said")
    for label in ("angry", "calm", "happy", "angry"):
        speaker.label = label
        wait_until(lambda label=label: text(browser, "label") == label, label)  # type: ignore[misc]
    assert script(browser, "return said") == ["sounds sad"]


@pytest.mark.usefixtures("speaker")
def test_trouble_is_shown_and_goes(browser: webdriver.Chrome, shown: Web) -> None:
    look(browser, shown)
    trouble = browser.find_element(By.ID, "trouble")
    assert not trouble.is_displayed()
    shown.notice(Notice(NoticeKind.LOST, "the microphone <b>is</b> gone"))
    wait_until(trouble.is_displayed, "the trouble")
    assert trouble.text == "the microphone <b>is</b> gone"
    shown.notice(Notice(NoticeKind.BACK, "it is back"))
    wait_until(lambda: not trouble.is_displayed(), "the trouble to go")


def test_it_comes_back_after_a_restart_of_the_sensor(browser: webdriver.Chrome) -> None:
    with page(WebSettings(port=0)) as first, Speaker(first):
        look(browser, first)
        port = first.port
    wait_until(lambda: text(browser, "connection") == "no connection, trying again", "the loss")
    with page(WebSettings(port=port)) as again, Speaker(again) as speaker:
        speaker.label = "sad"
        wait_until(lambda: text(browser, "label") == "sad", "the next sensor's decision")
        assert text(browser, "connection") == "connected"


def test_the_form_for_the_token(browser: webdriver.Chrome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMOPI_WEB_TOKEN", "a token of some length")
    with page(WebSettings(port=0)) as guarded, Speaker(guarded):
        browser.get(guarded.url)
        field = browser.find_element(By.NAME, "token")
        field.send_keys("wrong" + Keys.ENTER)
        wait_until(lambda: "not the token" in browser.page_source, "the refusal")
        browser.find_element(By.NAME, "token").send_keys("a token of some length" + Keys.ENTER)
        wait_until(lambda: browser.find_elements(By.ID, "label"), "the page")
        wait_until(lambda: text(browser, "label") == "happy", "a label")
        assert "token" not in browser.current_url
