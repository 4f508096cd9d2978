"""The model card: what a person should know before trusting a model, in Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from emopi.convert.bundled import Bundled
from emopi.convert.operators import OLD_RUNTIME
from emopi.device.contract import Contract, Score
from emopi.device.precision import Precision
from emopi.train.corpora import Reader, Utterance, readers_named
from emopi.train.evaluation.evaluate import Evaluation
from emopi.train.recipe import FACTORS, VIEWS
from emopi.train.run_record import RunRecord
from emopi.train.splits import description

WEIGHTS: dict[Precision, str] = {
    "float32": "float32",
    "float16": "float16",
    "dynamic-int8": "int8",
    "int8": "int8",
    "int16x8": "int8",
}
"""What the weights of each precision are stored as."""


def licence(readers: Sequence[type[Reader]]) -> str:
    """Who may use a model that was trained on these corpora, for what."""
    if [reader.name for reader in readers] == ["ravdess"]:
        return (
            "Trained on RAVDESS (CC BY-NC-SA 4.0, Livingstone and Russo 2018): use it for "
            "non-commercial purposes, with attribution, and share what is derived from it alike."
        )
    corpora = "; ".join(f"{reader.title} ({reader.licence})" for reader in readers)
    return (
        f"Trained on {corpora}. Use it, and pass it on, only as the terms of all of them allow, "
        "and name them."
    )


def render_card(
    record: RunRecord, side: Sequence[Utterance], models: Sequence[Bundled], calibrated: str
) -> str:
    """Markdown for one network; `models` are its precisions.

    `side` are the clips that it was trained on, `calibrated` says how those that fixed the ranges
    were chosen.
    """
    contracts = [model.contract for model in models]
    # one stands for all: by default the one that a device runs
    model = next((one for one in models if one.precision == "int8"), models[0])
    contract = model.contract
    evaluations = [one.tested for one in models if one.tested]
    readers = readers_named(contract.training["corpus"])
    return f"""# {record.network}: speech emotion recognition, eight acted emotions

Written by `emopi convert`; the same facts are in each model file: `unzip -p MODEL contract.json`.

## What it does

Takes {contract.window_s:.2f} s of speech as {contract.window_frames} frames of \
{contract.frontend.n_mfcc} MFCCs and gives, after {model.macs / 1e6:.1f} million \
multiply-accumulates, a score for each of:
{", ".join(contract.labels)}.

{_tested(record, evaluations, model) if evaluations else _untested(side)}\
{_expected(contracts, record)}
{_files(models)}
## Limits

{_limits(side, evaluations, contract)}
- The labels are what actors were asked to play: {"; ".join(reader.speech for reader in readers)}.
  Real feelings are subtler, mixed, and expressed otherwise by each person, language and culture.
  The model hears a manner of speaking; it does not know what anyone feels.
- Noise, distance, rooms, several speakers and bad microphones make it worse.
- Do not use it to judge people. The EU AI Act (Regulation 2024/1689, Article 5(1)(f)) bans
  inferring emotions at work and in education, apart from medical and safety reasons.

{_origin(record, readers, contracts, calibrated)}
## Licence

{contract.licence}
"""


def _tested(record: RunRecord, evaluations: Sequence[Evaluation], model: Bundled) -> str:
    """The section on a model with test clips; the confusion is that of `model`."""
    return f"""## How good it is

Protocol {record.protocol}, fold {record.fold}: {evaluations[-1].score.n} test clips, \
{record.corpus["train"]} training clips.
Every figure is what the device pipeline (`emopi classify`) says of the test clips; the epoch is
the last one, and nothing was chosen on test clips. One seed, so no spread over seeds; the
intervals are 95 % bootstraps over the test clips' speakers.

| model | accuracy | UAR | macro F1 | calibration error |
|---|---|---|---|---|
{_score_rows(evaluations)}

Confusion matrix of the {model.precision} model (row: the clip's label, column: the model's):

{_confusion(model.evaluation)}

    emopi evaluate MODEL --corpus DIR --protocol {record.protocol}
"""


def _files(models: Sequence[Bundled]) -> str:
    """The section on what the files are and where each runs."""
    rows = [
        f"| {model.name} | {len(model.content) / 1024:.0f} KB | {WEIGHTS[model.precision]} "
        f"| {model.contract.tensor_type} | {model.parity.agreement:.1%} "
        f"| {model.parity.probability:.2g} | {_old_runtime(model)} |"
        for model in models
    ]
    return f"""## The files

| file | size | weights | in and out | label as Keras | change of a probability | {OLD_RUNTIME} |
|---|---|---|---|---|---|---|
{chr(10).join(rows)}

Label and change of a probability: beside the network as it was trained, in Keras, on
{models[0].parity.windows} windows of training clips that fixed no range. Every file runs on
ai-edge-litert; {OLD_RUNTIME} is what there is for 32-bit Raspberry Pi OS.
{_streaming(models)}"""


def _streaming(models: Sequence[Bundled]) -> str:
    if not any(model.contract.streaming for model in models):
        return ""
    return """
A streaming form takes frames as they come and computes nothing twice: the answer for an utterance
up to now, from Python (`emopi.device.streaming`). From the first frame to the end of a window it
says what the model of whole windows says.
"""


def _old_runtime(model: Bundled) -> str:
    return f"no: {model.too_new}" if model.too_new else "yes"


def _untested(side: Sequence[Utterance]) -> str:
    """The section on a model that was trained on everything."""
    return f"""## How good it is

Trained on all {len(side)} clips: none was held out, so this very file has no test score, and any
figure on these clips would say nothing of new ones.
"""


def _expected(contracts: Sequence[Contract], record: RunRecord) -> str:
    """The section on scores of other models of the same recipe; nothing if there are none."""
    rows, protocols = [], {}
    for contract in contracts:
        for score in contract.scores:
            if (score.protocol, score.fold) != (record.protocol, record.fold):
                protocols[score.protocol] = description(score.protocol)
                rows.append(_expected_row(contract, score))
    if not rows:
        return ""
    listed = "\n".join(f"- {name}: {text}" for name, text in protocols.items())
    return f"""
## What to expect for a stranger's voice

What the same recipe scored on clips that were held out of its training, by models made for that:

| model | protocol | fold | test clips | accuracy | UAR |
|---|---|---|---|---|---|
{chr(10).join(rows)}

{listed}
"""


def _expected_row(contract: Contract, score: Score) -> str:
    return (
        f"| {contract.network}-{contract.precision} | {score.protocol} | {score.fold} | {score.n} "
        f"| {score.accuracy:.1%} | {score.uar:.1%} |"
    )


def _limits(
    side: Sequence[Utterance], evaluations: Sequence[Evaluation], contract: Contract
) -> str:
    """Whether the figures are for voices that the model knows, and what it has not learned."""
    lines = [_speakers({u.speaker for u in side}, evaluations)]
    known = {u.label for u in side}
    if unknown := [label for label in contract.labels if label not in known]:
        lines.append(
            f"- No training clip was labelled {', '.join(unknown)}: it has not learned "
            f"{'that' if len(unknown) == 1 else 'those'}."
        )
    return "\n".join(lines)


def _speakers(trained: set[str], evaluations: Sequence[Evaluation]) -> str:
    if not evaluations:
        return (
            f"- It knows the voices of {len(trained)} actors. For a voice that it has never heard "
            "it is clearly worse;\n  how much worse, only a protocol that holds speakers out tells "
            "(`--protocol upm-5`)."
        )
    tested = {utterance.speaker for utterance in evaluations[-1].utterances}
    if tested.isdisjoint(trained):
        return f"- The {len(tested)} test speakers are in no training clip: strangers' voices."
    return (
        f"- **The same {len(tested & trained)} actors are on both sides of this split.** For a "
        "voice that it has never heard the\n  model is clearly worse; figures for unseen speakers "
        "need a protocol that holds speakers out\n  (`--protocol upm-5`)."
    )


def _origin(
    record: RunRecord,
    readers: Sequence[type[Reader]],
    contracts: Sequence[Contract],
    calibrated: str,
) -> str:
    """The section on how the models were made."""
    recipe = record.recipe
    views = recipe.get("views", FACTORS[VIEWS[record.network]])  # old runs do not say
    command = (
        f"emopi train {record.network} {'--corpus DIR ' * len(readers)}"
        f"--protocol {record.protocol} --fold {record.fold} --epochs {recipe['epochs']} "
        f"--batch {recipe['batch']} --seed {recipe['seed']} "
        + (f"--validation {record.validation_share:g} " if record.validation_share else "")
        + ("--with-validation " if recipe.get("with_validation") else "")
        + (f"--teacher {record.teacher['network'].upper()}_RUN " if record.teacher else "")
        + (f"--views {len(views)} " if len(views) != VIEWS[record.network] else "")
        + "--out RUN"
    )
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    options = "".join(f" --precision {one.precision}" for one in contracts if not one.streaming)
    if any(contract.streaming for contract in contracts):
        options += " --streaming"
    tuned = ""
    if fine_tuning := contracts[0].training.get("fine_tuning"):
        options += f" --fine-tune {fine_tuning['epochs']}"
        tuned = (
            f"- fine-tuning: {fine_tuning['epochs']} epochs more with the rounding of int8 "
            "(quantization-aware), for every file\n"
        )
    ranges = ""
    if fixed := [one for one in contracts if one.calibration and not one.streaming]:
        names = " and ".join(contract.precision for contract in fixed)
        ranges = (
            f"- {names} ranges: from {len(fixed[0].calibration)} of the training clips, "
            f"{calibrated}; listed in the contract\n"
        )
    return f"""## How it was made

    {command}
    emopi convert RUN --out FOLDER{options}

- data: {record.corpus["train"]} training clips of {contracts[0].training["corpus_source"]}
- training: {recipe["epochs"]} epochs, {record.seconds / 60:.0f} minutes on {record.hardware}
{tuned}{ranges}- code: commit {record.commit}; {versions}
"""


def _score_rows(evaluations: Sequence[Evaluation]) -> str:
    return "\n".join(
        f"| {one.contract.network}-{one.contract.precision} "
        f"| {one.score.accuracy:.1%} ({_span(one.intervals['accuracy'])}) "
        f"| {one.score.uar:.1%} ({_span(one.intervals['uar'])}) "
        f"| {one.outcome.figures.macro_f1:.1%} | {one.calibration_error:.1%} |"
        for one in evaluations
    )


def _span(bounds: tuple[float, float]) -> str:
    if math.isnan(bounds[0]):
        return "one speaker: no interval"
    return f"{bounds[0]:.1%} to {bounds[1]:.1%}"


def _confusion(evaluation: Evaluation) -> str:
    labels = evaluation.contract.labels
    rows = [f"| | {' | '.join(labels)} | recall |", "|" + "---|" * (len(labels) + 2)]
    for label, counts in zip(labels, evaluation.confusion.tolist(), strict=True):
        recall = evaluation.recall.get(label)
        cells = " | ".join(str(count) if count else "" for count in counts)
        rows.append(f"| {label} | {cells} | {'' if recall is None else f'{recall:.0%}'} |")
    return "\n".join(rows)
