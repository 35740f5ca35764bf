# Everything runs in .venv; a second call skips the install.
DATASET ?= wdbc
ARGS ?=
# Processes of the quick tests; each starts servers of its own. On two processors, the third computes
# while another waits.
WORKERS ?= 3
# The newest of these that runs; the pinned versions install on each (make resolve).
PYTHON ?= $(shell for v in 3.14 3.13 3.12 3.11; do \
	python$$v -c "" 2>/dev/null && echo python$$v && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt
INSTALL = if [ -x $(BIN)/uv ]; then $(UV) -e '.$(1)'; else $(PIP) -e '.$(1)'; fi
# PyTorch's index of builds without CUDA, a quarter of the size: pip is told of it where there is no GPU.
TORCH_CPU ?= https://download.pytorch.org/whl/cpu
CPU_BUILD = $(if $(shell command -v nvidia-smi),,--retries 1 --extra-index-url $(TORCH_CPU))
# Where this is set, every command compiles all of its libraries again, which doubles the time of a
# training.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: train resolve test coverage test-all lint format docs ui \
	services install install-team install-dev upgrade clean

install: $(VENV)/.installed
install-team: $(VENV)/.installed-team
install-dev: $(VENV)/.installed-dev

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 to 3.14 is needed; set PYTHON=/path/to/python3" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

# uv, where it can be had, takes a quarter of pip's time, and finds the build of PyTorch for this machine by itself. Where
# PyTorch's index is out of reach, the package index decides: on Linux its build is the one with CUDA.
$(VENV)/.torch: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) uv || echo "uv cannot be had: pip installs everything" >&2
	UV_HTTP_RETRIES=0 $(UV) --torch-backend=auto torch 2>/dev/null || $(UV) torch 2>/dev/null || $(PIP) --quiet $(CPU_BUILD) torch
	touch $@

$(VENV)/.installed: $(VENV)/.torch
	$(call INSTALL,)
	touch $@

$(VENV)/.installed-dev: $(VENV)/.torch
	$(call INSTALL,[dev])
	touch $@ $(VENV)/.installed $(VENV)/.installed-team

$(VENV)/.installed-team: $(VENV)/.torch
	$(call INSTALL,[team])
	touch $@ $(VENV)/.installed

train: install
	@$(BIN)/dagmm train $(DATASET) $(ARGS)

# Do the pinned versions install, as wheels, on every Python that is promised? Metadata only.
resolve: $(VENV)/.torch
	for version in 3.11 3.12 3.13 3.14; do \
		$(BIN)/uv pip compile --quiet pyproject.toml -c constraints.txt \
			--python-version $$version --only-binary :all: -o /dev/null || exit 1; done

test: install-dev
	$(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist loadfile $(ARGS)

coverage: install-dev
	$(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist loadfile --cov --cov-report=term:skip-covered $(ARGS)

test-all: test
	$(BIN)/python -m pytest -m slow -n $(WORKERS) --dist loadfile $(ARGS)

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
	$(BIN)/uv pip install --quiet --python $(BIN)/python --upgrade -e '.[dev,bench]'
	{ echo "# Versions that were seen to work together on Python 3.11; every install goes through this file."; \
	  echo "# Refresh: make upgrade, then make test."; \
	  $(BIN)/uv pip freeze --python $(BIN)/python --exclude-editable | sed 's/+cpu$$//'; } > constraints.txt

clean:
	rm -rf $(VENV) build dist *.egg-info
