# Everything starts from a clean clone: `make demo` and `make test` install what they need into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# test processes; each computes in one thread
JOBS ?= 2
# uv reads its own variable; a wheel folder that pip knows of serves both
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export HF_HUB_DISABLE_TELEMETRY = 1
# some images forbid byte code, and every start then compiles what it imports
unexport PYTHONDONTWRITEBYTECODE

LEAN := $(CURDIR)/plugins/library/llamacpp/llama_cpp.cmake
PROJECTS := pyproject.toml kernel/pyproject.toml $(wildcard plugins/*/*/pyproject.toml)

.PHONY: help setup programs demo test test-slow test-gpu gpu gpu-wheels one versions release-check lint bench generate messages wheels docs clean

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-12s %s\n", $$1, $$2 }'

setup: $(VENV)/.installed  ## install kernel, plugins and tools into .venv

$(BIN)/uv:
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(VENV)/.installed: constraints.txt plugins/requirements.txt $(PROJECTS) | $(BIN)/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --constraint constraints.txt \
	    --group pyproject.toml:dev --editable kernel --requirement plugins/requirements.txt
	touch $@

# the browser that the page's tests drive; they are left out where there is none
define CHROMIUM
@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || test -n "$$TUNESMITH_CHROMIUM" || \
    { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq && \
      DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium >/dev/null; } || \
    echo "no Chromium: the tests of the page are left out; install one, or set TUNESMITH_CHROMIUM to its path"
endef

programs: $(VENV)/.programs  ## install the programs of slow tests: llama.cpp (compiled), ONNX Runtime, lm-eval, Chromium

# a portable build, without what only llama.cpp's own tools need
$(VENV)/.programs: $(VENV)/.installed
	CMAKE_ARGS="$${CMAKE_ARGS:--DGGML_NATIVE=OFF -DLLAVA_BUILD=OFF -DCMAKE_PROJECT_INCLUDE=$(LEAN)}" \
	    $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt \
	    --group pyproject.toml:programs
	$(CHROMIUM)
	touch $@

demo: setup  ## prepare data, train, chat, export, offline
	$(BIN)/python contrib/demo/demo.py

test: setup  ## the quick tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal -m "not slow and not gpu"

test-slow: setup programs  ## the slow tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal -m "slow and not gpu"

one: setup  ## the quick tests of one folder: make one P=plugins/adapter/lora
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "not slow and not gpu" $(P)

test-gpu: setup  ## the tests that need a CUDA device
	$(BIN)/python -m pytest -q -m gpu

# SET=newest: what the index has; ARGS="--override torch==2.13.0+cpu": torch as it is at hand
versions: setup  ## the quick tests with the lowest versions that plugins name, SET=newest: with the newest
	$(BIN)/python tests/versions $(or $(SET),lowest) $(ARGS)

# ARGS="--only version changelog": some of the checks
release-check: setup  ## version, changelog, wheels, fresh installations with the lowest and the newest versions
	$(BIN)/python tests/release $(ARGS)

# DRY=1: on the CPU, with tiny shapes; WHEELS=FOLDER: on a machine without network, with its own Python
gpu:  ## what needs a GPU, tests and figures, in at most nine minutes; DRY=1 goes the same way on the CPU
	$(if $(WHEELS),$(PYTHON),$(BIN)/python) tests/gpu $(if $(WHEELS),--wheels $(WHEELS)) $(if $(DRY),--dry)

gpu-wheels: setup  ## the wheels that `make gpu WHEELS=…` installs on a machine without network
	$(BIN)/python tests/gpu/collect.py $(or $(WHEELS),dist/gpu)

lint: setup  ## style, types, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python docs/tools/generate.py --check
	$(BIN)/python docs/tools/template_table.py --check
	$(BIN)/python docs/tools/llamafactory_table.py --check
	$(BIN)/python docs/tools/hardware_table.py --check
	$(BIN)/python docs/tools/messages.py --check
	$(BIN)/python docs/tools/option_words.py --check

bench: setup  ## speed and memory, as docs/benchmarks.md reports them
	$(BIN)/python tests/bench

messages: setup  ## bring the catalogues of messages up to date with the code; L=zh
	$(BIN)/python docs/tools/messages.py $(or $(L),zh)
	$(BIN)/python docs/tools/option_words.py

generate: setup  ## write the generated files anew
	$(BIN)/python docs/tools/generate.py
	$(BIN)/python docs/tools/template_table.py
	$(BIN)/python docs/tools/llamafactory_table.py
	$(BIN)/python docs/tools/hardware_table.py

wheels: $(BIN)/uv  ## every distribution as a wheel, into dist/
	@rm -rf dist
	@for project in kernel $(dir $(wildcard plugins/*/*/pyproject.toml)) .; do \
	    $(BIN)/uv build --quiet --wheel --out-dir dist $$project || exit 1; done
	@ls dist/*.whl | wc -l

docs: setup  ## the documentation as a site in two languages, into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

clean:  ## remove what was made
	rm -rf $(VENV) .demo .practice build dist site .pytest_cache .mypy_cache .ruff_cache
