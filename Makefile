# `make demo` and `make test` do everything from a fresh checkout; both can be run again at any time.

PYTHON ?= python3
# Options for pip, such as: PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
PIP_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
RECIPE := -c recipes/spquant_vgg9.yaml -c recipes/overlays/embedded.yaml

.DEFAULT_GOAL := help
.PHONY: help demo test lint clean

help:
	@echo "make demo   train and test the main recipe on embedded data"
	@echo "make test   run the whole test suite"
	@echo "make lint   ruff and mypy, as they run before a commit"
	@echo "make clean  remove $(VENV), caches and build folders; runs/ and data/ stay"

# the development extras hold all that the demo needs
demo: $(or $(wildcard $(VENV)/.installed-dev),$(VENV)/.installed-demo)
	$(BIN)/lightning fit $(RECIPE)
	$(BIN)/lightning test $(RECIPE) --ckpt_path last

test: $(VENV)/.installed-dev
	$(BIN)/pytest

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find qsnn_plugins tests -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or later is needed, and $(PYTHON) is not: PYTHON=python3.12 make ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	touch $@

# torch goes first and alone: with a CPU build in place, nothing later asks for the CUDA one.
$(VENV)/.installed-torch: $(VENV)/.created constraints.txt
	$(BIN)/pip install $(PIP_ARGS) -c constraints.txt torch
	touch $@

$(VENV)/.installed-%: $(VENV)/.installed-torch pyproject.toml
	$(BIN)/pip install $(PIP_ARGS) -c constraints.txt -e '.[$*]'
	touch $@
