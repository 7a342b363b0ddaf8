# Two commands do everything on a fresh machine (Debian, Python 3.11, git, make):
#   make demo    compile, run and report the first look at the miniature, really trained, on this machine's CPU
#   make test    every test, on a private Slurm of its own where it can be had
# `make demo-all` runs the whole miniature, `make demo SPEC=specs/NAME.yaml` any other study of it.

PYTHON ?= python3.11
SPEC ?= specs/micro_first.yaml
STUDY = $(basename $(notdir $(SPEC)))
VENV := .venv
VERL := .venv-verl
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# A test process on each of two cores, with a thread each.
SHARED := -n 2 --dist loadscope
# pip into the environment $(1); an index that does not answer is asked three times.
install = for try in 1 2 3; do $(1)/python -m pip install --quiet --disable-pip-version-check $(2) && break; \
    test $$try -lt 3 || exit 1; echo "lethe: that failed; trying again"; sleep 10; done

.PHONY: demo demo-all demo-unlearning test check lint types lock locks clean

demo: $(STAMP)
	@$(BIN)/lethe compile $(SPEC)
	@bash generated/submit_all.sh $(STUDY)
	@$(BIN)/lethe report $(SPEC)

demo-all:
	@$(MAKE) --no-print-directory demo SPEC=specs/micro.yaml

demo-unlearning:
	@$(MAKE) --no-print-directory demo SPEC=specs/micro_unlearning.yaml

test: export OMP_NUM_THREADS := 1
test: $(STAMP) $(VERL)/.installed
	$(BIN)/python -m pytest $(SHARED) -m "not slow" --cov=compiler --cov-branch --cov-report=term:skip-covered --cov-fail-under=95
	$(BIN)/python -m pytest $(SHARED) -m slow

check: lint types

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

# `make .venv` makes the environment and does nothing else.
$(VENV): $(STAMP)

$(STAMP): requirements/lock.txt requirements/verl.txt requirements/data.txt requirements/torch.txt pyproject.toml
	@echo "lethe: making $(VENV) (once; PyTorch and about 100 pinned packages, some minutes)"
	@command -v $(PYTHON) >/dev/null || { echo "lethe: needs $(PYTHON); set PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "lethe: $(PYTHON) cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@echo "lethe: 1/3 pinned packages"
	@$(call install,$(BIN),--no-deps --require-hashes -r requirements/lock.txt -r requirements/verl.txt -r requirements/data.txt)
	@echo "lethe: 2/3 PyTorch"
	@$(call install,$(BIN),-r requirements/torch.txt)
	@echo "lethe: 3/3 lethe itself, editable"
	@$(call install,$(BIN),--no-deps --no-build-isolation --editable .)
	@touch $@

# VeRL and Ray on a CPU, for the tests that really train with them: what .venv lacks, laid over it (some 60 packages, 360 MB).
$(VERL): $(VERL)/.installed

$(VERL)/.installed: $(STAMP) requirements/verl-cpu.txt
	@echo "lethe: making $(VERL) (once; what VeRL and Ray need beyond $(VENV))"
	@$(PYTHON) -m venv --clear $(VERL)
	@$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > $$($(VERL)/bin/python -c \
	    'import sysconfig; print(sysconfig.get_path("purelib"))')/base.pth
	@$(call install,$(VERL)/bin,--no-deps --require-hashes -r requirements/verl-cpu.txt)
	@printf '#!/bin/sh\nexec "$$(dirname "$$0")/python" -m torch.distributed.run "$$@"\n' > $(VERL)/bin/torchrun
	@chmod +x $(VERL)/bin/torchrun
	@touch $@

# Pins requirements/lock.in again (needs pip-tools).
lock: requirements/lock.in
	cd requirements && pip-compile --quiet --no-header --generate-hashes --unsafe-package torch \
	    --no-emit-index-url --no-emit-find-links --strip-extras --output-file lock.txt lock.in
	cd requirements && sed -nE 's/^([A-Za-z0-9_.-]+==[^ ]+).*/\1/p' lock.txt | grep -v '^packaging==' > .constraints.txt && \
	    pip-compile --quiet --no-header --generate-hashes --unsafe-package torch --no-emit-index-url --no-emit-find-links \
	    --strip-extras --constraint .constraints.txt --output-file verl-cpu.txt verl-cpu.in; rm -f .constraints.txt

# Pins the environments of GPUs again, with hashes, for Linux on x86-64 with glibc 2.28 (needs uv).
locks: requirements/verl.in requirements/trl-eval.in
	cd requirements && for name in verl trl-eval; do \
	    uv pip compile --quiet --no-header --generate-hashes --upgrade --python-version 3.11 \
	        --python-platform x86_64-manylinux_2_28 --no-emit-index-url --output-file $$name.lock $$name.in || exit; done

clean:
	rm -rf store .pytest_cache .mypy_cache .ruff_cache .coverage
