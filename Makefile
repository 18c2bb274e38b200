# Two commands: `make table` computes and prints the adhesion table, `make test` tests it all.
# `make install` makes only the environment, .venv, that both use.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
STUDY := configs/studies/na_anode.yaml
LIVE := adhesion-live

export OMP_NUM_THREADS := 1
# For what is built as well as for what is installed.
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export GPAW_CONFIG := $(CURDIR)/scripts/siteconfig.py

.PHONY: install table test test-slurm lint docs structures clean reliability soak

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt scripts/system-packages.sh scripts/siteconfig.py
	sh scripts/system-packages.sh
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[gpaw,html,slurm,remote,docs,dev]'
	touch $(STAMP)

table: $(STAMP)
	$(BIN)/python scripts/table.py $(STUDY) --store $(LIVE)

test: $(STAMP) lint
	sh scripts/browser.sh
	$(BIN)/pytest

# On a real Slurm, installed where it may be and started in a temporary folder.
test-slurm: $(STAMP)
	sh scripts/slurm-packages.sh
	$(BIN)/pytest tests/slurm

lint: $(STAMP)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/numpydoc lint src/adhesion/*.py src/adhesion/*/*.py

# Writes the README's table from the archive, runs every command of the pages, writes what they
# print, and builds docs/_build/html.
docs: $(STAMP)
	$(BIN)/python scripts/readme.py
	$(BIN)/python docs/refresh.py
	$(BIN)/sphinx-build -W --keep-going -q docs docs/_build/html

# Kills, damage, bad input, load: all of it takes half an hour; soak is 200 kills.
reliability: $(STAMP)
	$(BIN)/python tests/reliability/run.py full

soak: $(STAMP)
	$(BIN)/python tests/reliability/run.py soak

structures: $(STAMP)
	$(BIN)/python structures/build.py

clean:
	rm -rf $(VENV) $(LIVE) adhesion-store adhesion-report docs/_build
