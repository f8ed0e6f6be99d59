# The commands of this repository. `make help` lists them; CI runs the same ones.
VENV    := .venv
PYTHON  ?= python3
UV      := $(VENV)/bin/uv
READY   := $(VENV)/.ready
RUN     := $(VENV)/bin
ARGS    ?=
# All but `embed`: it brings PyTorch, some gigabytes that neither tests nor most users need.
LOCKED_EXTRAS := --extra embedded --extra backup --extra hdf5 --extra infra --extra pkcs11

.DEFAULT_GOAL := help
.PHONY: help try test test-slow stores check fmt selftest e2e e2e-quick e2e-clean bench docs lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

try: $(READY) ## from here to a verdict: start Milvus and S3 on this host, load, check, judge
	@$(RUN)/milvus-kit try $(ARGS)

test: $(READY) ## the fast tests, on real servers where that matters
	@PATH="$(CURDIR)/$(RUN):$$PATH" $(RUN)/pytest -n 3 --dist loadfile \
	  --no-loadscope-reorder -m "not slow" $(ARGS)

test-slow: $(READY) ## the tests that wait for minutes, which `make test` leaves out
	@PATH="$(CURDIR)/$(RUN):$$PATH" $(RUN)/pytest -n 3 --dist loadfile \
	  --no-loadscope-reorder -m slow $(ARGS)

stores: $(READY) ## S3 servers from their registries: what preflight says, and what real clients meet
	@PATH="$(CURDIR)/$(RUN):$$PATH" $(RUN)/python -m pytest tests/stores $(ARGS); \
	  status=$$?; $(RUN)/python -m tests.stores.page && exit $$status

check: $(READY) ## formatting, lint and types
	@$(RUN)/ruff format --check .
	@$(RUN)/ruff check .
	@$(RUN)/pyright

fmt: $(READY) ## format and mend what can be mended
	@$(RUN)/ruff format .
	@$(RUN)/ruff check --fix .

selftest: $(READY) ## plant faults and see each turn its own gates red, and no other
	@$(RUN)/milvus-kit selftest $(ARGS)

e2e: $(READY) ## real clusters on this host, as root: deploy, validate, break, upgrade, destroy
	@PATH="$(CURDIR)/$(RUN):$$PATH" $(RUN)/python -m pytest tests/e2e -s $(ARGS)

e2e-quick: $(READY) ## the standalone stack alone, kept running between runs
	@PATH="$(CURDIR)/$(RUN):$$PATH" $(RUN)/python -m pytest tests/e2e/test_ci_stack.py --keep -s $(ARGS)

e2e-clean: $(READY) ## give this host back, whatever a killed end-to-end run left on it
	@$(RUN)/python -m tests.e2e.clean

bench: $(READY) ## print the figures that the kit promises of itself, as ratios
	@for file in benchmarks/*.py; do echo "== $$file"; $(RUN)/python $$file || exit 1; done

docs: $(READY) ## the documentation as a site in build/docs, without a network
	@NO_MKDOCS_2_WARNING=1 PYTHONWARNINGS=ignore $(RUN)/mkdocs build --strict
	@echo "build/docs/index.html"

lock: $(UV) ## resolve the dependencies anew into requirements.lock
	@$(UV) pip compile pyproject.toml $(LOCKED_EXTRAS) --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command "make lock" -q -o requirements.lock $(ARGS)

clean: ## remove what builds and tests left here; runs, their evidence, and caches elsewhere stay
	@rm -rf build dist .pytest_cache .ruff_cache .hypothesis

# uv is fetched into the environment itself if there is none: nothing is installed on the host.
$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "milvus-kit needs Python 3.11 or later; say which with PYTHON=..." >&2; exit 2; }
	@echo "Making $(VENV) ..." >&2
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "python3 -m venv failed; on Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }
	@$(VENV)/bin/python -m pip install --quiet 'uv>=0.9'

$(READY): $(UV) requirements.lock pyproject.toml
	@echo "Installing what requirements.lock names ..." >&2
	@$(UV) pip install --quiet --python $(RUN)/python --require-hashes -r requirements.lock
	@$(UV) pip install --quiet --python $(RUN)/python --no-deps --editable .
	@touch $@
