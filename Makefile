# `make help` lists what there is. Everything runs in .venv, which is set up from pyproject.toml.

PYTHON ?= python3
# Parallel test processes; tests that share a built simulation stay in one (tests/conftest.py).
PYTEST_OPTIONS ?= -n auto --maxprocesses 8 --dist loadfile

# Tests that need Icarus Verilog or Chromium are run where it is installed; `make` says so where it is not.
ICARUS := $(shell command -v iverilog)
CHROMIUM := $(shell command -v chromium)
SELECT := $(if $(ICARUS),,and not icarus) $(if $(CHROMIUM),,and not browser)
define LEFT_OUT
$(if $(ICARUS),,@echo "Icarus Verilog (iverilog) is not installed: its tests were left out.")
$(if $(CHROMIUM),,@echo "Chromium (chromium) is not installed: tests of pages in a browser were left out.")
endef

BIN := .venv/bin
READY := .venv/.ready
# The tools of `make compare` need an older NumPy.
COMPARE := build/compare-venv

.DEFAULT_GOAL := help
.PHONY: help venv demo test check-slow bench bench-capacity bench-fmax boards compare lint docs types format clean distclean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(READY) ## set up .venv with everything that is needed

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mla-hw needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	@echo "Setting up .venv from pyproject.toml; this takes a few minutes."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(READY) ## take examples/tiny-v3 through generate, simulate and synth
	$(BIN)/python examples/demo.py

test: $(READY) ## run the default tests
	$(BIN)/python -m pytest -m "not slow $(SELECT)" $(PYTEST_OPTIONS)
	$(LEFT_OUT)

check-slow: $(READY) ## run the tests that take minutes
	$(BIN)/python -m pytest -m "slow $(SELECT)" $(PYTEST_OPTIONS)
	$(LEFT_OUT)

bench: $(READY) ## simulate decode steps of real model dimensions; write benchmarks/results.json
	$(BIN)/python -m benchmarks.bench

bench-capacity: $(READY) ## predict and simulate DeepSeek-V3 with all heads; takes half an hour
	$(BIN)/python -m benchmarks.capacity

bench-fmax: $(READY) ## place and route cores with three seeds; takes hours
	$(BIN)/python -m benchmarks.fmax

boards: $(READY) ## place and route every board with three seeds; takes hours
	$(BIN)/python -m benchmarks.boards

compare: $(COMPARE)/.ready ## give the products of a step to SCALE-Sim and ZigZag; takes minutes
	$(COMPARE)/bin/python -m benchmarks.compare

$(COMPARE)/.ready: pyproject.toml
	@echo "Setting up $(COMPARE) from pyproject.toml; this takes a few minutes."
	@$(PYTHON) -m venv $(COMPARE)
	@$(COMPARE)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[compare]'
	@touch $@

lint: $(READY) ## check style, format and spelling
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/codespell

docs: $(READY) ## write the generated pages and figures of docs
	$(BIN)/python -m mla_hw.documentation docs
	$(BIN)/mla-hw paper --out docs/figures/paper

types: $(READY) ## check types
	$(BIN)/mypy

format: $(READY) ## sort imports and format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## delete what was built, but not .venv
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean ## delete .venv, too
	rm -rf .venv
