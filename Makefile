# Callpoint. `make run` tries the whole product on this machine, `make test` proves it; both set themselves up.
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13; do $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV   := .venv
PY     := $(VENV)/bin/python
ARGS   ?=
# PEP 517, because Debian's pip would build systemd-python and pyalsaaudio the old way, with a warning for each.
PIP_INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check --use-pep517
.DEFAULT_GOAL := help

# Debian packages. The build needs the first list. Without the right to install the others `make run` and `make test` go
# on, having said so: the lab has a broker of its own, and tests that miss something are skipped.
APT_BUILD := gcc python3-dev python3-venv libasound2-dev libsystemd-dev pkg-config libopus0
APT_RUN   := mosquitto libspeexdsp1
APT_TEST  := mosquitto pulseaudio libasound2-plugins espeak-ng systemd-container systemd coturn iproute2
# Recordings of speech, peers to be compared with, and what the sound card and the floor in C are built with.
APT_BENCH := pocketsphinx-testdata asterisk-core-sounds-en-g722 baresip libspeexdsp1 libasound2-dev libopus-dev libsrtp2-dev
APT_HIL   := qemu-system-x86 mmdebstrap busybox-static cpio kmod e2fsprogs binutils gcc make
APT_ARM64 := mmdebstrap qemu-user-static
# Debian's npm would clash with one that came with another source's Node.js.
APT_SDK   := chromium $(shell command -v npm >/dev/null 2>&1 || echo npm)

.PHONY: help setup setup-test run test interop lint bench bench-audio hil arm64 install clean

help:  ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /  make \1\t/' | expand -t 20

setup: $(VENV)/.lab  ## system packages, virtual environment, dependencies (run and test do it themselves)

$(VENV)/.lab: pyproject.toml
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or later found: install one, or name it: make PYTHON=/path/of/python3" >&2; exit 1; }
	@sh systemd/packages.sh $(APT_BUILD) --optional $(APT_RUN)
	@echo "setting up $(VENV): fetching and building the dependencies takes a minute or two, once"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP_INSTALL) --editable '.[lab]'
	@touch $@

$(VENV)/.test: $(VENV)/.lab
	@sh systemd/packages.sh --optional $(APT_TEST)
	@echo "adding to $(VENV) what the tests need"
	@$(PIP_INSTALL) --editable '.[test]'
	@touch $@

$(VENV)/.interop: $(VENV)/.test
	@sh systemd/packages.sh --optional $(APT_SDK)
	@touch $@

setup-test: $(VENV)/.test

run: $(VENV)/.lab  ## the whole product on this machine, nothing else needed (ARGS=--once: one call, unattended)
	@$(VENV)/bin/callpoint lab $(ARGS)

test: lint  ## everything that must hold (ARGS='-k name' for some of it)
	$(PY) -m pytest -m 'not sdk' $(ARGS)

interop: $(VENV)/.interop  ## calls with Telnyx's own JavaScript SDK in Chromium (ARGS='-k name' for some of them)
	$(PY) -m pytest -m sdk tests/interop $(ARGS)

lint: $(VENV)/.test  ## ruff and mypy --strict
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

bench: $(VENV)/.interop  ## speed beside stock aiortc and the SDK, written to build/bench/call.json
	$(PY) -m tests.bench.call $(ARGS)

$(VENV)/.bench: $(VENV)/.interop
	@sh systemd/packages.sh --optional $(APT_BENCH)
	@echo "adding to $(VENV) what the benches of the sound need"
	@$(PIP_INSTALL) --editable '.[bench]'
	@touch $@

bench-audio: $(VENV)/.bench  ## speech quality, delay and cost beside stock aiortc, Chromium and baresip (ARGS=--quick: 4 minutes)
	$(PY) -m tests.bench.audio $(ARGS)

$(VENV)/.hil: $(VENV)/.lab
	@sh systemd/packages.sh --optional $(APT_HIL)
	@touch $@

hil: $(VENV)/.hil  ## sound cards, GPIO pins and systemd of a real kernel, in a virtual machine (ARGS='-k name' for some)
	@PYTHON=$(CURDIR)/$(PY) sh tests/vm/hil.sh $(ARGS)

arm64: $(VENV)/.test  ## what a 64-bit ARM device installs, and does it work there, emulated? As root (ARGS=bookworm for one Debian)
	@sh systemd/packages.sh $(APT_ARM64)
	@PYTHON=$(CURDIR)/$(PY) bash tests/arm64/check.sh $(ARGS)

install:  ## on a device, as root: user, groups, unit, config, virtual environment
	sh systemd/install.sh

clean:  ## remove what the build made
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
