# mr2ct: `make demo` for a first result, `make test` for the whole suite. `make help` lists the rest.
#
#   PYTHON=python3.12      the interpreter the environment is made with (3.11 or newer)
#   VENV=.venv             where the environment is; one that exists already is used
#   MRI=path               for `make demo`: your own MR file or DICOM folder instead of the phantom
#   PYTEST_ARGS="-k store" for `make test`: what else pytest is told (with -k the coverage gate will not be met)

SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
MRI ?=
PYTEST_ARGS ?=
JOBS ?= 2

IN_VENV := $(VENV)/bin
PIP := $(IN_VENV)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install -qq
STOP := exit 1

.PHONY: help demo test lint format install install-dev python-ready venv-ready clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo            the built-in head phantom becomes a CT, in demo/ (MRI=path: your own MR)'
	@echo 'make test            the whole test suite, with the coverage gate'
	@echo 'make lint            ruff, mypy and the import rules'
	@echo 'make format          let ruff rewrite what it can'
	@echo 'make install         mr2ct in $(VENV); install-dev adds what developers need'
	@echo 'make clean           remove $(VENV), demo/ and caches'

demo: $(VENV)/.mr2ct-installed
	$(IN_VENV)/mr2ct demo $(if $(MRI),"$(MRI)" )-o demo

test: $(VENV)/.mr2ct-installed-dev
	OMP_NUM_THREADS=1 $(IN_VENV)/python -m pytest -n $(JOBS) --dist loadfile --cov --cov-report=term $(PYTEST_ARGS)

lint: $(VENV)/.mr2ct-installed-dev
	$(IN_VENV)/ruff check .
	$(IN_VENV)/ruff format --check .
	$(IN_VENV)/mypy
	$(IN_VENV)/lint-imports --no-logo

format: $(VENV)/.mr2ct-installed-dev
	$(IN_VENV)/ruff check --fix .
	$(IN_VENV)/ruff format .

install: $(VENV)/.mr2ct-installed
install-dev: $(VENV)/.mr2ct-installed-dev

# The stamps are written last: an installation that was cut short is taken up again. The developers' set serves the
# demo too.
$(VENV)/.mr2ct-installed: pyproject.toml | venv-ready
	@[ ! $(VENV)/.mr2ct-installed-dev -nt pyproject.toml ] || { touch $@; exit 0; }; \
	 echo "$(INSTALL) -e .   # the first time, this downloads for a while"; $(INSTALL) -e . && touch $@

$(VENV)/.mr2ct-installed-dev: pyproject.toml | venv-ready
	$(INSTALL) -e '.[dev]'   # the first time, this downloads for a while
	@touch $@

# Made with PYTHON where there is none; one that is there is used when it can be, and never overwritten.
venv-ready:
	@[ -e $(IN_VENV)/python ] || [ -L $(IN_VENV)/python ] || $(MAKE) --no-print-directory $(IN_VENV)/python
	@$(IN_VENV)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	 { echo 'error: $(VENV) holds no working Python of 3.11 or newer; remove it, or choose another: VENV=folder' >&2; $(STOP); }
	@$(PIP) --version >/dev/null 2>&1 || $(IN_VENV)/python -m ensurepip >/dev/null 2>&1 || \
	 { echo 'error: $(VENV) has no pip and cannot get one; remove it, or choose another: VENV=folder' >&2; $(STOP); }

$(IN_VENV)/python: | python-ready
	$(PYTHON) -m venv $(VENV)

python-ready:
	@command -v $(PYTHON) >/dev/null || \
	 { echo 'error: there is no $(PYTHON); apt-get install python3 python3-venv, or name one of 3.11 or newer: PYTHON=path' >&2; $(STOP); }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	 { echo "error: $(PYTHON) is $$($(PYTHON) --version 2>&1); mr2ct needs 3.11 or newer: PYTHON=path" >&2; $(STOP); }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	 { echo 'error: $(PYTHON) has no venv module; apt-get install python3-venv' >&2; $(STOP); }

clean:
	rm -rf $(VENV) demo build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.* htmlcov
