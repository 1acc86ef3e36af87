# Headrace. `make help` lists what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DISTRIBUTIONS := libs/queue proto libs/chassis libs/outbox libs/client services/api services/jobs services/worker tests/doubles deploy/local
SOURCES := conftest.py bench examples libs services deploy/local tests proto/generate.py docs
CONTRACT := proto/gen/descriptors.binpb --config proto/buf.yaml --path headrace --path saas
export PATH := $(CURDIR)/$(BIN):$(CURDIR)/.tools/bin:$(PATH)

.PHONY: help setup run test test-full test-clients lint format proto land-proto lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: $(VENV)/.installed ## Make the isolated environment: locked and hashed dependencies, our distributions

# What pip says, in a dozen lines.
PROGRESS = awk '/^Collecting / && ++n % 20 == 0 { print "  " n " packages …" } \
  /^Installing / { print "  unpacking " n " packages …" } { fflush() }'

$(VENV)/.installed: requirements.lock $(DISTRIBUTIONS:%=%/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Headrace needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || { echo "Making $(VENV) …"; $(PYTHON) -m venv $(VENV); }
	@echo "Installing the locked dependencies …"
	@set -o pipefail; $(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements.lock | $(PROGRESS)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(DISTRIBUTIONS:%=-e ./%)
	@touch $@

run: setup ## Start the whole system on embedded parts and drive the main journey (ONCE=1: exit with its verdict)
	@$(BIN)/python -m local_stack $(if $(ONCE),--once)

test: setup ## Run the suite that needs Python and make only
	$(BIN)/python -m pytest -n auto -m "not e2e and not chart and not full and not browser"
	$(BIN)/python -m pytest -m e2e

test-full: test test-clients test-browser ## Run the suite together with what needs other languages' tools, each got by its own target

test-clients: setup client-go client-node grpcurl ## Run the clients made from the .proto files alone, and the reference's lines
	$(BIN)/python -m pytest -n auto -m full
	$(BIN)/python -m pytest services/jobs/tests/test_server_reference.py

lint: setup ## Check format, style, types, import arrows, contract and generated code
	ruff format --check $(SOURCES)
	ruff check $(SOURCES)
	python proto/generate.py --check
	python docs/settings_reference.py --check
	python docs/proto_reference.py --check
	buf format --diff --exit-code proto
	buf lint $(CONTRACT)
	buf breaking --against proto/landed.binpb $(CONTRACT)
	lint-imports --no-logo
	mypy $(SOURCES)

format: setup ## Format the code and mend what can be mended
	ruff format $(SOURCES)
	ruff check --fix $(SOURCES)
	buf format --write proto

proto: setup ## Generate proto/gen, and the contracts' reference, anew from the .proto files
	@$(BIN)/python proto/generate.py
	@$(BIN)/python docs/proto_reference.py

# From then on a change that breaks its clients is an error of `make lint`.
land-proto: lint ## Make today's contract the one that later changes must not break
	cp proto/gen/descriptors.binpb proto/landed.binpb

lock: ## Resolve requirements.in anew into requirements.lock
	@$(PYTHON) -m venv .tools/lock && .tools/lock/bin/pip install --quiet uv
	@.tools/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade requirements.in -o requirements.lock

include make/*.mk

clean: ## Remove the environment and everything generated on this machine
	rm -rf $(VENV) .tools .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
