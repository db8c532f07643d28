# make demo    everything from nothing to three answers with citations
# make test    the whole suite, in an environment of its own
# make test-vllm   the tests of vLLM on a CPU, in another environment (Linux on x86-64; 3 GB)
# make check   linter, formatter and strict types
#
# Needs Python 3.11 or newer, git and make; the package index is the only network.

PYTHON ?= $(shell scripts/find_python)
VENV := .venv
VLLM_VENV := .venv-vllm
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# All packages come from here: what runs is what was tested.
CONSTRAINTS := constraints.txt
TORCH := $(shell grep '^torch==' $(CONSTRAINTS))
PYTEST_FLAGS ?= -n 2
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help venv models demo test check results crash docs constraints clean venv-vllm test-vllm requirements-vllm

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -6

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

# One thread for each process: two processes of two threads each on two cores take twice as long.
test: models
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_FLAGS)

# vLLM pins other versions of what ragkit needs, so it has an environment of its own; the models are the same files.
venv-vllm: $(VLLM_VENV)/.installed

$(VLLM_VENV)/.installed: pyproject.toml requirements-vllm.txt scripts/make_vllm_venv
	@echo 'Installing vLLM into $(VLLM_VENV); the first time takes some minutes.'
	scripts/make_vllm_venv "$(PYTHON)" $(VLLM_VENV)
	@touch $@

test-vllm: venv-vllm
	$(VLLM_VENV)/bin/ragkit models fetch
	$(VLLM_VENV)/bin/python -m pytest tests/vllm

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

# After it a green `make test-vllm`.
requirements-vllm:
	scripts/make_venv "$(PYTHON)" $(VLLM_VENV)
	$(VLLM_VENV)/bin/python -m pip install --quiet packaging
	$(VLLM_VENV)/bin/python scripts/write_vllm_requirements.py

clean:
	rm -rf $(VENV) $(VLLM_VENV) .demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
