# From a bare checkout with Python 3.11 or newer and make to a running system: `make run`.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup check test run protos docs lock bench compose-check
.DELETE_ON_ERROR:

# Paths are relative on purpose: make cannot name a target whose path contains a space.
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --no-input
# Handed on to the command that a target runs: make run ARGS="--port 9000".
ARGS ?=

# A virtual environment survives neither a move of its folder nor the removal of its Python.
ifeq ($(wildcard .venv/made-at),.venv/made-at)
ifneq ($(shell cat .venv/made-at):$(shell $(BIN)/python -c 'print("alive")' 2>/dev/null),$(CURDIR):alive)
$(shell rm -rf .venv)
endif
endif

help: ## List these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 24

setup: .venv/dev.stamp ## Install everything that make check and make test need, pinned, into .venv

run: .venv/runtime.stamp ## Run the whole system with sample traffic; ARGS="--port 9000 --no-sandbox"
	@exec $(BIN)/recado up $(ARGS)

check: .venv/dev.stamp ## Format, lint, types, import rules, fresh stubs
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/basedpyright --warnings
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest -q -n 0 tests/house/test_stubs.py

test: check ## Everything above, then every test
	$(BIN)/python -m pytest $(ARGS)

bench: .venv/runtime.stamp ## Measure ingest, history, search and storage on this machine
	$(BIN)/recado bench ingest $(ARGS)
	$(BIN)/recado bench history $(ARGS)
	$(BIN)/recado bench search $(ARGS)
	$(BIN)/recado bench storage $(ARGS)

compose-check: ## Build and try compose.yaml with the container engine of this machine, then remove it
	python3 deploy/compose_check.py

protos: .venv/dev.stamp ## Generate the stubs of protos/*.proto again
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. --grpc_python_out=. protos/*.proto

# Needs uv on the PATH: pip cannot write hashes for every Python and system at once.
LOCK = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
  --no-emit-index-url --no-emit-find-links --extra build --extra embedded pyproject.toml

docs: .venv/made-at ## Write docs/wire.md from the tables that webhooks are read by
	.venv/bin/python -m recado.wire_table > docs/wire.md

lock: ## Pin the newest parts that pyproject.toml allows; LOCK_ARGS="--upgrade" or "--upgrade-package NAME"
	@command -v uv >/dev/null || { echo "make lock needs uv: python3 -m pip install uv" >&2; exit 1; }
	$(LOCK) $(LOCK_ARGS) -o requirements.lock
	$(LOCK) $(LOCK_ARGS) --extra dev -o requirements-dev.lock

# An environment that is there already is used; else one of the newest Python from 3.11 on whose venv
# works; else of one for which uv can make it.
.venv/made-at:
	@set -eu; \
	if $(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	  printf '%s\n' "$(CURDIR)" > $@; exit; \
	fi; \
	usable=; found=; \
	for python in python3.14 python3.13 python3.12 python3.11 python3 python; do \
	  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
	  found=$${found:-$$python}; \
	  if "$$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then usable=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "Recado needs Python 3.11 or newer on the PATH; found: $$(python3 --version 2>/dev/null || echo none)" >&2; exit 1; \
	elif [ -n "$$usable" ]; then \
	  "$$usable" -m venv --clear .venv; \
	elif command -v uv >/dev/null; then \
	  uv venv --quiet --clear --seed --python "$$found" .venv; \
	else \
	  echo "$$found cannot make virtual environments. Install its venv module" \
	    "(Debian, Ubuntu: apt-get install python3-venv) or uv, then repeat." >&2; exit 1; \
	fi; \
	printf '%s\n' "$(CURDIR)" > $@

# One environment, filled in two steps: what runs, and what checks. The second contains the first.
INSTALL_SELF = $(PIP) install --no-deps --no-build-isolation --editable .

.venv/runtime.stamp: requirements.lock pyproject.toml | .venv/made-at
	@echo "Installing what Recado runs on into .venv (once) ..."
	@$(PIP) install --require-hashes -r requirements.lock
	@$(INSTALL_SELF)
	@touch $@

.venv/dev.stamp: requirements-dev.lock pyproject.toml | .venv/made-at
	@echo "Installing what the checks and tests need into .venv (once) ..."
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@$(INSTALL_SELF)
	@touch .venv/runtime.stamp $@
