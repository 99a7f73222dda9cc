# Two commands do all the set-up: `make demo` runs the main job, `make test` proves it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint format bench bench-media test-media-zoo test-browser test-cues bench-cues referee docs packages clean

demo: $(VENV)/.demo
	$(BIN)/python examples/demo.py

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev
	$(BIN)/python -m bench

# Splitting beside a plain remux, up to 4 h; and the whole zoo of odd files, both kinds of segments.
bench-media: $(VENV)/.dev
	$(BIN)/python -m bench.bench_media --longest 4h

test-media-zoo: $(VENV)/.dev
	$(BIN)/python -m pytest tests/media/zoo_all.py

# The capture page in a real Chromium (Debian: apt install chromium), the long tests too.
test-browser: $(VENV)/.dev
	IH_MCP_LONG_TESTS=1 $(BIN)/python -m pytest tests/browser

# All tests of the cue engine, the long ones too.
test-cues: $(VENV)/.dev
	IH_MCP_LONG_TESTS=1 $(BIN)/python -m pytest tests/standin/cues

bench-cues: $(VENV)/.dev
	$(BIN)/python -m bench.bench_cues

# The pages that are drawn from the code; a test tells when one is not current.
docs: $(VENV)/.dev
	$(BIN)/python docs/generate.py

# What is handed out, built and started in a clean environment; needs the package index.
packages: $(VENV)/.dev
	IH_MCP_TEST_PACKAGES=1 $(BIN)/python -m pytest tests/packages

# Compares the cue engine with mediapipe and Praat, in an environment of their own; not in CI.
referee: $(VENV)/.dev
	$(PYTHON) -m venv .venv-referee
	.venv-referee/bin/python -m pip install --quiet -r bench/referee/requirements.txt
	.venv-referee/bin/python -m pip install --quiet --no-deps mediapipe==0.10.21
	$(BIN)/python -m bench.referee --referee .venv-referee/bin/python $(CLIPS)

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("ih-mcp needs Python 3.11 or newer; set PYTHON=...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[local]'
	touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist build
