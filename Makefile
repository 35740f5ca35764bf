# Everything runs in .venv; a second call skips the install.
DATASET ?= wdbc
PYTHON ?= python3.11
ARGS ?=
# Processes of the quick tests; each starts servers of its own.
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
export DO_NOT_TRACK ?= 1

.PHONY: train test test-all lint format docs ui services install install-team install-dev upgrade clean

install: $(VENV)/.installed
install-team: $(VENV)/.installed-team
install-dev: $(VENV)/.installed-dev

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/.installed $(VENV)/.installed-team

$(VENV)/.installed-team: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[team]'
	touch $@ $(VENV)/.installed

train: install
	@$(BIN)/dagmm train $(DATASET) $(ARGS)

test: install-dev
	$(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist loadfile $(ARGS)

test-all: test
	$(BIN)/python -m pytest -m slow $(ARGS)

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: install-dev
	$(BIN)/python docs/generate.py

ui: install
	@$(BIN)/dagmm ui

services: install-team
	@$(BIN)/dagmm services run

upgrade: install-dev
	$(BIN)/python -m pip install --quiet --upgrade --upgrade-strategy eager -e '.[dev]'
	{ echo "# Versions that were seen to work together on Python 3.11; every install goes through this file."; \
	  echo "# Refresh: make upgrade, then make test."; \
	  $(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//'; } > constraints.txt

clean:
	rm -rf $(VENV) build dist *.egg-info
