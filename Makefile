# Two commands do everything on a fresh machine (Debian, Python 3.11, git, make):
#   make demo    compile, run and report the miniature study, really trained, on this machine's CPU
#   make test    every test, on a private Slurm of its own where it can be had

PYTHON ?= python3.11
SPEC ?= specs/micro.yaml
STUDY = $(basename $(notdir $(SPEC)))
VENV := .venv
BIN := $(VENV)/bin
TORCH := torch==2.13.0
STAMP := $(VENV)/.installed

.PHONY: demo test check lint types lock clean

demo: $(STAMP)
	@$(BIN)/lethe compile $(SPEC)
	@bash generated/submit_all.sh $(STUDY)
	@$(BIN)/lethe report $(SPEC)

test: $(STAMP)
	$(BIN)/python -m pytest -m "not slow" --cov=compiler --cov-branch --cov-report=term:skip-covered --cov-fail-under=95
	$(BIN)/python -m pytest -m slow

check: lint types

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

# `make .venv` makes the environment and does nothing else.
$(VENV): $(STAMP)

$(STAMP): requirements/lock.txt requirements/verl.txt pyproject.toml
	@echo "lethe: making $(VENV) (once; PyTorch and about 100 pinned packages, some minutes)"
	@command -v $(PYTHON) >/dev/null || { echo "lethe: needs $(PYTHON); set PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "lethe: $(PYTHON) cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@echo "lethe: 1/3 pinned packages"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/lock.txt -r requirements/verl.txt
	@echo "lethe: 2/3 $(TORCH)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	@echo "lethe: 3/3 lethe itself, editable"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# Pins requirements/lock.in again (needs pip-tools).
lock: requirements/lock.in
	cd requirements && pip-compile --quiet --no-header --generate-hashes --unsafe-package torch \
	    --no-emit-index-url --no-emit-find-links --strip-extras --output-file lock.txt lock.in

clean:
	rm -rf store .pytest_cache .mypy_cache .ruff_cache .coverage
