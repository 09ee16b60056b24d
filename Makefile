# make run: set up, then execute the lessons and write the results table.  make help: the rest.

PYTHON ?= python3
TORCH ?= 2.13.0
# Where pip would fetch the large GPU build of torch, name the index of CPU builds that PyTorch's
# install page gives: make run TORCH_INDEX=...
TORCH_INDEX ?=
WORKERS ?= 2

BIN := .venv/bin
STAMP := .venv/installed-$(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)

.DEFAULT_GOAL := help
.PHONY: help run test lab site lint bench zoo checkpoints evidence render setup clean

help:
	@echo "make run          execute the lessons; results in build/results.md"
	@echo "make test         linter and all tests"
	@echo "make lab          open JupyterLab on the lessons"
	@echo "make site         the executed lessons as web pages in build/site"
	@echo "make render       turn the pocket zoo into image folders under build/images"
	@echo "make lint         ruff and mypy"
	@echo "make bench        speed, side by side in one run; waits; memory at 100,000 images"
	@echo "make zoo          train the generators that are planned and not there (NAME=... for one)"
	@echo "make checkpoints  train the shipped checkpoints again"
	@echo "make evidence     choose settings on dev and measure all of data/RESULTS.md again (hours)"
	@echo "make clean        remove build/ and caches (.venv stays)"

setup: $(STAMP)

# The stamp's name holds a checksum of both files: while they stay the same nothing is installed.
$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "dnadet needs Python 3.11 or newer; '$(PYTHON)' is not." \
	       "Name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot make virtual environments: install them" \
	       "(Debian, Ubuntu: apt install python3-venv) and try again." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet \
	  $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch==$(TORCH)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet \
	  --constraint constraints.txt --editable '.[notebooks,test]'
	@rm -f .venv/installed-*
	@touch $@

run: $(STAMP)
	$(BIN)/dnadet run

# Two processes of one thread each are quicker here than one of two.
test: $(STAMP)
	$(BIN)/ruff check --quiet .
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

lab: $(STAMP)
	$(BIN)/jupyter lab notebooks

site: $(STAMP)
	$(BIN)/dnadet site

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/maps.py
	$(BIN)/python benchmarks/explorer.py
	$(BIN)/python benchmarks/attribute.py
	$(BIN)/python benchmarks/memory.py

zoo: $(STAMP)
	$(BIN)/python data/train_gan.py $(if $(NAME),--name $(NAME))

checkpoints: $(STAMP)
	$(BIN)/python data/train_checkpoints.py

evidence: $(STAMP)
	$(BIN)/python data/tune.py
	$(BIN)/python data/make_results.py

render: $(STAMP)
	$(BIN)/dnadet render

clean:
	rm -rf build .pytest_cache .ruff_cache .mypy_cache dnadet.egg-info
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
