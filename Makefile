# Two commands for a newcomer: `make race` runs the main job, `make test` passes the tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: race test check bench docs sdist clean

race: $(VENV)/installed
	$(BIN)/fallline race $(ARGS)

test: $(VENV)/installed-test
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/installed-check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/house.py

bench: $(VENV)/installed
	$(BIN)/fallline bench $(ARGS)

docs: $(VENV)/installed-docs
	$(BIN)/python -m tools.documentation
	$(BIN)/zensical build --clean --strict
	$(BIN)/python -m tools.site_check build/site

sdist: $(VENV)/installed-docs
	$(BIN)/python -m build --sdist --outdir build/dist

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Fallline needs Python 3.11 or newer: make PYTHON=python3.11 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(PIP) --editable '.[test]'
	@touch $@

$(VENV)/installed-check: $(VENV)/installed-test
	$(PIP) --editable '.[test,check]'
	@touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(PIP) --editable '.[docs]'
	@touch $@

clean:
	rm -rf $(VENV) build src/*.egg-info
