"""`emopi classify`: which emotion a recording sounds like."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from emopi.device.commands.shared import load_profile, model_option, profile_option
from emopi.device.errors import EmopiError
from emopi.device.model_files import resolve_model


@click.command()
@click.argument("clips", nargs=-1, required=True, type=click.Path(path_type=Path))
@model_option
@profile_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a clip on stdout.")
def classify(clips: tuple[Path, ...], model: str, profile_path: Path | None, as_json: bool) -> None:
    """Say which emotion each CLIP sounds like: one answer for the whole recording.

    A clip that cannot be read is reported, the others are answered all the same, and the exit
    status is 1.
    """
    from emopi.device.classifier import Classifier
    from emopi.device.gate import WHOLE_CLIP
    from emopi.device.pipeline import classify as classify_source
    from emopi.device.sources.audio import FileSource

    classifier = Classifier(resolve_model(model))
    profile = load_profile(profile_path, classifier)
    failed = 0
    width = max(len(str(clip)) for clip in clips)
    for clip in clips:
        try:
            source = FileSource(clip, classifier.contract.frontend.sample_rate_hz)
            decision = classify_source(source, classifier, profile, gate=WHOLE_CLIP)
        except EmopiError as error:
            click.echo(f"emopi: {error}", err=True)
            failed += 1
            continue
        if source.bandwidth_warning:
            click.echo(f"emopi: {source.bandwidth_warning}", err=True)
        if as_json:
            shown = decision.to_json()
            keys = ("label", "confidence", "probabilities", "model")
            fields = {"clip": str(clip)} | {key: shown[key] for key in keys}
            click.echo(json.dumps(fields, allow_nan=False))
        else:
            ranked = sorted(decision.probabilities.items(), key=lambda item: -item[1])
            runners_up = ", ".join(f"{name} {p:.0%}" for name, p in ranked[1:3])
            click.echo(
                f"{clip!s:<{width}}  {decision.label:<10} {decision.confidence:4.0%}   "
                f"({runners_up})"
            )
    if failed:
        sys.exit(1)
