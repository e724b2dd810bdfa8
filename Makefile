# The front door. Every target makes `.venv` first when it is missing or out of date.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

# Trained weights and photographs that may lie beside a checkout; the tests do without them too.
BESIDE := $(abspath ../shared)
ifneq ($(wildcard $(BESIDE)/weights/vgg19-standin.safetensors),)
export NST_TEST_WEIGHTS ?= $(BESIDE)/weights/vgg19-standin.safetensors
endif
ifneq ($(wildcard $(BESIDE)/images),)
export NST_TEST_IMAGES ?= $(BESIDE)/images
endif

.PHONY: help setup demo serve test check

help: ## show this list
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

$(STAMP): pyproject.toml constraints.txt
	@echo "Installing into .venv (torch is large: some minutes the first time) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "nst-server needs Python 3.11 or newer; say which: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  -c constraints.txt -e '.[worker,dev]'
	@touch $@

setup: $(STAMP) ## make .venv with the pinned dependencies and the `nst` command

check: $(STAMP) ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports
