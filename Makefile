# `make demo` shows it work, `make test` proves it. Both set themselves up; see README.md.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

# Compiled modules are kept, whoever forbids it: each of the many processes of a test run would else compile them anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test coverage check bench torture screenshots format docs lock clean
help: ## list what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

demo: $(VENV)/.run ## seven jobs from submission to file, offline, in seconds
	$(BIN)/receiver demo

test: $(VENV)/.dev check ## linters, types, import rules, all tests
	$(BIN)/python tests/browser/chromium.py
	$(BIN)/pytest -n 2 --dist worksteal

coverage: $(VENV)/.dev ## all tests again, and which lines and branches they do not reach; fails under 95 %
	$(BIN)/python tests/browser/chromium.py
	$(BIN)/pytest -n 2 --dist worksteal --cov --cov-report=term:skip-covered

check: $(VENV)/.dev ## linters, types and import rules only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: $(VENV)/.dev ## speed, as ratios of what runs side by side
	$(BIN)/python -m benchmarks

torture: $(VENV)/.dev ## faults, long: kills, full disks, frozen workers, lost connections
	$(BIN)/python -m tests.faults

screenshots: $(VENV)/.dev ## take the pictures of the dashboard in docs/screenshots again
	$(BIN)/pytest -q tests/browser/test_looks.py --screenshots

format: $(VENV)/.dev ## let the formatter have its way
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.run ## write docs/handlers.md from the handlers
	$(BIN)/receiver handlers docs > docs/handlers.md

lock: ## pin every dependency again (needs uv)
	uv pip compile -q --no-strip-extras --universal --generate-hashes --no-annotate --all-extras --group build pyproject.toml -o requirements.lock
	uv pip compile -q --no-strip-extras --universal --generate-hashes --no-annotate --all-extras --group build --group dev -c requirements.lock pyproject.toml -o requirements-dev.lock

clean: ## remove what these commands made
	rm -rf $(VENV) demo build dist .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements.lock pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@
