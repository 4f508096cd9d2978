# make run   a live run of the shipped int8 model (a bundled recording where there is no microphone)
# make test  all tests
# make lint  ruff and mypy
# Longer ones, for which root and Debian's packages are needed: firmware_notes/tested.md
# make emulated-test   the device on emulated Raspberry Pis
# make test-card       cards that emopi flash prepared, booted in containers
# make appliance-test  install.sh on a real systemd in a container
# make pi-image-test   a whole arm64 machine in QEMU, from a blank card to its first decision
# Measurements: benchmarks/README.md
# make bench BENCH="--corpus RAVDESS"  everything beside its like
# make bench-instructions              what Raspberry Pis execute, counted in QEMU
# Each sets up what it needs in .venv* here; only Python 3.11 or newer (on Debian with
# python3-venv), git and make are expected.

PYTHON ?= python3
PIP_FLAGS := --quiet --disable-pip-version-check
CHECK_PYTHON := $(PYTHON) -c \
	'import sys; sys.exit(sys.version_info < (3, 11) and "emopi needs Python 3.11 or newer")'

# What an environment is made again for.
FOR_DEVICE := setup.cfg pyproject.toml $(filter-out %.pyc %.md, $(wildcard \
	device/*.* device/*/*.* device/*/*/*.* models/*.*))
FOR_ALL := $(FOR_DEVICE) $(filter-out %.pyc %.md, $(wildcard \
	train/*.* train/*/*.* convert/*.* convert/*/*.*))

.PHONY: run test test-networks test-device test-tflite lint clean \
	test-card emulated-test appliance-test pi-image-test bench bench-instructions
.DELETE_ON_ERROR:

run: .venv-run/ready
	.venv-run/bin/emopi listen --source auto

# Two at a time; what the second and the third say comes when they end.
test: .venv/ready .venv-tflite/ready
	@$(MAKE) --no-print-directory --keep-going --jobs=2 test-networks test-device test-tflite

test-networks: .venv/ready
	.venv/bin/pytest tests/train tests/convert

test-device: .venv/ready
	@.venv/bin/pytest --ignore tests/train --ignore tests/convert \
		>.venv/tests.log 2>&1; failed=$$?; \
	printf '\n%s\n' "the device, its guide, the benchmarks"; cat .venv/tests.log; exit $$failed

test-tflite: .venv-tflite/ready
	@if [ -x .venv-tflite/bin/pytest ]; then \
		.venv-tflite/bin/pytest tests/device --ignore tests/device/flash \
			--ignore tests/device/test_install.py >.venv-tflite/tests.log 2>&1; failed=$$?; \
		printf '\n%s\n' "the device alone: tflite-runtime 2.14, NumPy 1, no TensorFlow"; \
		cat .venv-tflite/tests.log; exit $$failed; \
	fi

# needs mmdebstrap and systemd-container; the roots stay in build/card-roots
test-card: .venv/ready
	EMOPI_TEST_CARD=1 .venv/bin/pytest tests/device/flash/test_first_boot.py

lint: .venv/ready
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

emulated-test: .venv/ready
	EMOPI_EMULATED=1 .venv/bin/pytest tests/emulated --verbose --durations=0

bench: .venv-bench/ready
	.venv-bench/bin/python -m benchmarks.suite $(BENCH)

bench-instructions: .venv/ready
	.venv/bin/python -m benchmarks.instructions

# The log of everything that was run: build/appliance/transcript.log
appliance-test: .venv/ready
	mkdir -p build/appliance
	EMOPI_APPLIANCE=1 .venv/bin/pytest -v --durations=0 --durations-min=1 \
		--junitxml=build/appliance/results.xml tests/appliance

# The log of the serial console: build/pi-image/console.log
pi-image-test: .venv/ready
	EMOPI_PI_IMAGE=1 .venv/bin/pytest -v tests/pi_image

clean:
	rm -rf .venv .venv-run .venv-tflite .venv-bench build *.egg-info

# What a Raspberry Pi gets: the base install, the live view, and the microphone where it builds.
.venv-run/ready: $(FOR_DEVICE)
	@$(CHECK_PYTHON)
	$(PYTHON) -m venv .venv-run
	.venv-run/bin/pip install $(PIP_FLAGS) '.[live]'
	@.venv-run/bin/pip install $(PIP_FLAGS) pyaudio >.venv-run/pyaudio.log 2>&1 || \
		echo "PyAudio cannot be built here, so there is no microphone; on Debian and" \
		"Raspberry Pi OS: sudo apt install portaudio19-dev python3-dev gcc; then: rm -r .venv-run"
	@touch $@

# Everything: training, conversion, test tools.
.venv/ready: $(FOR_ALL)
	@$(CHECK_PYTHON)
	$(PYTHON) -m venv .venv
	.venv/bin/pip install $(PIP_FLAGS) -e '.[train,dev]'
	@.venv/bin/pip install $(PIP_FLAGS) pyaudio >.venv/pyaudio.log 2>&1 || \
		echo "PyAudio cannot be built here: the microphone's tests will skip"
	@touch $@

# What is measured, and what it is set beside.
.venv-bench/ready: $(FOR_ALL)
	@$(CHECK_PYTHON)
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
