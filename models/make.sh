#!/bin/sh
# Makes every model, table and figure of this folder from the recordings:
#
#   models/make.sh [--quick] RAVDESS NOISE WORK [OUT]
#
# RAVDESS and NOISE are folders of recordings; WORK takes run folders, 1 GB of features and
# everything else that is made on the way; OUT is this folder if left out. Hours on a few cores. Each
# step goes on where it was interrupted, and OUT changes at the end alone, when all is there.
# --quick is a trial whose models know nothing: a few epochs, first folds; it needs an OUT elsewhere.
set -eu

quick=
if [ "${1:-}" = --quick ]; then
    quick=--quick
    shift
fi
if [ $# -lt 3 ] || [ $# -gt 4 ]; then
    echo "usage: models/make.sh [--quick] RAVDESS NOISE WORK [OUT]" >&2
    exit 2
fi
out=${4:-$(dirname "$0")}
if [ -n "$quick" ] && [ -e "$out/make.sh" ]; then
    echo "make.sh: --quick would put models that know nothing in $out; give another OUT" >&2
    exit 2
fi
corpus=$1 noise=$2 work=$3
cache=$work/cache new=$work/new
jobs=$work${quick:+/quick} # what emopi reproduce --quick leaves is in a folder of its own

# Every protocol: trained, converted, scored.
rm -rf "$new"
mkdir -p "$new/folds" "$new/unquantized"
emopi reproduce $quick --corpus "$corpus" --noise "$noise" --cache "$cache" --work "$work" \
    --out "$new" --json >"$work/summary.json"
cp -R "$work/results${quick:+/quick}" "$new/results"
cp "$jobs/models/upm-5"/*.tflite "$new/folds/"
for network in cnn lstm; do
    cp "$jobs/runs/upm-5/$network-fold1/models/$network-float32.tflite" \
        "$new/unquantized/$network-fold1.tflite"
done

# The models that are found by name, of all actors; what to expect of them says the same recipe.
python3 - "$work" <<'END'
import json
import pathlib
import sys

work = pathlib.Path(sys.argv[1])
fields = ("protocol", "precision", "n", "accuracy", "uar")
models = json.loads((work / "summary.json").read_text())["models"]
for network in ("cnn", "lstm"):
    scores = [
        {"fold": "mean"} | {field: model[field] for field in fields}
        for protocol in ("upm-5", "paper-80-20")
        for model in models
        if (model["network"], model["protocol"]) == (network, protocol)
    ]
    (work / f"expect-{network}.json").write_text(json.dumps(scores))
END
train() { # NETWORK, and further options
    network=$1 run=$jobs/runs/all/$1
    shift
    resume=
    if [ -f "$run/run.json" ]; then resume=--resume; else rm -rf "$run"; fi
    emopi train "$network" --corpus "$corpus" --protocol all --out "$run" --cache "$cache" \
        --jobs 1 ${quick:+--epochs 5 --batch 8} $resume "$@"
    emopi convert "$run" --out "$new" --expect "$work/expect-$network.json"
}
train cnn
train lstm --teacher "$jobs/runs/all/cnn"

# All of it at once, and nothing that is no longer made stays.
mkdir -p "$out"
for made in results figures folds unquantized; do
    rm -rf "${out:?}/$made"
done
cp -R "$new"/. "$out"/
echo "$out is made anew; then: python tests/device/test_golden.py, make bench-instructions"
