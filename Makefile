# `make demo` and `make test` do everything from a fresh checkout; both can be run again at any time.

PYTHON ?= python3
# Options for pip, such as: PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
PIP_ARGS ?=
# Which tests: none says all, as continuous integration does
MARKS ?= not slow
# CUDA of torch's build, for `make test-gpu`: cuda12 or cuda13
CUDA ?= cuda13

VENV := .venv
BIN := $(VENV)/bin
LEGACY := .venv-legacy
# What builds the CUDA kernel where there is no GPU, without torch. CUDA 12 is the oldest that a torch
# which is admitted comes with.
NVRTC12 := cupy-cuda12x==14.2.0 nvidia-cuda-nvrtc-cu12==12.4.127 nvidia-cuda-runtime-cu12==12.4.127
NVRTC13 := cupy-cuda13x==14.2.0 nvidia-cuda-nvrtc==13.5.37 nvidia-cuda-runtime==13.5.37
RECIPE := -c recipes/spquant_vgg9.yaml -c recipes/overlays/embedded.yaml

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow nvrtc test-gpu test-mcu test-legacy docs lint package clean

help:
	@echo "make demo   train and test the main recipe on embedded data"
	@echo "make test   run the tests that a change usually breaks"
	@echo "make test-slow  run the others: every kind of neuron, every recipe, commands as processes"
	@echo "make nvrtc  install CuPy and NVRTC of CUDA 12 and 13 (360 MB), which test-slow then builds the CUDA kernel with"
	@echo "make test-gpu  run the tests that need a GPU; CUDA=cuda12 where torch's build is of CUDA 12"
	@echo "make test-mcu  run the demo's network in C on an emulated Cortex-M3, where Debian's packages are"
	@echo "make test-legacy  run the SpikingJelly tests under 0.0.0.0.14, in $(LEGACY)"
	@echo "make docs   build the site with its API reference in docs/_build/html, and check its links"
	@echo "make lint   ruff and mypy, as they run before a commit"
	@echo "make package  build sdist and wheel, and try them with EXTRAS=... in environments of their own"
	@echo "make clean  remove $(VENV) and its like, caches and build folders; runs/ and data/ stay"

# the development extras hold all that the demo needs
demo: $(or $(wildcard $(VENV)/.installed-dev),$(VENV)/.installed-demo)
	$(BIN)/lightning fit $(RECIPE)
	$(BIN)/lightning test $(RECIPE) --ckpt_path last

# one process per core, with one thread each, which takes over from another what is left
test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist worksteal -m "$(MARKS)"

test-slow: MARKS := slow
test-slow: test

nvrtc: .venv-cuda12/.installed .venv-cuda13/.installed

test-gpu: $(VENV)/.installed-dev $(VENV)/.installed-$(CUDA)
	$(BIN)/python -m tests.gpu
	$(BIN)/pytest -m gpu -rs tests

# -rs: what is missing, in words; nothing is installed
test-mcu: $(VENV)/.installed-dev
	$(BIN)/pytest -rs tests/export/test_mcu.py

test-legacy: $(LEGACY)/.installed
	$(LEGACY)/bin/python -m pytest tests/spikingjelly \
		$(addprefix qsnn_plugins/spikingjelly/,base.py inject.py kinds.py legacy.py neuron.py)

# pages of names that are gone would be warnings; a tutorial takes one of two processes and one thread
docs: $(VENV)/.installed-docs
	rm -rf docs/api/generated
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -W --keep-going -q -j 2 -b html docs docs/_build/html
	$(BIN)/python -m tests.links docs/_build/html
	@echo "open docs/_build/html/index.html"

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# EXTRAS="demo plot" installs each of them; OUT=dist keeps what was built
package: $(VENV)/.installed-packaging
	$(BIN)/python -m tests.package.check $(EXTRAS) $(if $(OUT),--out $(OUT)) \
		--torch "$(shell grep '^torch==' constraints.txt)"

clean:
	rm -rf $(VENV) $(LEGACY) .venv-cuda12 .venv-cuda13 .cache build dist docs/_build docs/api/generated *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
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

$(VENV)/.installed-packaging: $(VENV)/.created constraints.txt
	$(BIN)/pip install -c constraints.txt build twine
	touch $@

$(VENV)/.installed-%: $(VENV)/.installed-torch pyproject.toml
	$(BIN)/pip install $(PIP_ARGS) -c constraints.txt -e '.[$*]'
	touch $@

.venv-cuda%/.installed: constraints.txt Makefile
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install $(PIP_ARGS) -c constraints.txt $(NVRTC$*)
	touch $@

# SpikingJelly goes in without what it asks for, which is a torchvision of another torch; the
# model builders need torchvision's Python part alone.
$(LEGACY)/.installed: constraints.txt
	$(PYTHON) -m venv $(LEGACY)
	$(LEGACY)/bin/pip install $(PIP_ARGS) -c constraints.txt torch numpy scipy matplotlib tqdm \
		tensorboard pillow hypothesis pytest pytest-timeout
	$(LEGACY)/bin/pip install $(PIP_ARGS) -c constraints.txt --no-deps torchvision
	$(LEGACY)/bin/pip install $(PIP_ARGS) --no-deps spikingjelly==0.0.0.0.14
	touch $@
