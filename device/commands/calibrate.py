"""`emopi calibrate`: teach the sensor how its wearer sounds."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from emopi.device.commands.shared import model_option, open_source
from emopi.device.errors import AudioError, ProfileError
from emopi.device.model_files import resolve_model

if TYPE_CHECKING:
    from emopi.device.classifier import Classifier
    from emopi.device.profile import Profile
    from emopi.device.sources.audio import AudioBlock, AudioSource


@click.command()
@click.argument("clips", nargs=-1, metavar="[FILE | LABEL=FILE]...")
@click.option(
    "--record",
    metavar="ordinary|LABEL",
    help="Hear the microphone for --seconds: your ordinary voice, or an example of LABEL.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(1, 600),
    help="For --record. Default: 60 of ordinary speech, 4 for a label.",
)
@click.option("--source", default="mic", show_default=True, metavar="mic|mic:NAME",
              help="Microphone for --record.")  # fmt: skip
@model_option
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Profile to write; if it is there already, the examples are added to it.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def calibrate(
    clips: tuple[str, ...],
    record: str | None,
    seconds: float | None,
    source: str,
    model: str,
    out: Path,
    as_json: bool,
) -> None:
    """Make a profile of your own voice, for listen --profile and classify --profile.

    A minute of your ordinary speech helps (a FILE, or --record ordinary); a clip of each emotion
    helps more, and five of each most (happy=birthday.wav angry=bus.wav, or --record happy). The
    profile holds eight numbers a clip and no audio; nothing that the microphone hears is written
    to disk.
    """
    from emopi.device.classifier import Classifier
    from emopi.device.profile import Profile, read_profile, write_profile

    wanted = [_parse(clip) for clip in clips]
    if not wanted and not record:
        raise click.UsageError("there is nothing to learn from: give FILE, LABEL=FILE or --record")
    classifier = Classifier(resolve_model(model))
    contract = classifier.contract
    for label in [label for label, _ in wanted] + [_label(record)]:
        if label not in (None, *contract.labels):
            raise ProfileError(
                f"the label is {label!r}; expected one of: {', '.join(contract.labels)}"
            )
    profile = read_profile(out, contract) if out.exists() else Profile.empty(contract)
    rate_hz = contract.frontend.sample_rate_hz
    for label, path in wanted:
        profile = _learn(
            profile, label, open_source(str(path), rate_hz, realtime=False), classifier
        )
    if record:
        seconds = seconds or (60.0 if _label(record) is None else 4.0)
        heard = Beginning(open_source(source, rate_hz, realtime=True), seconds, rate_hz)
        click.echo(f"emopi: {heard.name} hears you for {seconds:g} s: {record}", err=True)
        profile = _learn(profile, _label(record), heard, classifier)
    write_profile(profile, out)
    _report(profile, out, as_json)


class Beginning:
    """The first seconds of another source."""

    def __init__(self, source: AudioSource, seconds: float, rate_hz: int) -> None:
        self.name = source.name
        self.sample_rate_hz = rate_hz
        self._source = source
        self._samples = round(seconds * rate_hz)

    def blocks(self) -> Iterator[AudioBlock]:
        """Its blocks, until that many samples have come."""
        left = self._samples
        for block in self._source.blocks():
            yield block
            left -= len(block.samples)
            if left <= 0:
                return

    def close(self) -> None:
        """Close the other source."""
        self._source.close()


def _parse(clip: str) -> tuple[str | None, Path]:
    """Label and file; no label where none is named, or where a file of that whole name is."""
    label, equals, path = clip.partition("=")
    if not equals or Path(clip).is_file():
        return None, Path(clip)
    return label, Path(path)


def _label(record: str | None) -> str | None:
    return None if record in (None, "ordinary") else record


def _learn(
    profile: Profile, label: str | None, source: AudioSource, classifier: Classifier
) -> Profile:
    """The profile and what the model says of `source`, which is closed."""
    from emopi.device.decision import NO_SPEECH
    from emopi.device.gate import WHOLE_CLIP
    from emopi.device.pipeline import classify

    with contextlib.closing(source):
        decision = classify(source, classifier, gate=WHOLE_CLIP)
    if decision.label == NO_SPEECH:
        raise AudioError(f"{source.name} holds no speech to learn from: speak louder, or nearer")
    return profile.with_example(label, decision.probabilities)


def _report(profile: Profile, out: Path, as_json: bool) -> None:
    n = len(profile.examples)
    alone, adjusted = profile.left_out()
    if as_json:
        facts = {
            "profile": str(out),
            "model": profile.model,
            "ordinary": len(profile.ordinary),
            "examples": profile.counts,
            "right_alone": alone,
            "right_left_out": adjusted,
            "n": n,
        }
        click.echo(json.dumps(facts))
        return
    counts = ", ".join(f"{label} {count}" for label, count in profile.counts.items() if count)
    click.echo(f"{out}: ordinary speech {len(profile.ordinary)}, {counts or 'no labelled clip'}")
    if not n:
        return
    click.echo(
        f"right of the {n} labelled: {alone} by the model alone, {adjusted} with a profile of "
        "everything but the clip itself"
    )
    if missing := [label for label, count in profile.counts.items() if not count]:
        click.echo(f"no clip yet of: {', '.join(missing)}. Each label needs one to keep its place")
