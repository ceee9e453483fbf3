# Each target sets up what it needs: a fresh machine with Python 3.11+ and make is enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RUNS ?= 10000

# Hundreds of our processes start in the tests; each would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install demo test check format simulate explore soak bench lock clean

install: $(STAMP)

$(STAMP): requirements/dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rotator needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(STAMP)

demo: install
	$(BIN)/rotator demo

test: install
	$(BIN)/python -m pytest -q -n 8 --dist worksteal

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

simulate: install
	$(BIN)/python -m tests.simulation --runs $(RUNS)

# Every state of the protocol with up to two faults, then a kill after every durable effect.
explore: install
	$(BIN)/python -m tests.exploration
	$(BIN)/python -m tests.simulation.crash_points

# Real daemons on SQLite and PostgreSQL, killed RUNS times each.
soak: RUNS = 200
soak: install
	$(BIN)/python -m tests.integration.soak --runs $(RUNS)

bench: install
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.rollout
	$(BIN)/python -m benchmarks.leak

LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --custom-compile-command "make lock" --upgrade

lock: install
	$(LOCK) -o requirements/runtime.txt pyproject.toml
	$(LOCK) -o requirements/dev.txt --extra dev pyproject.toml
	echo "hatchling>=1.27" | $(LOCK) -o requirements/build.txt -

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
