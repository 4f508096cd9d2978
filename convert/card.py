"""The model card: what a person should know before trusting a model, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from emopi.train.corpora import Ravdess
from emopi.train.evaluate import Evaluation, training_clips
from emopi.train.run_record import RunRecord


def render_card(record: RunRecord, evaluations: Sequence[Evaluation]) -> str:
    """Markdown for one network; `evaluations` are of its precisions, int8 last."""
    int8 = evaluations[-1]
    contract = int8.contract
    command = (
        f"emopi train {record.network} --corpus DIR --protocol {record.protocol} "
        f"--fold {record.fold} --epochs {record.recipe['epochs']} "
        f"--batch {record.recipe['batch']} --seed {record.recipe['seed']} "
        + (f"--validation {record.validation_share:g} " if record.validation_share else "")
        + "--out RUN"
    )
    score = f"emopi evaluate MODEL --corpus DIR --protocol {record.protocol}"
    n_train, n_test = record.corpus["train"], int8.score.n
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    return f"""# {record.network}: speech emotion recognition, eight acted emotions

Written by `emopi convert`; the same facts are in each model file: `unzip -p MODEL contract.json`.

## What it does

Takes {contract.window_s:.2f} s of speech as {contract.window_frames} frames of \
{contract.frontend.n_mfcc} MFCCs and gives a score for each of:
{", ".join(contract.labels)}.

## How good it is

Protocol {record.protocol}, fold {record.fold}: {n_test} test clips, {n_train} training clips.
Every figure is what the device pipeline (`emopi classify`) says of the test clips; the epoch is
the last one, and nothing was chosen on test clips. One seed, so no spread over seeds; the
intervals are 95 % bootstraps over the test clips' speakers.

| model | accuracy | UAR | macro F1 | calibration error |
|---|---|---|---|---|
{_score_rows(evaluations)}

Confusion matrix of the int8 model (row: the clip's label, column: the model's):

{_confusion(int8)}

    {score}

## Limits

{_speakers(int8)}
- The labels are what actors were asked to play, in two English sentences, in a studio. Real
  feelings are subtler, mixed, and expressed otherwise by each person, language and culture. The
  model hears a manner of speaking; it does not know what anyone feels.
- Noise, distance, rooms, several speakers and bad microphones make it worse.
- Do not use it to judge people. The EU AI Act (Regulation 2024/1689, Article 5(1)(f)) bans
  inferring emotions at work and in education, apart from medical and safety reasons.

## How it was made

    {command}
    emopi convert RUN --out FOLDER

- data: {n_train} training clips of {Ravdess.source}
- training: {record.recipe["epochs"]} epochs, {record.seconds / 60:.0f} minutes on {record.hardware}
- int8 ranges: from {len(contract.calibration)} of the training clips, listed in the contract
- code: commit {record.commit}; {versions}

## Licence

{contract.licence}
"""


def _speakers(evaluation: Evaluation) -> str:
    """Whether the figures are for voices that the model knows."""
    tested = {utterance.speaker for utterance in evaluation.utterances}
    trained = {clip_id[-2:] for clip_id in training_clips(evaluation.contract)}
    if tested.isdisjoint(trained):
        return f"- The {len(tested)} test speakers are in no training clip: strangers' voices."
    return (
        f"- **The same {len(tested & trained)} actors are on both sides of this split.** For a "
        "voice that it has never heard the\n  model is clearly worse; figures for unseen speakers "
        "need a protocol that holds speakers out\n  (`--protocol upm-5`)."
    )


def _score_rows(evaluations: Sequence[Evaluation]) -> str:
    return "\n".join(
        f"| {facts['network']}-{facts['precision']} "
        f"| {facts['accuracy']:.1%} ({_span(facts['intervals']['accuracy'])}) "
        f"| {facts['uar']:.1%} ({_span(facts['intervals']['uar'])}) "
        f"| {facts['macro_f1']:.1%} | {facts['ece']:.1%} |"
        for facts in (evaluation.to_json() for evaluation in evaluations)
    )


def _span(bounds: Sequence[float]) -> str:
    return f"{bounds[0]:.1%} to {bounds[1]:.1%}"


def _confusion(evaluation: Evaluation) -> str:
    labels = evaluation.contract.labels
    rows = [f"| | {' | '.join(labels)} | recall |", "|" + "---|" * (len(labels) + 2)]
    for label, counts in zip(labels, evaluation.confusion.tolist(), strict=True):
        recall = evaluation.recall.get(label)
        cells = " | ".join(str(count) if count else "" for count in counts)
        rows.append(f"| {label} | {cells} | {'' if recall is None else f'{recall:.0%}'} |")
    return "\n".join(rows)
