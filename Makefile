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

.PHONY: help setup demo serve test check bench chaos

help: ## show this list
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

setup: $(STAMP) ## make .venv with the pinned dependencies and the `nst` command

demo: $(STAMP) ## stylise a picture through the whole service: [CONTENT=a.jpg STYLE=b.jpg SIZE=512]
	@exec $(BIN)/nst demo $(if $(CONTENT),--content '$(CONTENT)') $(if $(STYLE),--style '$(STYLE)') \
	  $(if $(SIZE),--size $(SIZE)) $(if $(STEPS),--steps $(STEPS))

serve: $(STAMP) ## run the server on this machine until Ctrl-C: [PORT=8000]
	@exec $(BIN)/nst serve --stop-with-parent $(if $(PORT),--port $(PORT))

# Those that inject faults by themselves: they time how soon the service recovers.
test: $(STAMP) ## every test that this machine can run; some: [ARGS='-k lease']
ifdef ARGS
	$(BIN)/pytest -n 2 --dist loadfile $(ARGS)
else
	$(BIN)/pytest -n 2 --dist loadfile --ignore tests/chaos
	OMP_NUM_THREADS=1 $(BIN)/pytest tests/chaos
endif

check: $(STAMP) ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports

bench: $(STAMP) ## measure the engine, and write docs/benchmarks: [ARGS='--quick --device cuda:0']
	@$(BIN)/python -m benchmarks.engine $(ARGS)

chaos: $(STAMP) ## break the service on purpose, and judge it: [SECONDS=60 SEED=1 DATABASE=postgresql]
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.chaos $(if $(SECONDS),--seconds $(SECONDS)) \
	  $(if $(SEED),--seed $(SEED)) $(if $(DATABASE),--database $(DATABASE))

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "nst-server needs Python 3.11 or newer; say which: make PYTHON=python3.12"; exit 1; }
	@echo "Installing into .venv; torch is large, so this takes some minutes the first time ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt --editable '.[worker,dev,bench]'
	@touch $@
