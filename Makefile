# make demo: set everything up, then stylize a sound and a picture into demo/
# make test: set everything up, then lint, type-check and test
# make docs: set everything up, then build the documentation into site/
# make bench: set everything up, then measure this machine into bench/RESULTS.md; BENCH="--quick" and the like
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint docs bench build clean

demo: $(STAMP)
	$(BIN)/specstyle demo demo --force

test: lint
	# One thread for each of the two workers: more of them only wait for each other.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The figures in docs/figures are kept in the repository; python docs/figures.py makes them anew.
docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# Options: make bench BENCH="--device cuda --size 512 --only speed,quality"
bench: $(STAMP)
	$(BIN)/python -m bench $(BENCH)

build: $(STAMP)
	$(BIN)/python -m build

clean:
	rm -rf build dist demo site *.egg-info

# One stamp for both targets: a fresh machine installs once. The stamp is older than pyproject.toml
# whenever the dependencies may have changed.
$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("specstyle needs Python 3.10 or newer; set PYTHON=python3.11 or the like" if sys.version_info < (3, 10) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=24"
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	touch $@
