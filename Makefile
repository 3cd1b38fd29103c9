# make demo: set everything up, then stylize a sound and a picture into demo/
# make test: set everything up, then lint, type-check and test
# make test-processors: the tests that compute, in the ways of several x86 processors, in an hour or two
# make fuzz: damaged files of ten kinds, a minute each; FUZZ="--seconds 600 --seed 1" for longer and for others
# make test-matrix: the tests with the oldest and newest libraries allowed, in the Pythons of this machine; hours
# make gpu: on a machine with a GPU, its tests and its speed, within 8 minutes; figures into bench/results/gpu.json
# make docs: set everything up, then build the documentation into site/
# make bench: set everything up, then measure this machine into bench/RESULTS.md; BENCH="--quick" and the like
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
STAMP := $(VENV)/.installed

.PHONY: demo test test-processors test-matrix fuzz gpu lint docs bench build clean

demo: $(STAMP)
	$(BIN)/specstyle demo demo --force

test: lint
	# One thread for each of the two workers: more of them only wait for each other.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

# What the libraries take of a processor: SSE, AVX2, AVX-512 without what came after it, and all that is here.
# oneDNN's and MKL's are upper limits; ATen and OpenBLAS do as they are told, so nothing tells them AVX-512.
SSE := ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 OPENBLAS_CORETYPE=Nehalem MKL_ENABLE_INSTRUCTIONS=SSE4_2
AVX2 := ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 OPENBLAS_CORETYPE=Haswell MKL_ENABLE_INSTRUCTIONS=AVX2
AVX512 := ONEDNN_MAX_CPU_ISA=AVX512_CORE MKL_ENABLE_INSTRUCTIONS=AVX512

# Not what no rounding changes: pages, files, processes and words.
COMPUTING := $(addprefix tests/,engine features media evaluate bench run training test_recipe_oracles.py \
	test_synthesis.py)
STEADY := $(addprefix --ignore=tests/,bench/test_sections.py media/test_imagefiles.py media/test_soundfiles.py \
	run/test_kept.py run/test_run_report.py)

test-processors: $(STAMP)
	@failed=; for threads in 1 2; do for has in "$(SSE)" "$(AVX2)" "$(AVX512)" ""; do \
		echo "== $$threads threads, $${has:-all that is here}"; \
		env OMP_NUM_THREADS=$$threads $$has $(BIN)/python -m pytest -q -n $$((3 - threads)) --dist worksteal \
			$(COMPUTING) $(STEADY) || failed="$$failed\n$$threads threads, $${has:-all that is here}"; \
	done; done; test -z "$$failed" || { printf "Failed with:$$failed\n"; exit 1; }

gpu: $(STAMP)
	$(BIN)/python -m pytest -q -m gpu -p no:cacheprovider
	$(BIN)/python -m bench.gpu --seconds 300

# MATRIX="--resolve" installs and runs nothing: pip says whether such libraries go together.
test-matrix:
	$(PYTHON) -m bench.matrix $(MATRIX)

# FUZZ="--guided sounds" damages one kind of file under the guidance of atheris, where that is installed.
fuzz: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m bench.fuzz $(FUZZ)

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
