# Everything a new machine needs: git, make, Python 3.11 or later, Java 17 or later, Maven.
# `make help` lists the targets.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready
LOCKS  := $(wildcard requirements/*.txt)

# pip is the user's: its configuration decides which package index is asked. Nothing that the
# requirement files do not list is installed. TORCH_INDEX names an index with a CPU build of torch.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps
TORCH_VERSION := 2.15.0

# Two test processes: one for each core, each with a Kafka of its own.
WORKERS ?= 2
PYTEST  := $(BIN)/python -m pytest
export COVERAGE_FILE := build/coverage/data

.DEFAULT_GOAL := help
.PHONY: help setup lint types test demo faults bench soak lock clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

setup: $(STAMP) ## install everything into .venv (about 2 minutes and 4.5 GB, most of it torch)

$(STAMP): pyproject.toml $(LOCKS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "chiron-stream needs Python 3.11 or later; found: $$($(PYTHON) --version). Name one: make PYTHON=python3.12" >&2; exit 1; }
	@echo "== setting up $(VENV): about 2 minutes and 4.5 GB of disk, most of it torch (a lighter torch: docs/installing.md)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes -r requirements/dev.txt
ifdef TORCH_INDEX
	$(PIP) --require-hashes -r requirements/worker-without-torch.txt
	$(PIP) --index-url $(TORCH_INDEX) torch==$(TORCH_VERSION)
else
	$(PIP) --require-hashes -r requirements/worker.txt
endif
	$(PIP) --no-build-isolation --editable .
	@touch $@

lint: $(STAMP) ## ruff: style and known mistakes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## mypy, strict
	$(BIN)/mypy

# DATA=digits, fashion-mnist or cifar10 (with DATA_DIR=your copy); KEEP=1 leaves the job up.
demo: $(STAMP) ## a whole SIMULATED job on real data, and what a sceptic checks (about two minutes)
	@$(BIN)/python -m examples.demo

test: lint types ## set-up, lint, types, all tests but faults (under 15 minutes)
	@mkdir -p build/coverage && rm -f build/coverage/data*
	$(PYTEST) -n $(WORKERS) -m "not faults" --cov --cov-report=term:skip-covered

faults: $(STAMP) ## kills, freezes and races on real Kafka (about 30 minutes)
	@$(PYTEST) -n $(WORKERS) -m "faults and not soak"; code=$$?; \
	  $(BIN)/python -m benchmarks.recovery; exit $$code

soak: $(STAMP) ## long searches for rare faults (about 40 minutes)
	$(PYTEST) -m soak

bench: $(STAMP) ## benchmarks; rows in build/bench.json (20 to 50 minutes)
	@$(BIN)/python -m benchmarks; code=$$?; $(BIN)/python -m benchmarks.recovery; exit $$code

lock: $(STAMP) ## write the requirement files anew from pyproject.toml
	sh requirements/lock.sh $(BIN)/uv

clean: ## remove what make made
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
