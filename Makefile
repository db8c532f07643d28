# make demo    everything from nothing to three answers with citations
# make test    the whole suite, in an environment of its own
# make check   linter, formatter and strict types
#
# Needs Python 3.11 or newer, git and make; the package index is the only network.

PYTHON ?= $(shell scripts/find_python)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# All packages come from here: what runs is what was tested.
CONSTRAINTS := constraints.txt
TORCH := $(shell grep '^torch==' $(CONSTRAINTS))
PYTEST_FLAGS ?= -n 2
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help venv models demo test check results crash docs constraints clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -5

venv: $(STAMP)

# torch comes first and alone: once a fitting build is there, no other one is ever considered. Where the index offers
# the CPU build (2.13.0+cpu), pip prefers it, since a local version sorts above the plain one.
$(STAMP): pyproject.toml $(CONSTRAINTS)
	@scripts/make_venv "$(PYTHON)" $(VENV)
	@echo 'Installing into $(VENV); the first time takes some minutes.'
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) '$(TORCH)'
	$(BIN)/python -m pip install --quiet --use-pep517 --constraint $(CONSTRAINTS) --editable '.[dev]'
	@touch $@

models: $(STAMP)
	$(BIN)/ragkit models fetch

demo: models
	PATH="$(CURDIR)/$(BIN):$$PATH" examples/demo.sh

test: models
	$(BIN)/python -m pytest $(PYTEST_FLAGS)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy ragkit

# bench-NAME runs benchmarks/NAME.py; the peers come with the extra "bench".
bench-%: models
	$(BIN)/python -m pip install --quiet --use-pep517 --constraint $(CONSTRAINTS) --editable '.[bench]'
	$(BIN)/python -m benchmarks.$* $(ARGS)

# Measures what benchmarks/RESULTS.md reports and writes it there; ARGS names blocks, all of them take hours.
results: models
	$(BIN)/python -m pip install --quiet --use-pep517 --constraint $(CONSTRAINTS) --editable '.[bench]'
	$(BIN)/python -m benchmarks.results $(ARGS)

# kill -9 in the middle of indexing, fifty times.
crash: models
	RAGKIT_KILLS=50 $(BIN)/python -m pytest -q -s tests/crash

# docs/json.md from ragkit/cli/contract.py; a test fails where they differ.
docs: $(STAMP)
	$(BIN)/python scripts/write_json_docs.py

# After `pip install -U` inside .venv and a green `make test`.
constraints: $(STAMP)
	$(BIN)/python scripts/write_constraints.py

clean:
	rm -rf $(VENV) .demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
