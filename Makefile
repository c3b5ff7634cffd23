# Everything starts from a clean clone: `make demo` and `make test` install what they need into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# test processes; each computes in one thread
JOBS ?= 2
# uv reads its own variable; a wheel folder that pip knows of serves both
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export HF_HUB_DISABLE_TELEMETRY = 1

PROJECTS := pyproject.toml kernel/pyproject.toml $(wildcard plugins/*/*/pyproject.toml)

.PHONY: setup demo test test-slow lint bench generate clean

setup: $(VENV)/.installed  ## install kernel, plugins and tools into .venv

$(VENV)/.installed: constraints.txt plugins/requirements.txt $(PROJECTS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt \
	    --group pyproject.toml:dev --editable kernel --requirement plugins/requirements.txt
	touch $@

demo: setup  ## prepare data, train, chat, export, offline
	$(BIN)/python contrib/demo/demo.py

test: setup  ## the quick tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS) -m "not slow and not gpu"

test-slow: setup  ## the slow tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS) -m "slow and not gpu"

test-gpu: setup  ## the tests that need a CUDA device
	$(BIN)/python -m pytest -q -m gpu

lint: setup  ## style, types, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python docs/generate.py --check

bench: setup  ## speed and memory, as docs/benchmarks.md reports them
	$(BIN)/python tests/bench

generate: setup  ## write the generated files anew
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) .demo build dist .pytest_cache .mypy_cache .ruff_cache
