# python3 (3.11 or later) and make are all that is needed: each target makes its own .venv.

PYTHON ?= python3
CONFIG ?= configs/standalone.toml
SECONDS ?=

VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help demo run test test-compiled test-real test-long compiled wheel simulate replay games replay-game bench bench-quick bench-link check format docs clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: $(VENV)/.installed ## a hub, three leaves and simulated clients, live; SECONDS=20 ends it
	$(BIN)/meshtracker demo $(if $(SECONDS),--seconds $(SECONDS))

run: $(VENV)/.installed ## one node: make run CONFIG=configs/standalone.toml
	$(BIN)/meshtracker run -c $(CONFIG)

test: $(VENV)/.installed-test ## the quick suite, minutes
	$(PYTEST) -m "not long and not real and not compiled"

test-compiled: compiled ## the quick suite again, with the hot modules compiled
	cd build/compiled && PYTHONPATH=$$PWD ../../$(PYTEST) -m "compiled or not (long or real or interpreted)"

test-real: $(VENV)/.installed-test ## real processes and real BitTorrent clients
	$(PYTEST) -m "real and not long and not compiled"

test-long: $(VENV)/.installed-test ## what takes long, and what is real
	$(PYTEST) -m "(long or real) and not compiled"

simulate: $(VENV)/.installed-test ## meshes in virtual time through every fault: make simulate SEEDS=1000 START=0
	$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),200) --start $(or $(START),0)

replay: $(VENV)/.installed-test ## one seed of the simulation again, with its story: make replay SEED=7 EVENTS=3,12
	$(BIN)/python -m tests.simulation --seed $(SEED) $(if $(EVENTS),--events $(EVENTS))

games: $(VENV)/.installed-test ## members that mean harm against honest nodes: make games GAMES=10000 START=0
	$(BIN)/python -m tests.hostile --games $(or $(GAMES),500) --start $(or $(START),0)

replay-game: $(VENV)/.installed-test ## one of those games again: make replay-game GAME=7 TURNS=3,12
	$(BIN)/python -m tests.hostile --game $(GAME) $(if $(TURNS),--turns $(TURNS))

compiled: $(VENV)/.installed-test ## a copy of everything in build/compiled, its hot modules compiled there (setup.py)
	rm -rf build/compiled && mkdir -p build/compiled
	git ls-files -co --exclude-standard -z | xargs -0 cp --parents -t build/compiled
	cd build/compiled && ../../$(BIN)/python setup.py --quiet build_ext --inplace

wheel: $(VENV)/.installed-test ## a wheel for this machine in dist/, with the hot modules compiled
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

bench: compiled ## everything beside opentracker, Redis and the kernel, and through growth; hours; writes docs/performance.md
	$(BIN)/python -m tests.benchmarks.fan_out
	$(BIN)/python -m tests.benchmarks.fan_out --compiled
	$(BIN)/python -m tests.benchmarks

bench-quick: compiled ## the most important figures of `bench` in two minutes, printed only
	$(BIN)/python -m tests.benchmarks --quick

bench-link: $(VENV)/.installed ## what the link costs: resync, bytes an update, a stuck leaf; more than half an hour
	$(BIN)/python -m tests.benchmarks.relay

check: $(VENV)/.installed-test ## lint, format and strict types, as in CI
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-test ## rewrite the sources as `check` wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed ## write configs/ and docs/configuration.md anew from the settings
	$(BIN)/python -m meshtracker.settings.document

clean: ## remove all that the other targets made
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "meshtracker needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
	         "Name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "$(PYTHON) comes without venv; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@
