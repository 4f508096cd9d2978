# make run   a live run of the shipped int8 model (a bundled recording where there is no microphone)
# make test  all tests
# make lint  ruff and mypy
# make bench BENCH="--corpus RAVDESS"  everything beside its like: benchmarks/README.md
# make bench-instructions  what Raspberry Pis execute, counted in QEMU: benchmarks/README.md
# Each sets up what it needs in .venv* here; only Python 3.11 or newer (on Debian with
# python3-venv), git and make are expected.

PYTHON ?= python3
PIP_FLAGS := --quiet --disable-pip-version-check

.PHONY: run test lint bench bench-instructions clean
.DELETE_ON_ERROR:

run: .venv-run/ready
	.venv-run/bin/emopi listen --source auto

test: .venv/ready .venv-tflite/ready
	.venv/bin/pytest
	@if [ -x .venv-tflite/bin/pytest ]; then \
		echo "again, the device alone: tflite-runtime 2.14, NumPy 1, no TensorFlow"; \
		.venv-tflite/bin/pytest tests/device; \
	fi

lint: .venv/ready
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

bench: .venv-bench/ready
	.venv-bench/bin/python -m benchmarks.suite $(BENCH)

bench-instructions: .venv/ready
	.venv/bin/python -m benchmarks.instructions

clean:
	rm -rf .venv .venv-run .venv-tflite .venv-bench build *.egg-info

# What a Raspberry Pi gets: the base install, the live view, and the microphone where it builds.
.venv-run/ready: setup.cfg pyproject.toml $(wildcard device/*.py device/sinks/*.py device/sinks/page/* models/*)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "emopi needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv-run
	.venv-run/bin/pip install $(PIP_FLAGS) '.[live]'
	@.venv-run/bin/pip install $(PIP_FLAGS) pyaudio >.venv-run/pyaudio.log 2>&1 || \
		echo "PyAudio cannot be built here, so there is no microphone; on Debian and" \
		"Raspberry Pi OS: sudo apt install portaudio19-dev python3-dev gcc; then: rm -r .venv-run"
	@touch $@

# Everything: training, conversion, test tools.
.venv/ready: setup.cfg pyproject.toml $(wildcard device/*.py device/sinks/*.py device/sinks/page/* train/*.py \
		train/corpora/*.py train/protocols/* convert/*.py convert/comparison/*.* models/*)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "emopi needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	.venv/bin/pip install $(PIP_FLAGS) -e '.[train,dev]'
	@.venv/bin/pip install $(PIP_FLAGS) pyaudio >.venv/pyaudio.log 2>&1 || \
		echo "PyAudio cannot be built here: the microphone's tests will skip"
	@touch $@

# What is measured, and what it is set beside.
.venv-bench/ready: setup.cfg pyproject.toml $(wildcard device/*.py device/sinks/*.py device/sinks/page/* train/*.py \
		train/corpora/*.py train/protocols/* convert/*.py convert/comparison/*.* models/*)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "emopi needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/pip install $(PIP_FLAGS) -e '.[bench]'
	@touch $@

# The device as on a 32-bit Raspberry Pi: tflite-runtime, NumPy 1. Its last wheels are for 3.11.
.venv-tflite/ready: .venv/ready
	$(PYTHON) -m venv .venv-tflite
	@if $(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then \
		.venv-tflite/bin/pip install $(PIP_FLAGS) 'numpy<2' tflite-runtime==2.14.0 \
			click soundfile soxr pymicro-vad pytest pytest-timeout hypothesis && \
		.venv-tflite/bin/pip install $(PIP_FLAGS) --no-deps .; \
	else \
		echo "tflite-runtime 2.14 has no wheel for this Python: tests run on LiteRT alone"; \
	fi
	@touch $@
