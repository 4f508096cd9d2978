"""`RESULTS.md`: what the results say, in Markdown. The same results give the same text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from emopi.convert.comparison.verdict import points, points_span
from emopi.convert.reproduction import paper
from emopi.convert.reproduction.cells import (
    change,
    distinct,
    image,
    mean,
    name_of,
    percent,
    plural,
    ranged,
    span,
    table,
)
from emopi.convert.reproduction.findings import WORN, Findings, Heard, Quantized, Worn
from emopi.convert.reproduction.illustrations import Illustrations
from emopi.convert.reproduction.results import Result
from emopi.train.corpora import Ravdess
from emopi.train.evaluation.figures import UNSEEN
from emopi.train.evaluation.summary import ModelSummary
from emopi.train.evaluation.wearer import DRAWS, ORDINARY
from emopi.train.splits import load_protocol

NOTES = """\
- Every figure of a network is what the device's own pipeline says of test clips, as
  `emopi classify` would; the int8 model is the one that a Raspberry Pi runs. The svm is a baseline
  on the same front end, not a model for the device.
- paper-80-20, paper-70-30 and random-10fold have **the same 24 actors on both sides**. Their
  figures are for voices that the model knows; upm-5 and emobox-6 tell what to expect of a voice
  that it has never heard.
- Nothing was chosen on a fold's test clips: each network is that of its last epoch, with the same
  settings in every fold. Those settings, and the svm's, were picked on the ten validation actors of
  upm-5, each of whom is a test actor of another fold. The trainings reported here have nothing left
  to choose, so they also train on the validation actors of their fold.
- ± is the standard deviation over folds. Intervals are 95 % bootstraps over the test clips'
  speakers, all folds together. In paper-80-20 and paper-70-30 the folds are repetitions that share
  test clips, each with a split and a seed of its own; in the others every clip is tested once, and
  there is one seed.
- The labels are what actors were asked to play, in two English sentences."""


def render(findings: Findings, illustrations: Illustrations) -> str:
    """The whole report; figures that have not been drawn are left out."""
    figures = illustrations.paths
    sections: list[Iterable[str]] = [
        _opening(findings),
        _paper(findings, figures),
        _unseen(findings, figures),
        *(_protocol(findings, figures, protocol) for protocol in findings.protocols),
        _quantization(findings.quantized),
        _wearers(findings),
        _robustness(findings.heard),
        _training(findings, figures),
        _clips(illustrations),
        _provenance(findings),
    ]
    return "\n\n".join(part for section in sections for part in section if part) + "\n"


def _opening(findings: Findings) -> Iterable[str]:
    if findings.quick:
        yield "# A quick trial, not results"
        yield (
            "> **Trained for a few epochs, on first folds alone, to see that everything runs. No "
            "figure below means anything.**"
        )
    else:
        yield "# Results"
    yield (
        f"Written by `{_command(findings)}`, after {paper.CITATION}, Table 1 and figures 3 to 11. "
        "What it was written from stands [at the end](#where-these-figures-are-from)."
    )
    yield NOTES
    yield _missing(findings)


def _missing(findings: Findings) -> str:
    lines = []
    for (protocol, network), folds in findings.missing().items():
        planned = findings.planned(network, protocol)
        done = len(planned) - len(folds)
        lines.append(
            f"- {protocol}, {network}: {done} of {len(planned)} folds; missing: {', '.join(folds)}"
            if done
            else f"- {protocol}, {network}: none of {len(planned)} folds"
        )
    return "**Not complete.**\n\n" + "\n".join(lines) if lines else ""


def _paper(findings: Findings, figures: Mapping[str, str]) -> Iterable[str]:
    random = [p for p in paper.SPLITS if p in findings.protocols]
    unseen = [p for p in ("upm-5",) if p in findings.protocols]
    if not random + unseen:
        return
    yield "## Beside the paper's Table 1"
    head = ["accuracy, %", "**as the paper states**", *random, *(f"{p} (unseen)" for p in unseen)]
    rows = []
    for network in findings.networks:
        found = [findings.find(network, protocol) for protocol in random + unseen]
        stated = f"{paper.STATED[network]:.0%}" if network in paper.STATED else "no figure"
        name = {"cnn": "CNN", "lstm": "RNN (LSTM)", "svm": "SVM"}.get(network, network)
        rows.append([name, stated.replace("%", ""), *(mean(m, "accuracy") for m in found)])
    yield table(head, rows)
    yield (
        "Ours are the int8 models (the SVM: float64). The paper divides RAVDESS 80-20 or 70-30 and "
        "does not say which of the two its figures are for, how often that was repeated, or how "
        "the epoch was chosen. Its survey quotes others' SVM, on another corpus; it has none of "
        "its own."
    )
    yield image(figures, "accuracy", "Accuracy of models, the paper's Fig. 11")


def _unseen(findings: Findings, figures: Mapping[str, str]) -> Iterable[str]:
    protocols = sorted(findings.protocols, key=lambda protocol: protocol in UNSEEN)
    known = [protocol for protocol in protocols if protocol not in UNSEEN]
    if not known or known == protocols:
        return
    yield "## Known against unseen speakers"
    head = ["accuracy, %", *(f"{p}{' (unseen)' * (p in UNSEEN)}" for p in protocols)]
    yield table(
        head,
        [
            [name_of(model), *(mean(m, "accuracy") for m in row)]
            for network in findings.networks
            for row in [[findings.find(network, protocol) for protocol in protocols]]
            for model in [next(m for m in row if m)]
        ],
    )
    yield image(figures, "random-against-unseen", "Accuracy fold by fold")


def _protocol(findings: Findings, figures: Mapping[str, str], protocol: str) -> Iterable[str]:
    models = [model for model in findings.models if model.protocol == protocol]
    yield f"## {protocol}"
    yield load_protocol(protocol).description
    head = ["%", "folds", "clips", "accuracy", "95 % interval", "UAR", "95 % interval", "macro F1",
            "calibration error"]  # fmt: skip
    yield table(head, [_figures_row(findings, model) for model in models])
    labels = models[0].labels
    yield table(
        ["recall, %", *labels],
        [[name_of(m), *(percent(m.recall.get(label)) for label in labels)] for m in models],
    )
    names = [model.network for model in findings.deployed if model.protocol == protocol]
    images = [
        image(figures, f"confusion-{protocol}-{name}", f"{name}, {protocol}") for name in names
    ]
    if all(images):
        yield table(names, [images])


def _figures_row(findings: Findings, model: ModelSummary) -> list[str]:
    planned = len(findings.planned(model.network, model.protocol))
    found = len(model.folds)
    folds = str(found) if found == planned else f"{found} of {planned}"
    return [
        name_of(model), folds, str(model.n),
        mean(model, "accuracy"), span(model.intervals["accuracy"]),
        mean(model, "uar"), span(model.intervals["uar"]),
        mean(model, "macro_f1"), mean(model, "ece"),
    ]  # fmt: skip


def _quantization(quantized: Sequence[Quantized]) -> Iterable[str]:
    if not quantized:
        return
    yield "## What quantization costs"
    yield (
        "The quantized models against the float32 models of the same trainings, on the same test "
        "clips, all folds together; changes in points. Intervals are 95 % paired bootstraps over "
        "the test clips' speakers, and one that holds 0 shows no difference. McNemar's exact test "
        "takes clips for independent. Probability is the mean change of a label's, 0 to 1."
    )
    head = ["", "folds", "clips", "UAR", "95 % interval", "accuracy", "95 % interval",
            "same label, %", "McNemar p", "probability"]  # fmt: skip
    yield table(head, [_quantization_row(one) for one in quantized])


def _quantization_row(one: Quantized) -> list[str]:
    says = one.says
    return [
        f"{one.network}-{one.precision}, {one.protocol}", str(len(set(one.folds))), str(says.n),
        points(says.uar_change, 2), points_span(says.intervals["uar_change"], 2),
        points(says.accuracy_change, 2), points_span(says.intervals["accuracy_change"], 2),
        percent(says.agreement), f"{says.mcnemar_p:.2g}", f"{says.mean_probability_change:.4f}",
    ]  # fmt: skip


def _wearers(findings: Findings) -> Iterable[str]:
    if not findings.worn:
        return
    yield "## Calibrated to the wearer"
    yield (
        f"What `emopi calibrate` is worth on {WORN}: each test actor as a wearer, who gives the "
        "sensor some recordings before the others are scored. These figures are **not** those of a "
        "stranger's voice, and stand apart for that. Ordinary speech is half of the actor's "
        f"{' and '.join(ORDINARY)} clips, about 20 s, without labels; then so many labelled clips "
        f"of each emotion. UAR before and after on the same clips, mean over folds and {DRAWS} "
        "draws of the clips that are given."
    )
    networks = list(dict.fromkeys(worn.after.network for worn in findings.worn))
    by = {(worn.given, worn.after.network): worn for worn in findings.worn}
    yield table(
        ["UAR, %", *(f"{name}-{by[0, name].after.precision}" for name in networks)],
        [
            [
                f"{given} an emotion" if given else "ordinary speech",
                *(_before_after(by[given, name]) for name in networks),
            ]
            for given in dict.fromkeys(worn.given for worn in findings.worn)
        ],
    )


def _before_after(worn: Worn) -> str:
    before, after = worn.before.mean.uar, worn.after.mean.uar
    return f"{percent(before)} → {percent(after)} ({100 * (after - before):+.1f})"


def _robustness(heard: Sequence[Heard]) -> Iterable[str]:
    if not heard:
        return
    yield "## Under worse conditions"
    yield (
        "The int8 models of the same folds on the same test clips, altered as a microphone there "
        "would have heard them; behind each figure, the change from the clean clips."
    )
    columns = list(dict.fromkeys((one.under.protocol, one.under.network) for one in heard))
    by = {(one.condition, one.under.protocol, one.under.network): one for one in heard}
    conditions = list(dict.fromkeys(one.condition for one in heard))
    clean = {(one.clean.protocol, one.clean.network): one.clean for one in heard}
    yield table(
        ["UAR, %", *(" ".join(column[::-1]) for column in columns)],
        [
            ["clean", *(mean(clean[column], "uar") for column in columns)],
            *([name, *(change(by.get((name, *column))) for column in columns)]
              for name in conditions),
        ],
    )  # fmt: skip


def _training(findings: Findings, figures: Mapping[str, str]) -> Iterable[str]:
    yield "## Training and size"
    rows = []
    for network in findings.networks:
        of = [result for result in findings.results if result.network == network]
        rows.append([
            network, str(len(of)), ranged(result.epochs for result in of) if of[0].epochs else "–",
            ranged(round(result.minutes, 1) for result in of),
            *(ranged(result.bytes[p] // 1024 for result in of) if of[0].bytes else "–"
              for p in ("int8", "float32")),
        ])  # fmt: skip
    head = ["", "trainings", "epochs", "minutes each, one core", "int8, KB", "float32, KB"]
    yield table(head, rows)
    yield image(figures, "curves", "Loss and accuracy over the epochs")


def _clips(illustrations: Illustrations) -> Iterable[str]:
    shown = [label for label in paper.CLIP_FIGURES if label in illustrations.clips]
    if not shown:
        return
    yield "## What the model hears"
    yield (
        "For each emotion the first test clip, by id: the "
        "waveform, the logarithms of the mel energies, the MFCCs as the network takes them in, "
        f"and what {illustrations.heard_by} says every 0.1 s of the clip so far, as `emopi listen` "
        f"does after silence. Drawn from recordings of {Ravdess.title}: {Ravdess.source}."
    )
    for label in shown:
        yield (
            f"**{label.capitalize()}** (the paper's Fig. {paper.CLIP_FIGURES[label]}): "
            f"{Ravdess.title} clip {illustrations.clips[label]}, {Ravdess.licence}."
        )
        yield image(illustrations.paths, f"clip-{label}", f"{label}, as the model hears it")


def _provenance(findings: Findings) -> Iterable[str]:
    results = findings.results
    yield "## Where these figures are from"
    yield f"    {_command(findings)}"
    commits = distinct(result.commit or "unknown" for result in results)
    hardware = distinct(result.hardware for result in results)
    corpora = distinct(result.corpus_sha256 for result in results)
    yield "\n".join(
        (
            f"- code: {plural('commit', commits)}",
            f"- versions: {'; '.join(_versions(results))}",
            f"- hardware: {'; '.join(hardware)}",
            f"- corpus: RAVDESS, SHA-256 {'; '.join(corpora)}",
            f"- seeds and settings: {'; '.join(_seeds(findings))}",
        )
    )
    if any(commit.endswith("-dirty") for commit in commits):
        yield "A commit that ends in -dirty had changes that are in no commit."


def _versions(results: Sequence[Result]) -> list[str]:
    """Every version of every package that took part."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for result in results:
        for package, version in result.versions.items():
            found[package][version] = None
    return [f"{package} {' and '.join(found[package])}" for package in found]


def _seeds(findings: Findings) -> Iterator[str]:
    """The seeds of each network, and what names its recipe."""
    for network in findings.networks:
        of = [result for result in findings.results if result.network == network]
        seeds = sorted({result.seed for result in of if result.seed is not None})
        recipes = len({result.recipe_sha256 for result in of})
        text = f"seed {ranged(seeds)}" if seeds else "no randomness"
        yield f"{network} {text}, recipe {of[0].recipe_sha256[:8]}" + (
            f" and {recipes - 1} that differ in the seed" if recipes > 1 else ""
        )


def _command(findings: Findings) -> str:
    return "emopi reproduce --corpus DIR" + (" --quick" if findings.quick else "")
